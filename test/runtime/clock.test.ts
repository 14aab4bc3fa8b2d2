import { describe, expect, test } from "bun:test";
import { ClockWatch } from "../../src/runtime/clock.ts";

function clocks() {
  const state = { monotonic: 1_000, wall: 1_700_000_000_000 };
  const watch = new ClockWatch({ monotonicMs: () => state.monotonic, wallMs: () => state.wall });
  return { state, watch };
}

describe("clock watch", () => {
  test("both clocks going on together is no jump, however long", () => {
    const { state, watch } = clocks();
    state.monotonic += 3_600_000;
    state.wall += 3_600_100;
    expect(watch.jumped()).toBe(false);
  });

  test("a step of the wall clock either way is a jump, once", () => {
    for (const step of [251, -251, 3_600_000]) {
      const { state, watch } = clocks();
      state.wall += step;
      expect(watch.jumped()).toBe(true);
      expect(watch.jumped()).toBe(false);
    }
  });

  test("a machine that slept while the monotonic clock stood still is a jump", () => {
    const { state, watch } = clocks();
    state.wall += 20_000;
    state.monotonic += 5;
    expect(watch.jumped()).toBe(true);
  });

  test("slow drift between looks is no jump", () => {
    const { state, watch } = clocks();
    for (let look = 0; look < 100; look++) {
      state.monotonic += 100;
      state.wall += 101;
      expect(watch.jumped()).toBe(false);
    }
  });
});
