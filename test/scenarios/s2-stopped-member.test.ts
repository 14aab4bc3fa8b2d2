import { expect, test } from "bun:test";
import { Cell } from "../support/cell.ts";

/** S2, R3: a member that acknowledges nothing holds up every decision, also when its connection stays up. */
test("R3: a stopped member whose link stays open is evicted under load, and comes back", () => {
  const cell = new Cell({ partitions: 3, handlerMs: 5 });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  const stopped = [...cell.nodes.values()].find((node) => node !== cell.activeLeader())!;
  for (let p = 0; p < 3; p++) cell.produceMany(p, 50);
  cell.advance(100);
  cell.pause(stopped.name);
  for (let p = 0; p < 3; p++) cell.produceMany(p, 50);
  const { inSyncEvictionMs, heartbeatMs } = cell.settings(stopped.name);
  cell.until(
    "it is evicted",
    () => !cell.inSync.incarnations.includes(stopped.incarnation),
    inSyncEvictionMs + 2 * heartbeatMs,
  );
  // Nobody puts it back while it is silent.
  cell.advance(inSyncEvictionMs);
  expect(cell.inSync.incarnations).not.toContain(stopped.incarnation);
  cell.resume(stopped.name);
  cell.until("it is back", () => cell.inSync.incarnations.includes(stopped.incarnation), 10_000);
  cell.drain();
  cell.verifyOnce();
});

test("R3: a learner that fell silent after its sync is not taken into the in-sync set", () => {
  const cell = new Cell({ partitions: 1, nodes: ["a", "b", "c"] });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  const leader = cell.activeLeader()!;
  const stopped = [...cell.nodes.values()].find((node) => node !== leader)!;
  // Nothing is outstanding, so that only its silence tells.
  cell.pause(stopped.name);
  const { inSyncEvictionMs, heartbeatMs } = cell.settings(stopped.name);
  cell.until(
    "it is evicted",
    () => !cell.inSync.incarnations.includes(stopped.incarnation),
    inSyncEvictionMs + 3 * heartbeatMs,
  );
  cell.resume(stopped.name);
  cell.until("it is back", () => cell.inSync.incarnations.length === 3, 10_000);
});
