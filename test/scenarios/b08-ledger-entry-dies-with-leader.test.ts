import { expect, test } from "bun:test";
import { ended, entryAt, isDelta, loses, losesNothing, stage, untilState } from "./stage.ts";

test("B8: the leader dies with a ledger entry that nobody else has; the executor tells the next leader", () => {
  const cell = stage({ spares: ["spare"] });
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed");
  loses(cell, isDelta);
  cell.until("the leader has heard", () => entryAt(cell, "leader") === "executed");
  cell.advance(5);
  expect(entryAt(cell, "other")).toBe("granted to owner");

  cell.crash("leader");
  losesNothing(cell);
  cell.until("another leads", () => cell.activeLeader() !== null);
  cell.until("told again", () => entryAt(cell, cell.activeLeader()!.name) === "executed");
  cell.move(0, "spare");
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.settled()).toMatchObject({ attestedExecuted: 1 });
});
