import { expect, test } from "bun:test";
import { ANYBODY, EVICTED_MAX } from "../../src/core/leader/evicted.ts";
import { OneLeader } from "./one-leader.ts";
import { doubtsOf, partitionReportOf, runningCell } from "./support.ts";

const QUARANTINE_MS = 3_000 + 12_000 + 1_000;
const SETTLE_MS = 2_000;

/** The last write of the set, as the coordinator keeps it. */
function record(leader: OneLeader): { incarnations: readonly string[]; evicted: readonly string[] } {
  const { incarnations, evicted } = leader.last("write-in-sync");
  return { incarnations, evicted };
}

/** L, m and n voted; n is gone from the set, and from the links. */
function withoutN(): OneLeader {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.detach("n/1");
  wait(leader, 3_000);
  expect(record(leader)).toEqual({ incarnations: ["L/1", "m/1"], evicted: ["n/1"] });
  leader.setWritten();
  return leader;
}

function wait(leader: OneLeader, ms: number): void {
  for (const end = leader.now + ms; leader.now < end;) {
    leader.now = Math.min(end, leader.now + 250);
    leader.acknowledge("m/1");
  }
}

/** A change of the set that has nothing to do with n. */
function joins(leader: OneLeader, name: string): void {
  leader.attach(name);
  leader.acknowledge(name);
  leader.tick();
  expect(record(leader).incarnations).toContain(name);
  leader.setWritten();
}

test("R15: who left the set stands beside it until its quarantine is over", () => {
  const leader = withoutN();
  const heardAt = leader.leader.state.lastFrame.get("n/1")!;
  joins(leader, "p/1");
  expect(record(leader).evicted).toEqual(["n/1"]);
  leader.detach("p/1");
  wait(leader, 3_000);
  leader.setWritten();
  wait(leader, heardAt + QUARANTINE_MS + SETTLE_MS - 1 - leader.now);
  joins(leader, "q/1");
  expect(record(leader).evicted).toEqual(["n/1", "p/1"]);
  leader.now++;
  joins(leader, "r/1");
  expect(record(leader).evicted).toEqual(["p/1"]);
});

test("R15: who left the set stands beside it until its death is proven and its effects have settled", () => {
  const leader = withoutN();
  leader.step({ type: "death-proven", incarnation: "n/1" });
  wait(leader, SETTLE_MS - 1);
  joins(leader, "p/1");
  expect(record(leader).evicted).toEqual(["n/1"]);
  leader.now++;
  joins(leader, "q/1");
  expect(record(leader).evicted).toEqual([]);
});

test("R15: who left the set and is linked again may run something for ever, until it is in the set again", () => {
  const leader = withoutN();
  leader.attach("n/1");
  for (let i = 0; i < 80; i++) {
    leader.tick(250);
    leader.report("n/1"); // alive; it has not taken the state yet
    leader.acknowledge("m/1");
  }
  joins(leader, "p/1");
  expect(record(leader).evicted).toEqual(["n/1"]);
  leader.acknowledge("n/1");
  leader.tick();
  expect(record(leader)).toEqual({ incarnations: ["L/1", "m/1", "p/1", "n/1"], evicted: [] });
});

test("R15: who runs nothing more leaves the set without a trace", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  for (let i = 0; i < 4; i++) {
    leader.acknowledge("n/1", { draining: true, runsNothing: true });
    leader.acknowledge("m/1");
    leader.tick(100);
  }
  expect(record(leader)).toEqual({ incarnations: ["L/1", "m/1"], evicted: [] });
});

test("R15: a new leader writes beside its set who was of the last one, and who stood beside that", () => {
  const leader = new OneLeader({ inSync: ["y/1", "m/1"], evicted: ["x/1"] });
  leader.members("m/1");
  leader.attach("m/1", { appliedEpoch: 4, epoch: 4 });
  leader.tick();
  leader.tellState("m/1");
  leader.tick(2_000);
  leader.acknowledge("m/1");
  leader.tick();
  leader.marked();
  expect(record(leader)).toEqual({ incarnations: ["L/1", "m/1"], evicted: ["x/1", "y/1"] });
  // Somebody else's write came first: what stands there now counts.
  leader.setWritten("conflict");
  const inSync = { incarnations: ["y/1", "m/1"], evicted: ["w/1"], version: 3 };
  leader.step({ type: "in-sync-read", epoch: leader.epoch, inSync });
  leader.tick();
  leader.acknowledge("m/1");
  leader.tick();
  leader.marked();
  expect(record(leader).evicted).toEqual(["w/1", "y/1"]);
});

test("R15: a write that was not made changes nothing beside the set either", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.detach("n/1");
  wait(leader, 3_000);
  leader.setWritten("unknown");
  const inSync = { incarnations: ["L/1", "m/1", "n/1"], version: 9 };
  leader.step({ type: "in-sync-read", epoch: leader.epoch, inSync });
  expect(leader.leader.state.evicted).toEqual([]);
  leader.tick();
  leader.setWritten();
  expect(leader.leader.state.evicted).toEqual(["n/1"]);
});

test("R15: names that are too many are one name, whose death nobody proves", () => {
  const many = Array.from({ length: EVICTED_MAX }, (_, i) => `x${i}/1`);
  const start = (evicted: string[]): OneLeader => new OneLeader({ inSync: ["y/1"], evicted }).activate("m/1");
  expect(record(start(many.slice(1))).evicted).toHaveLength(EVICTED_MAX);
  const leader = start(many);
  expect(record(leader).evicted).toEqual([ANYBODY]);
  for (const incarnation of [...many, "y/1"]) leader.step({ type: "death-proven", incarnation });
  const { activatedAt } = leader.leader.state;
  wait(leader, activatedAt + QUARANTINE_MS + SETTLE_MS - 1 - leader.now);
  joins(leader, "p/1");
  expect(record(leader).evicted).toEqual([ANYBODY]);
  leader.now++;
  leader.attach("q/1"); // one of them, for all that anybody knows
  leader.report("q/1");
  joins(leader, "r/1");
  expect(record(leader).evicted).toEqual([ANYBODY]);
  leader.acknowledge("q/1");
  leader.tick();
  expect(record(leader).evicted).toEqual([]);
});

// --- what an unclean start makes of it

/** The whole last set {y, z} is lost; x had left it shortly before. Offsets 3 to 7 are suspect. */
function unclean(evicted: readonly string[] | undefined): OneLeader {
  const leader = new OneLeader({
    inSync: ["y/1", "z/1"],
    ...(evicted === undefined ? {} : { evicted }),
    watermarks: { partitions: [{ pid: 0, from: 0, watermark: 3 }] },
    topic: { partitions: 1 },
  }).activate("m/1");
  leader.own("m/1", partitionReportOf({ position: 3, hadCommit: true, ours: true, from: 0, ceiling: 8, logEnd: 20 }));
  for (const incarnation of ["y/1", "z/1"]) leader.step({ type: "death-proven", incarnation });
  wait(leader, SETTLE_MS);
  return leader;
}

let number = 1_000;

function ask(leader: OneLeader, offset: number): string {
  return leader.doubt("m/1", doubtsOf(number++, [offset]))[0]!;
}

test("R15: suspects wait for who was evicted from the last set as well, whose death nobody has proven", () => {
  const leader = unclean(["x/1"]);
  expect(ask(leader, 4)).toBe("wait");
  leader.step({ type: "death-proven", incarnation: "x/1" });
  wait(leader, SETTLE_MS - 1);
  expect(ask(leader, 4)).toBe("wait");
  leader.now++;
  expect(ask(leader, 4)).toBe("adopted");
});

test("R15: who was evicted and has told what it runs is not waited for", () => {
  const leader = unclean(["x/1"]);
  leader.attach("x/1");
  leader.report("x/1", { factsComplete: false });
  expect(ask(leader, 4)).toBe("wait");
  leader.report("x/1");
  expect(ask(leader, 4)).toBe("adopted");
});

test("R15: a record of an older version names nobody beside the set", () => {
  expect(ask(unclean(undefined), 4)).toBe("adopted");
});

test("R15: what a member runs that was evicted before the rest of the set died is not given to anybody while it runs", () => {
  const cell = runningCell({ partitions: 1, settings: { isolationGraceMs: 40_000, isolateAfterMs: 44_000 } });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  const runner = [...cell.nodes.values()].find((node) => node !== cell.activeLeader())!.name;
  cell.move(0, runner);
  cell.advance(1_000);
  cell.handler = () => ({ ms: 30_000, outcome: "success" });
  cell.produce(0);
  cell.until("it runs", () => cell.runs.length === 1);
  expect(cell.runs[0]!.node).toBe(runner);
  cell.cutPeers(runner);
  cell.until("it is out", () => cell.inSync.incarnations.length === 2);
  const others = ["a", "b", "c"].filter((name) => name !== runner);
  for (const name of ["d", "e"]) cell.start(name);
  cell.mayLead = (name) => name === "d" || name === "e";
  for (const name of others) cell.crash(name);
  for (const name of others) cell.proveDeath(name);
  cell.handler = () => ({ ms: 5, outcome: "success" });
  cell.until("another leads", () => cell.activeLeader() !== null);
  cell.until("both are in the group", () => cell.node("d").inGroup && cell.node("e").inGroup);
  cell.move(0, "d");
  cell.until("it is suspect", () => cell.node("d").core.member.state.doubtCount === 1);
  expect(cell.runs[0]!.endedAt).toBe(Infinity);
  cell.until("it has ended", () => cell.runs[0]!.endedAt !== Infinity, 40_000);
  expect(cell.runs).toHaveLength(1);
  expect(cell.checks).toEqual([]);
  cell.mayLead = () => true;
  cell.healPeers(runner);
  cell.drain();
  cell.verifyOnce();
});
