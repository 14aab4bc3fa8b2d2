import { expect, test } from "bun:test";
import { Cell } from "../support/cell.ts";

test("R15: a duplicate of a task that only the commit's bitmap knows as final reaches the check after a power loss", () => {
  const cell = new Cell({ partitions: 2, nodes: ["a", "b"] });
  cell.until("both in sync", () => cell.inSync.incarnations.length === 2);
  cell.handler = (run) => (run.offset === 0 ? { ms: 0, outcome: "hang" } : { ms: 5, outcome: "success" });
  cell.produce(0, "head");
  for (let i = 1; i < 6; i++) cell.produce(0, `id${i}`);
  cell.until("all but the head ran", () => cell.runs.filter(({ outcome }) => outcome === "success").length === 5);
  cell.advance(500);
  expect(cell.committed[0]).toBe(0); // the head runs: what ran above it is in the bitmap alone
  for (const name of ["a", "b"]) cell.crash(name);
  cell.advance(1_000);
  cell.handler = () => ({ ms: 5, outcome: "success" });
  for (let i = 1; i < 6; i++) cell.produce(1, `id${i}`);
  for (const name of ["a", "b"]) cell.start(name);
  cell.drain();
  cell.verifyOnce();
  expect(cell.checks.filter(({ partition }) => partition === 1)).toHaveLength(5);
});
