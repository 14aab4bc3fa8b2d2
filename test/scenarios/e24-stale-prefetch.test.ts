import { expect, test } from "bun:test";
import type { DeliveredBatch } from "../../src/core/events.ts";
import { ended, stage } from "./stage.ts";

test("E24: a prefetch buffer of an earlier ownership emits records; they never enter the window", () => {
  const cell = stage();
  const window = () => cell.node("owner").core.member.state.windows.get(0)!;
  const stale: DeliveredBatch = {
    pid: 0,
    ownership: window().ownership,
    fetchedFrom: 0,
    nextPosition: 2,
    offsets: Float64Array.of(0, 1),
    hashes: Uint32Array.of(1, 2, 3, 4),
    ids: null,
    payloads: null,
    leaderEpoch: 0,
    logEnd: 2,
  };
  cell.move(0, "owner"); // joined again: the same node, another ownership
  cell.advance(100);
  expect(window().ownership).toBe(stale.ownership + 1);
  const { counters } = cell.node("owner").core.ctx;
  cell.tell("owner", { type: "delivered", batch: stale });
  expect(counters.discardedBatches).toBe(1);
  expect(window().fetchPosition).toBe(0);
  // A batch of this ownership that does not continue the position is discarded as well, and the position set back.
  cell.tell("owner", {
    type: "delivered",
    batch: { ...stale, ownership: window().ownership, fetchedFrom: 1, offsets: Float64Array.of(1), nextPosition: 2 },
  });
  expect(counters.discardedBatches).toBe(2);
  cell.produceMany(0, 4);
  ended(cell, { runs: 4, checks: 0 });
});
