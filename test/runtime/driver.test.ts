import { afterEach, describe, expect, jest, test } from "bun:test";
import type { CoreEffect } from "../../src/core/effects.ts";
import type { CoreEvent } from "../../src/core/events.ts";
import { BUSY_TICK_MS, Driver, IDLE_TICK_MS } from "../../src/runtime/driver.ts";

const drivers: Driver[] = [];
afterEach(() => {
  for (const driver of drivers.splice(0)) driver.stop();
});

interface Made {
  readonly driver: Driver;
  readonly events: CoreEvent[];
  readonly effects: CoreEffect[];
  readonly log: string[];
}

function make(
  step: (event: CoreEvent) => readonly CoreEffect[] = () => [],
  extra: { senses?: (() => CoreEvent | null)[]; carryOut?: (effect: CoreEffect, driver: Driver) => void } = {},
): Made {
  const events: CoreEvent[] = [];
  const effects: CoreEffect[] = [];
  const log: string[] = [];
  const driver: Driver = new Driver({
    core: {
      step(event) {
        events.push(event);
        log.push(event.type);
        return step(event);
      },
    },
    now: () => performance.now(),
    carryOut: (effect) => {
      effects.push(effect);
      log.push(`-> ${effect.type}`);
      extra.carryOut?.(effect, driver);
    },
    senses: extra.senses ?? [],
    onTick: () => log.push("on tick"),
  });
  drivers.push(driver);
  return { driver, events, effects, log };
}

const lost: CoreEvent = { type: "group-left" };
const jump: CoreEvent = { type: "clock-jump" };
const dial: CoreEffect = { type: "dial", peer: "b/1" };
const leave: CoreEffect = { type: "leave-group" };

describe("driver", () => {
  test("everything posted in a turn is handled before the turn ends, in order, effects in between", async () => {
    const { driver, log } = make((event) => (event.type === "drain" ? [dial, leave] : []));
    driver.start();
    driver.post({ type: "drain" });
    driver.post(lost);
    expect(log).toEqual([]); // not inside the caller
    await Promise.resolve();
    expect(log).toEqual(["drain", "-> dial", "-> leave-group", "group-left"]);
  });

  test("what is posted before the start waits for it", async () => {
    const { driver, log } = make();
    driver.post(lost);
    await Promise.resolve();
    expect(log).toEqual([]);
    driver.start();
    await Promise.resolve();
    expect(log).toEqual(["group-left"]);
  });

  test("an event that an effect causes comes after the step's other effects, never inside it", async () => {
    const { driver, log } = make((event) => (event.type === "drain" ? [dial, leave] : []), {
      carryOut: (effect, self) => effect.type === "dial" && self.post(lost),
    });
    driver.start();
    driver.post({ type: "drain" });
    await Promise.resolve();
    expect(log).toEqual(["drain", "-> dial", "-> leave-group", "group-left"]);
  });

  test("R17: the senses are asked before every step, and what they say comes first", async () => {
    let at = 0;
    const deadline = (): CoreEvent | null => (at++ % 2 === 0 ? { type: "coordinator-deadline", at } : null);
    const { driver, log } = make(() => [], { senses: [deadline, () => (at === 3 ? jump : null)] });
    driver.start();
    driver.post(lost);
    driver.post(lost);
    driver.post(lost);
    await Promise.resolve();
    expect(log).toEqual([
      "coordinator-deadline",
      "group-left",
      "group-left",
      "coordinator-deadline",
      "clock-jump",
      "group-left",
    ]);
  });

  test("what came together shares a turn of the core; no event waits for more than 15 others", async () => {
    const mores: boolean[] = [];
    const core = {
      step: (_event: CoreEvent, _now: number, more: boolean): readonly CoreEffect[] => {
        mores.push(more);
        return [];
      },
    };
    const senses = [(): CoreEvent | null => (mores.length === 0 ? jump : null)];
    const now = (): number => performance.now();
    const driver = new Driver({ core, now, carryOut: () => undefined, senses, onTick: () => undefined });
    drivers.push(driver);
    driver.start();
    driver.post(lost);
    await Promise.resolve();
    expect(mores).toEqual([true, false]); // what a sense says never comes last
    mores.length = 0;
    for (let count = 0; count < 20; count++) driver.post(lost);
    await Promise.resolve();
    const turns = mores.flatMap((more, index) => (more ? [] : [index]));
    expect(turns).toEqual([16, 20]); // the jump of the sense, and twenty events
  });

  test("the last event before the event loop's turn has the core's turn", async () => {
    const mores: boolean[] = [];
    const core = {
      step: (_event: CoreEvent, _now: number, more: boolean): readonly CoreEffect[] => {
        mores.push(more);
        return [];
      },
    };
    const now = (): number => performance.now();
    const driver = new Driver({ core, now, carryOut: () => undefined, senses: [], onTick: () => undefined });
    drivers.push(driver);
    for (let count = 0; count < 1_005; count++) driver.post(lost);
    driver.start();
    await Promise.resolve();
    expect(mores.length).toBe(1_000);
    expect(mores.at(-1)).toBe(false);
    await Bun.sleep(1);
    expect(mores.length).toBeGreaterThanOrEqual(1_005);
    expect(mores.at(-1)).toBe(false);
  });

  test("an endless chain of events does not starve timers", async () => {
    const { driver, events } = make(() => [dial], { carryOut: (_effect, self) => self.post(lost) });
    driver.start();
    driver.post(lost);
    await Bun.sleep(5);
    expect(events.length).toBeGreaterThan(1_000);
    const before = events.length;
    driver.stop();
    await Bun.sleep(5);
    expect(events.length).toBe(before);
  });

  test("neither does one whose links are promises", async () => {
    const { driver, events } = make(() => [dial], {
      carryOut: (_effect, self) => void Promise.resolve().then(() => self.post(lost)),
    });
    driver.start();
    driver.post(lost);
    await Bun.sleep(5);
    expect(events.length).toBeGreaterThan(1_000);
  });

  test("ticks come fast while something happens and slowly when nothing does", async () => {
    jest.useFakeTimers();
    try {
      const { driver, log } = make();
      const ticksIn = async (ms: number): Promise<number> => {
        const before = log.filter((line) => line === "tick").length;
        jest.advanceTimersByTime(ms);
        await Promise.resolve();
        return log.filter((line) => line === "tick").length - before;
      };
      driver.start();
      expect(await ticksIn(BUSY_TICK_MS)).toBe(1);
      expect(log).toEqual(["on tick", "tick"]);
      // Nothing happened since the start: the next tick is far.
      expect(await ticksIn(IDLE_TICK_MS - 1)).toBe(0);
      expect(await ticksIn(1)).toBe(1);
      // An event brings it near.
      driver.post(lost);
      await Promise.resolve();
      expect(await ticksIn(BUSY_TICK_MS)).toBe(1);
      expect(await ticksIn(BUSY_TICK_MS)).toBe(1); // busy a moment ago
      expect(await ticksIn(BUSY_TICK_MS)).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });

  test("nothing is handled after the stop, also not what an effect of the last step caused", async () => {
    const { driver, log } = make(() => [dial], { carryOut: (_effect, self) => (self.post(lost), self.stop()) });
    driver.start();
    driver.post(lost);
    driver.post(lost);
    await Bun.sleep(2 * BUSY_TICK_MS);
    driver.post(lost);
    await Bun.sleep(1);
    expect(log).toEqual(["group-left", "-> dial"]);
  });
});
