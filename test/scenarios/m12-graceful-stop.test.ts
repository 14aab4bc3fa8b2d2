import { expect, test } from "bun:test";
import { Cell } from "../support/cell.ts";

/** M12: a node stops gracefully: it finishes, commits, gives its grants back, leaves; nothing waits for a quarantine. */
test("M12: one node drains under load; the others go on at once", () => {
  const cell = new Cell({ partitions: 3, handlerMs: 50 });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  for (let p = 0; p < 3; p++) cell.produceMany(p, 1_000);
  cell.advance(300);
  const leaver = [...cell.nodes.values()].find((node) => node !== cell.activeLeader())!;
  cell.drainNode(leaver.name);
  cell.until("it has left", () => leaver.stoppedReason !== "", 10_000);
  expect(leaver.stoppedReason).toBe("drained");
  expect(cell.inSync.incarnations).not.toContain(leaver.incarnation);
  cell.drain(20_000);
  cell.verifyOnce();
  expect(cell.checks.length).toBe(0);
});

test("M13: the leader drains; another leads, and nothing is checked", () => {
  const cell = new Cell({ partitions: 3, handlerMs: 50 });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  for (let p = 0; p < 3; p++) cell.produceMany(p, 1_000);
  cell.advance(300);
  const leaver = cell.activeLeader()!;
  cell.drainNode(leaver.name);
  cell.until("it has left", () => leaver.stoppedReason !== "", 20_000);
  expect(leaver.stoppedReason).toBe("drained");
  cell.drain(30_000);
  cell.verifyOnce();
  expect(cell.checks.length).toBe(0);
});

test("R22: all drain with nothing left to do; the last one writes the clean mark", () => {
  const cell = new Cell({ partitions: 3 });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  for (let p = 0; p < 3; p++) cell.produceMany(p, 50);
  cell.drain();
  cell.advance(1_000);
  for (const node of cell.nodes.values()) cell.drainNode(node.name);
  cell.until("all have left", () => [...cell.nodes.values()].every((node) => node.stoppedReason !== ""), 10_000);
  for (const node of cell.nodes.values()) expect(node.stoppedReason).toBe("drained");
  expect(cell.watermarks.clean).toBe(true);
});
