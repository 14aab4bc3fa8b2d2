import { expect, test } from "bun:test";
import { crashProven, ended, entryAt, isDelta, loses, losesNothing, stage, stateAt } from "./stage.ts";

test("A4: the owner dies while its grant is at some followers; the entry stays, through an election too", () => {
  const cell = stage({ spares: ["spare"] });
  loses(cell, isDelta, { to: "other" });
  cell.produce(0);
  cell.until("partly replicated", () => entryAt(cell, "spare") === "granted to owner");
  expect(entryAt(cell, "other")).toBe("none");
  expect(stateAt(cell, "owner")).toBe("asked");

  crashProven(cell, "owner");
  crashProven(cell, "leader");
  losesNothing(cell);
  cell.until("another leads", () => cell.activeLeader() !== null);
  expect(entryAt(cell, cell.activeLeader()!.name)).toBe("granted to owner");
  ended(cell, { runs: 1, checks: 1 });
});
