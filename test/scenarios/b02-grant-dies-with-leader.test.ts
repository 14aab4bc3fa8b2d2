import { expect, test } from "bun:test";
import { ended, entryAt, isDelta, loses, losesNothing, onlyRun, stage } from "./stage.ts";

test("B2: the grant was at the leader only and dies with it; unseen at the next leader, so granted", () => {
  const cell = stage();
  loses(cell, isDelta);
  cell.produce(0);
  cell.until("the leader has decided", () => entryAt(cell, "leader") === "granted to owner");
  cell.advance(5);
  expect(entryAt(cell, "owner")).toBe("none");
  expect(entryAt(cell, "other")).toBe("none");

  cell.crash("leader");
  losesNothing(cell);
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).token[0]).toBe(2);
});
