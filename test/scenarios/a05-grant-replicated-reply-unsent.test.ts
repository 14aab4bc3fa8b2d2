import { expect, test } from "bun:test";
import { counts, ended, entryAt, isReport, isVerdict, loses, losesNothing, QUARANTINE_MS, stage } from "./stage.ts";

test("A5: the owner dies while its grant is at all and the reply is not sent; the entry stays, and the check decides", () => {
  const cell = stage();
  cell.produce(0);
  cell.until("the leader has decided", () => entryAt(cell, "leader") === "granted to owner");
  const verdicts = counts(cell, isVerdict);
  loses(cell, isReport, { from: "other" }); // its acknowledgement
  cell.advance(5);
  expect(entryAt(cell, "other")).toBe("granted to owner");
  expect(verdicts.count).toBe(0);

  cell.crash("owner");
  const crashedAt = cell.now;
  losesNothing(cell);
  cell.dropLinks("other");
  ended(cell, { runs: 1, checks: 1 });
  expect(cell.checks[0]!.at - crashedAt).toBeGreaterThan(QUARANTINE_MS);
});
