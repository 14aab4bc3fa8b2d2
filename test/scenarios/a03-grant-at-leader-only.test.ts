import { expect, test } from "bun:test";
import { ended, entryAt, isDelta, loses, losesNothing, QUARANTINE_MS, stage, stateAt } from "./stage.ts";

test("A3: the owner dies while its grant is at the leader only; the entry stays, and the check decides", () => {
  const cell = stage();
  loses(cell, isDelta);
  cell.produce(0);
  cell.until("the leader has decided", () => entryAt(cell, "leader") === "granted to owner");
  cell.advance(5);
  expect(entryAt(cell, "other")).toBe("none");
  expect(stateAt(cell, "owner")).toBe("asked");

  cell.crash("owner");
  const crashedAt = cell.now;
  losesNothing(cell);
  cell.dropLinks("other"); // frames are lost only with their link
  cell.advance(12_000);
  expect(cell.assignment[0]).toBe("other");
  expect(stateAt(cell, "other")).toBe("doubtful");
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  ended(cell, { runs: 1, checks: 1 });
  expect(cell.checks[0]!.at - crashedAt).toBeGreaterThan(QUARANTINE_MS);
});
