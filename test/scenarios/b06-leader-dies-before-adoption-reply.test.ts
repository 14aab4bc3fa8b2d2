import { expect, test } from "bun:test";
import {
  crashProven,
  ended,
  entryAt,
  hangs,
  hangsNoMore,
  isAdoption,
  loses,
  losesNothing,
  stage,
  untilState,
} from "./stage.ts";

test("B6: an adoption is replicated when the leader dies before its answer; the next one renews it for the same node", () => {
  const cell = stage({ spares: ["spare"] });
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  crashProven(cell, "owner");
  hangsNoMore(cell);
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  const lost = loses(cell, isAdoption, { to: "other" });
  cell.until("adopted", () => entryAt(cell, "spare") === "granted to other dirty");
  cell.until("the answer is lost", () => lost.count > 0);

  cell.crash("leader");
  losesNothing(cell);
  cell.until("another leads", () => cell.activeLeader() !== null);
  expect(entryAt(cell, cell.activeLeader()!.name)).toBe("granted to other dirty");
  expect(cell.checks).toHaveLength(0);
  ended(cell, { runs: 2, checks: 1 });
  expect(cell.checks[0]!.node).toBe("other");
  expect(cell.runs[1]).toMatchObject({ node: "other", token: [2, expect.any(Number)] });
});
