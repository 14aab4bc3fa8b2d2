import { expect, test } from "bun:test";
import { Cell } from "../support/cell.ts";

/** Row F14 from its other end: what is claimed and not started cannot be told from what ran, and becomes a check when its node dies. */
test("a node with a long backlog claims only some of it ahead, so its death floods nobody with checks", () => {
  const settings = { claimBatchMax: 100, concurrency: 10 };
  const cell = new Cell({ partitions: 1, handlerMs: 2_000, settings });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  cell.produceMany(0, 5_000);
  cell.until("its owner works", () => cell.runs.length >= settings.concurrency);
  cell.advance(500);
  const owner = cell.node(cell.runs[0]!.node);
  const ahead = 2 * settings.claimBatchMax;
  expect(owner.core.status(cell.now).partitions[0]!.fetchPosition).toBe(5_000);
  expect(owner.core.ctx.counters.granted).toBeLessThanOrEqual(ahead + settings.concurrency);
  expect(owner.core.ctx.counters.granted).toBeGreaterThanOrEqual(ahead);
  cell.handler = () => ({ ms: 1, outcome: "success" });
  cell.crash(owner.name, { effect: false });
  cell.proveDeath(owner.name);
  cell.start(owner.name);
  cell.drain();
  cell.verifyOnce();
  expect(cell.checks.length).toBeGreaterThan(0);
  expect(cell.checks.length).toBeLessThanOrEqual(ahead + settings.concurrency);
});

test("a claim is not made for every handler that ends, and handlers never wait for one", () => {
  const settings = { claimBatchMax: 100, concurrency: 10 };
  const cell = new Cell({ partitions: 1, handlerMs: 20, settings });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  cell.produceMany(0, 2_000);
  cell.until("its owner works", () => cell.runs.length > 0);
  const startedAt = cell.now;
  const { ctx } = cell.node(cell.runs[0]!.node).core;
  const claims = new Set<number>();
  cell.until("done", () => {
    claims.add(ctx.counters.claimed);
    return cell.committed[0] === 2_000;
  });
  expect(claims.size).toBeLessThan(50);
  // 200 rounds of ten handlers; the cell's own steps may add some.
  expect(cell.now - startedAt).toBeLessThan(1.5 * 200 * 20 + 500);
});

/** V3: no partition stands still while its node works. */
test("a partition with a long backlog does not starve the node's other partitions", () => {
  const settings = { claimBatchMax: 100, concurrency: 4 };
  for (const busy of [0, 1]) {
    const cell = new Cell({ partitions: 2, handlerMs: 10, settings });
    cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
    cell.until("all in the group", () => [...cell.nodes.values()].every((node) => node.inGroup));
    cell.advance(500);
    cell.assignment = ["a", "a"];
    cell.rebalance(true);
    cell.advance(500);
    expect(cell.assignment).toEqual(["a", "a"]);
    cell.produceMany(busy, 4_000);
    cell.until("at work", () => cell.runs.length > 100);
    cell.produceMany(1 - busy, 40);
    cell.advance(3_000);
    expect(cell.committed[1 - busy]).toBe(40);
    expect(cell.committed[busy]).toBeLessThan(3_000);
  }
});
