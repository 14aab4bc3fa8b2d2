import { expect, test } from "bun:test";
import { ended, entryAt, hangs, hangsNoMore, isChunk, loses, losesNothing, stage, untilState } from "./stage.ts";

test("B10: the leader dies while a joiner has half of its state; what the joiner has counts for nothing", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  const lost = loses(cell, (message) => isChunk(message) && message.kind === "state-chunk" && message.last);
  cell.start("joiner");
  cell.until("the last chunk is lost", () => lost.count > 0);
  cell.advance(2);
  expect(entryAt(cell, "joiner")).toBe("granted to owner"); // partial, and complete for nobody
  expect(cell.node("joiner").core.replica.appliedEpoch).toBe(0);
  expect(cell.inSync.incarnations).not.toContain(cell.node("joiner").incarnation);

  cell.mayLead = (name) => name !== "joiner";
  cell.crash("leader");
  losesNothing(cell);
  cell.until("another leads", () => cell.activeLeader() !== null);
  cell.until("the joiner is in sync", () => cell.inSync.incarnations.includes(cell.node("joiner").incarnation));
  hangsNoMore(cell);
  cell.end(cell.runs[0]!, "success");
  ended(cell, { runs: 1, checks: 0 });
});
