/**
 * The coverage counters on hand-driven cells: a row counts when its trigger met the state that it names and its outcome was seen; a
 * trigger without the outcome, or the outcome without the trigger, does not count.
 */
import { expect, test } from "bun:test";
import type { Cell } from "../../support/cell.ts";
import {
  anotherLeads,
  crashProven,
  ended,
  entryAt,
  grantedNotStarted,
  hangs,
  hangsNoMore,
  isClaim,
  isDelta,
  isVerdict,
  loses,
  losesNothing,
  rewritesCommit,
  stage,
  stateAt,
  untilState,
} from "../../scenarios/stage.ts";
import { watched, type WatchedCell } from "./cell-world.ts";
import { rows } from "./index.ts";

/** A stage with the counters of these rows alone. */
function counting(ids: readonly string[], build: () => Cell = () => stage()): WatchedCell {
  return watched(
    build,
    rows.filter((row) => ids.includes(row.id)),
  );
}

/** Conditions are looked at some ms later. */
function hits({ cell, coverage }: WatchedCell): string[] {
  cell.advance(500);
  return coverage.hits;
}

function armed({ coverage }: WatchedCell, id: string): number {
  return coverage.trackers.find((tracker) => tracker.id === id)!.armed;
}

const UNGRANTED = ["A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8"];

test("A1-A8: how far the grant had come when its node died decides the row, and only one counts", () => {
  const asked = counting(UNGRANTED);
  loses(asked.cell, isClaim, { from: "owner" });
  asked.cell.produce(0);
  untilState(asked.cell, "owner", "asked");
  asked.cell.crash("owner");
  losesNothing(asked.cell);
  ended(asked.cell, { runs: 1, checks: 0 });
  expect(hits(asked)).toEqual(["A2"]);

  const decided = counting(UNGRANTED);
  loses(decided.cell, isDelta);
  decided.cell.produce(0);
  decided.cell.until("the leader has decided", () => entryAt(decided.cell, "leader") === "granted to owner");
  decided.cell.crash("owner");
  losesNothing(decided.cell);
  decided.cell.dropLinks("other");
  ended(decided.cell, { runs: 1, checks: 1 });
  expect(hits(decided)).toEqual(["A3"]);

  const granted = counting(UNGRANTED, () => grantedNotStarted());
  crashProven(granted.cell, "owner");
  granted.cell.drain();
  expect(hits(granted).toSorted()).toEqual(["A7", "A8"]); // 1:0 was running
});

test("A8: executing when its node dies: counts when the check has decided, not before", () => {
  const counted = counting(["A8"]);
  const { cell } = counted;
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  crashProven(cell, "owner");
  hangsNoMore(cell);
  cell.until("checked", () => cell.checks.length === 1);
  expect(armed(counted, "A8")).toBe(1);
  expect(counted.coverage.hits).toEqual([]);
  ended(cell, { runs: 2, checks: 1 });
  expect(hits(counted)).toEqual(["A8"]);
});

test("A8: the trigger without its outcome does not count: the leader dies as well, and the story is another row's", () => {
  const counted = counting(["A8", "B13"], () => stage({ spares: ["spare"] }));
  const { cell } = counted;
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.crash("owner");
  cell.crash("leader");
  hangsNoMore(cell);
  ended(cell, { runs: 2, checks: 1 });
  expect(armed(counted, "A8")).toBe(1);
  expect(hits(counted)).toEqual([]);
});

test("A10, A9: what the leader's set knows of an executed task decides which one it is", () => {
  for (const [row, knows] of [
    ["A10", true],
    ["A9", false],
  ] as const) {
    const counted = counting(["A9", "A10"]);
    const { cell } = counted;
    hangs(cell, 0);
    cell.produceMany(0, 2);
    untilState(cell, "owner", "executing", 1);
    if (!knows) loses(cell, (message) => message.kind === "report", { from: "owner" });
    untilState(cell, "owner", "executed", 1);
    if (knows) cell.until("in the ledger", () => entryAt(cell, "other", 1) === "executed");
    crashProven(cell, "owner", { effect: false });
    losesNothing(cell);
    hangsNoMore(cell);
    cell.drain();
    expect(hits(counted)).toEqual([row]);
  }
});

test("B3: partly replicated when the leader died; only the same node's new grant counts", () => {
  const counted = counting(["B1", "B2", "B3", "B4", "B5"]);
  const { cell } = counted;
  loses(cell, isDelta, { to: "owner" });
  cell.produce(0);
  cell.until("partly replicated", () => entryAt(cell, "other") === "granted to owner");
  cell.crash("leader");
  losesNothing(cell);
  cell.until("another leads", () => cell.activeLeader() !== null);
  expect(counted.coverage.hits).toEqual([]);
  ended(cell, { runs: 1, checks: 0 });
  expect(hits(counted)).toEqual(["B3"]);
});

test("B13: without a death there is no row, whatever the leader runs", () => {
  const counted = counting(["B13", "A8", "C1"], () => stage({ partitions: 3 }));
  const { cell } = counted;
  cell.produceMany(cell.assignment.indexOf("leader"), 20);
  ended(cell, { runs: 20, checks: 0 });
  expect(hits(counted)).toEqual([]);
});

test("C1: the leader sleeps longer than the lease; counts when its followers work again in its epoch", () => {
  for (const ms of [3_500, 500]) {
    const counted = counting(["C1"]);
    const { cell } = counted;
    cell.pause("leader");
    cell.advance(ms);
    cell.resume("leader");
    cell.produceMany(0, 3);
    ended(cell, { runs: 3, checks: 0 });
    expect(hits(counted)).toEqual(ms > 3_000 ? ["C1"] : []);
  }
});

test("C2: a sleeping leader with a decided grant was replaced; counts when the task ran by the next epoch's word alone", () => {
  const counted = counting(["C2"]);
  const { cell } = counted;
  cell.produce(0);
  cell.until("replicated", () => entryAt(cell, "other") === "granted to owner");
  cell.pause("leader");
  anotherLeads(cell);
  ended(cell, { runs: 1, checks: 0 });
  expect(hits(counted)).toEqual(["C2"]);
});

test("C11: the leader lost the coordinator; counts when it fell silent at its deadline, not when it was healed before", () => {
  for (const heals of [false, true]) {
    const counted = counting(["C11"]);
    const { cell } = counted;
    counted.fault("cut-coordinator", "leader");
    cell.cutCoordinator("leader");
    cell.advance(1_000);
    if (heals) cell.healCoordinator("leader");
    else anotherLeads(cell);
    expect(hits(counted)).toEqual(heals ? [] : ["C11"]);
  }
});

test("D5, D6: granted and executing when an epoch begins are told apart", () => {
  const counted = counting(["D5", "D6", "D7"], () => stage({ settings: { concurrency: 1 } }));
  const { cell } = counted;
  hangs(cell, 0);
  cell.produceMany(0, 2);
  untilState(cell, "owner", "granted", 1);
  cell.mayLead = (name) => name === "other";
  cell.expireSession("leader");
  anotherLeads(cell);
  expect(hits(counted)).toEqual(["D6"]);
  hangsNoMore(cell);
  cell.end(cell.runs[0]!, "success");
  ended(cell, { runs: 2, checks: 0 });
  expect(hits(counted)).toEqual(["D6", "D5"]);
});

test("E2: a partition moves with a grant; what runs in a partition that stays is no row", () => {
  const counted = counting(["E1", "E2", "E3"], () => grantedNotStarted());
  const { cell } = counted;
  cell.move(0, "other");
  cell.until("the next owner runs it", () => cell.runsOf(0, 0).length === 1);
  expect(stateAt(cell, "owner", 0, 1)).toBe("executing"); // of a partition that it kept
  cell.end(cell.runs[0]!, "success");
  ended(cell, { runs: 2, checks: 0 });
  expect(hits(counted)).toEqual(["E2"]);
});

test("E8, E16: an offset that moved back is one or the other by where it went, and counts when nothing ran again", () => {
  for (const [row, position] of [
    ["E8", 4],
    ["E16", 0],
  ] as const) {
    const counted = counting(["E8", "E16"]);
    const { cell } = counted;
    cell.produceMany(0, 10);
    cell.drain();
    cell.advance(500);
    rewritesCommit(cell, position);
    expect(counted.coverage.hits).toEqual([]);
    ended(cell, { runs: 10, checks: 0 });
    expect(hits(counted)).toEqual([row]);
  }
});

test("E13: the owner does not hear that the partition moved; counts when the next owner ran what it claimed", () => {
  const counted = counting(["E13"]);
  const { cell } = counted;
  counted.fault("lost-revocation", "owner");
  cell.takesStaleCommits = true;
  cell.node("owner").deaf = true;
  cell.move(0, "other");
  cell.until("moved", () => cell.node("other").core.member.state.windows.get(0)?.anchored === true);
  cell.latencyMs = (from, _to, message) => (from === "other" && message.kind === "report" ? 200 : 1);
  cell.produceMany(0, 5);
  ended(cell, { runs: 5, checks: 0 });
  expect(hits(counted)).toEqual(["E13"]);
});

test("F13: a reply was lost on its link and asked for again; counts only when no doubt came of it", () => {
  const counted = counting(["F13", "D3"]);
  const { cell } = counted;
  const lost = loses(cell, isVerdict, { to: "owner" });
  cell.produce(0);
  cell.until("the reply is lost", () => lost.count > 0);
  losesNothing(cell);
  cell.dropLinks("owner");
  ended(cell, { runs: 1, checks: 0 });
  expect(hits(counted)).toEqual(["F13"]);
});

test("M3, M17: one of two is back under its name; the one that was left started nothing meanwhile", () => {
  const counted = counting(["M3", "M17", "M5"], () => stage({ nodes: ["owner", "leader"], partitions: 2 }));
  const { cell } = counted;
  cell.crash("owner");
  cell.produceMany(1, 3);
  cell.advance(8_000);
  expect(counted.coverage.hits).toEqual([]);
  cell.start("owner");
  ended(cell, { runs: 3, checks: 0 });
  expect(hits(counted).toSorted()).toEqual(["M17", "M3"]);
});
