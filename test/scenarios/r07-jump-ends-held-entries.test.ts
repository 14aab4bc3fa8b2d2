import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import { hangs, hangsNoMore, stage } from "./stage.ts";

/** The owner runs offset 0 and holds the grants of the next 49, which it has not started. */
function heldByOwner(): Cell {
  const cell = stage({ settings: { concurrency: 1 } });
  hangs(cell);
  cell.produceMany(0, 50);
  cell.until("one runs", () => cell.runs.length === 1);
  cell.advance(200);
  cell.produceMany(0, 50);
  return cell;
}

function foreignCommit(cell: Cell, position: number): void {
  cell.committed[0] = position;
  cell.metadata[0] = "somebody else's";
}

test("R7: a foreign commit waits for what runs; unstarted grants, which nobody asks for any more, are revoked", () => {
  const cell = heldByOwner();
  foreignCommit(cell, 60);
  cell.move(0, "other");
  cell.advance(5_000);
  expect(cell.node("other").core.member.state.windows.get(0)!.infoKnown).toBe(false);
  cell.end(cell.runs[0]!, "success");
  hangsNoMore(cell);
  cell.drain(10_000);
  expect(cell.runs.filter(({ offset }) => offset < 60)).toHaveLength(1);
  expect(cell.runs.filter(({ offset }) => offset >= 60)).toHaveLength(40);
  expect(cell.node("leader").alarms.join()).toContain("foreign-commit");
});

test("R7: a foreign commit waits for the entries of a node until it counts as gone, and no longer", () => {
  const cell = heldByOwner();
  cell.crash("owner");
  hangsNoMore(cell);
  foreignCommit(cell, 60);
  cell.drain(60_000);
  expect(cell.runs.filter(({ offset }) => offset >= 60)).toHaveLength(40);
});
