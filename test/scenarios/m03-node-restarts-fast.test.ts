import { expect, test } from "bun:test";
import { counts, ended, entryAt, isChunk, isVerdict, loses, losesNothing, stage } from "./stage.ts";

test("M3: a node is back at once under its name, and empty; the set has its old incarnation, the new one counts later", () => {
  const cell = stage();
  const old = cell.node("other").incarnation;
  loses(cell, isChunk, { to: "other" });
  cell.crash("other");
  const anew = cell.start("other").incarnation;
  const verdicts = counts(cell, isVerdict);
  cell.produce(0);
  cell.until("the leader has decided", () => entryAt(cell, "owner") === "granted to owner");
  expect(cell.inSync.incarnations).toContain(old);
  expect(cell.inSync.incarnations).not.toContain(anew);
  expect(verdicts.count).toBe(0); // the old one will never acknowledge
  losesNothing(cell);
  cell.dropLinks("other");
  cell.until("the new one is in the set", () => cell.inSync.incarnations.includes(anew));
  expect(cell.inSync.incarnations).not.toContain(old);
  expect(cell.node("other").core.replica.appliedEpoch).toBe(1);
  expect(cell.node("other").core.replica.appliedSeq).toBeGreaterThanOrEqual(1);
  ended(cell, { runs: 1, checks: 0 });
});

test("M3: the same, and then the leader dies; what it has not synchronised is not taken from it", () => {
  const cell = stage();
  loses(cell, isChunk, { to: "other" });
  cell.crash("other");
  cell.start("other");
  cell.produce(0);
  cell.until("the leader has decided", () => entryAt(cell, "owner") === "granted to owner");
  losesNothing(cell);
  cell.crash("leader");
  cell.until("somebody leads", () => cell.activeLeader() !== null);
  expect(entryAt(cell, cell.activeLeader()!.name)).toBe("granted to owner");
  ended(cell, { runs: 1, checks: 0 });
});
