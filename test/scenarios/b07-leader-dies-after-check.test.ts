import { expect, test } from "bun:test";
import { crashProven, ended, hangs, hangsNoMore, stage, untilState } from "./stage.ts";

test("B7: the check ran and the leader dies before the start; the adoption is void, the check runs again", () => {
  const cell = stage({ spares: ["spare"], settings: { concurrency: 1 }, partitions: 2 });
  cell.move(1, "other");
  cell.advance(500);
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.produce(1); // "other" has no free handler, so a check that says "not executed" waits for one
  untilState(cell, "other", "executing", 0, 1);
  crashProven(cell, "owner");
  cell.move(0, "other");
  untilState(cell, "other", "granted");
  expect(cell.checks).toHaveLength(1);

  cell.crash("leader");
  cell.until("its epoch is accepted", () => cell.node("other").core.epoch === 2);
  const acceptedAt = cell.now;
  hangsNoMore(cell);
  cell.end(cell.runsOf(1, 0)[0]!, "success");
  ended(cell, { runs: 3, checks: 2 });
  expect(cell.checks[1]!.at).toBeGreaterThan(acceptedAt);
  expect(cell.runsOf(0, 0)[1]).toMatchObject({ node: "other", token: [2, expect.any(Number)] });
});
