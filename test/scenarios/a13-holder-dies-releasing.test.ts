import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import {
  counts,
  ended,
  entryAt,
  hangs,
  hangsNoMore,
  isAnswer,
  isDelta,
  isVerdict,
  loses,
  losesNothing,
  QUARANTINE_MS,
  stage,
  untilState,
} from "./stage.ts";

/** Offset 1 is granted to the owner and not started when partition 0 moves to "other". */
function movesWhileGranted(): Cell {
  const cell = stage({ settings: { concurrency: 1 }, partitions: 2 });
  cell.move(1, "owner");
  cell.advance(500);
  hangs(cell);
  cell.produce(1); // keeps its only handler busy
  untilState(cell, "owner", "executing", 0, 1);
  cell.produce(0);
  untilState(cell, "owner", "granted");
  hangsNoMore(cell);
  return cell;
}

test("A13: the holder dies as it gives a grant back, and its answer is lost: quarantine, then the check", () => {
  const cell = movesWhileGranted();
  const lost = loses(cell, isAnswer, { from: "owner" });
  cell.move(0, "other");
  cell.until("its refusal is lost", () => lost.count > 0);
  expect(entryAt(cell, "leader")).toBe("granted to owner");

  cell.crash("owner");
  const crashedAt = cell.now;
  losesNothing(cell);
  ended(cell, { checks: 2 }); // this one, and what it was executing
  const check = cell.checks.find((made) => made.partition === 0)!;
  expect(check.at - crashedAt).toBeGreaterThan(QUARANTINE_MS);
});

test("A13: the release is at the in-sync set when the holder dies: the next owner is granted it, unchecked", () => {
  const cell = movesWhileGranted();
  const answers = counts(cell, isAnswer, { from: "owner" });
  cell.move(0, "other");
  cell.until("the refusal is on its way", () => answers.count > 0);
  loses(cell, isVerdict, { to: "other" });
  cell.until("given back, and given on", () => entryAt(cell, "leader") === "granted to other");
  cell.advance(5);
  expect(entryAt(cell, "owner")).toBe("granted to other");

  cell.crash("owner");
  losesNothing(cell);
  cell.dropLinks("other");
  ended(cell, { checks: 1 }); // what it was executing
  expect(cell.checks[0]!.partition).toBe(1);
});

test("A13: the release is at the leader only when holder and leader die: it does not count, the check decides", () => {
  const cell = movesWhileGranted();
  const answers = counts(cell, isAnswer, { from: "owner" });
  cell.move(0, "other");
  cell.until("the refusal is on its way", () => answers.count > 0);
  loses(cell, isDelta);
  cell.until("given back at the leader", () => entryAt(cell, "leader") !== "granted to owner");
  expect(entryAt(cell, "other")).toBe("granted to owner");

  cell.crash("owner");
  cell.crash("leader");
  cell.start("leader"); // a new incarnation: two are needed
  losesNothing(cell);
  ended(cell, { checks: 2 });
});
