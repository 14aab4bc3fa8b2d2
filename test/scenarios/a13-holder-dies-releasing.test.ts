import { expect, test } from "bun:test";
import {
  counts,
  ended,
  entryAt,
  isAnswer,
  isDelta,
  isVerdict,
  loses,
  losesNothing,
  QUARANTINE_MS,
  grantedNotStarted,
} from "./stage.ts";

test("A13: the holder dies as it gives a grant back, and its answer is lost: quarantine, then the check", () => {
  const cell = grantedNotStarted();
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
  const cell = grantedNotStarted();
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
  const cell = grantedNotStarted();
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
