import { expect, test } from "bun:test";
import fc from "fast-check";
import { DIRTY_FLAG, FREE_FLAG, Phase } from "../../src/core/messages.ts";
import {
  BITMAP_BYTES_MAX,
  bitAt,
  bitsEnd,
  formatMetadata,
  METADATA_BYTES_MAX,
  parseMetadata,
} from "../../src/core/member/metadata.ts";
import { State } from "../../src/core/member/window.ts";
import { hashOf } from "../support/cell.ts";
import { OneLeader } from "./one-leader.ts";
import { metadataOf, OneMember } from "./one-member.ts";
import { claimOf, doubtsOf, factsOf, hashesOf, listOf, partitionReportOf, runningCell } from "./support.ts";

const QUARANTINE_MS = 3_000 + 12_000 + 1_000;
const SETTLE_MS = 2_000;
const SUSPECT = Phase.executing | FREE_FLAG | DIRTY_FLAG;
const ONE_OF_FOUR = { topic: { partitions: 1 } };

function lastMetadata(member: OneMember) {
  return parseMetadata(member.last("commit").commits[0]!.metadata)!;
}

function claimed(member: OneMember): number[] {
  return member.reports.flatMap((report) => report.claims).flatMap(({ offsets }) => listOf(offsets));
}

// --- write ahead

test("R15: nothing is claimed before the anchor is committed, and then only below the acknowledged ceiling", () => {
  const member = new OneMember();
  member.own({ anchor: false, logEnd: 10 });
  member.deliver(0, 10, [], { claim: false });
  member.tick(500);
  expect(claimed(member)).toEqual([]);
  const { ceiling } = lastMetadata(member);
  member.commitDone();
  member.tick(5);
  expect(claimed(member)).toEqual(Array.from({ length: ceiling }, (_, i) => i));
  member.deliver(10, 5, [], { claim: false });
  member.acknowledge();
  member.tick(600);
  expect(Math.max(...claimed(member))).toBeLessThan(ceiling); // the next ceiling is on its way
  member.commitDone();
  member.acknowledge();
  member.tick(5);
  expect(Math.max(...claimed(member))).toBe(14);
});

test("R15: the ceiling never falls: not below the one that was read, nor below what the leader knows", () => {
  const read = new OneMember();
  read.own({ committed: 5, metadata: metadataOf({ ceiling: 444 }), logEnd: 10 });
  expect(lastMetadata(read).ceiling).toBe(444);
  const told = new OneMember();
  told.own({ committed: 5, info: { top: 333 }, logEnd: 10 });
  expect(lastMetadata(told).ceiling).toBe(333);
});

test("R15: the ceiling is not the maximum: every reserved offset is suspect after a crash", () => {
  const member = new OneMember();
  member.own({ logEnd: 1_000_000 });
  member.deliver(0, 100);
  expect(lastMetadata(member).ceiling).toBeLessThanOrEqual(100 + 4_096);
});

test("R15: no claim before the leader's answer to the partition's report", () => {
  const member = new OneMember();
  member.own();
  member.epoch = 2; // a new leader: anchor and ceiling are known, where the cell stands is not
  member.say({ kind: "admitted", epoch: 2 });
  member.deliver(0, 10);
  expect(member.reports.flatMap((report) => report.partitions)).toHaveLength(2);
  member.tick(600);
  expect(claimed(member)).toEqual([]);
  member.inform();
  member.tick(600);
  expect(claimed(member)).toHaveLength(10);
});

test("R15: a commit that only shows the ownership is no anchor", () => {
  const member = new OneMember();
  member.step({
    type: "assigned",
    generation: 1,
    partitions: [{ pid: 0, committed: 0, metadata: metadataOf({ ceiling: 50 }), logStart: 0, logEnd: 50 }],
  });
  member.epoch = 2;
  member.say({ kind: "admitted", epoch: 2 });
  member.tick();
  member.commitDone(); // it carries the ceiling that was read; what the leader knows is not in it
  member.tick(600);
  member.inform({ top: 80 });
  member.deliver(0, 10, [], { claim: false });
  member.tick(600);
  expect(claimed(member)).toEqual([]);
  expect(lastMetadata(member).ceiling).toBe(80);
  member.commitDone();
  member.tick(600);
  expect(claimed(member)).toHaveLength(10);
});

test("R15: metadata survives the round trip, fits 4,096 bytes, and what is not ours is nothing", () => {
  const counter = fc.nat(Number.MAX_SAFE_INTEGER);
  fc.assert(
    fc.property(
      fc.record({
        dedupEpoch: counter,
        topicGeneration: counter,
        epoch: counter,
        from: counter,
        ceiling: counter,
        leaderEpoch: fc.integer({
          min: -1,
          max: 2 ** 31 - 1,
        }),
        clusterUuid: fc.uuid(),
        finals: fc.uint8Array({ maxLength: BITMAP_BYTES_MAX + 500 }),
      }),
      (metadata) => {
        const text = formatMetadata(metadata);
        expect(Buffer.byteLength(text)).toBeLessThanOrEqual(METADATA_BYTES_MAX);
        expect(parseMetadata(text)).toEqual({ ...metadata, finals: metadata.finals.slice(0, BITMAP_BYTES_MAX) });
      },
    ),
    { numRuns: 50 },
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(parseMetadata(text)).toBeNull();
    }),
    { numRuns: 50 },
  );
  const large = {
    dedupEpoch: 1,
    topicGeneration: 1,
    epoch: 1,
    from: 0,
    ceiling: 1,
    leaderEpoch: 0,
  };
  const finals = new Uint8Array(BITMAP_BYTES_MAX + 400).fill(255);
  expect(formatMetadata({ ...large, clusterUuid: "u", finals }).length).toBeLessThanOrEqual(METADATA_BYTES_MAX);
  for (const text of ["v1|1|1|u|1|0|0|0|###", "v2|1|1|u|1|0|0|0|", "v1|1|1|u|x|0|0|0|", "v1|1|1|u|1|0|0|0"])
    expect(parseMetadata(text)).toBeNull();
});

test("R15: commits carry the bitmap of what is final above the position", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 6);
  member.answerClaim();
  for (const offset of [0, 2, 5]) member.end(offset, "success");
  member.tick(200);
  const { finals } = lastMetadata(member);
  expect(member.last("commit").commits[0]!.position).toBe(1);
  expect([0, 1, 2, 3, 4].map((bit) => bitAt(finals, bit))).toEqual([false, true, false, false, true]);
});

test("R15: a new owner takes final bits for what they are, and keeps those of what it has not fetched", () => {
  const member = new OneMember();
  member.own({ committed: 10, metadata: metadataOf({ ceiling: 30, finals: Uint8Array.of(0b10, 0b1) }) });
  expect([...lastMetadata(member).finals]).toEqual([0b10, 0b1]);
  member.deliver(10, 3);
  expect([10, 11, 12].map((offset) => member.stateOf(offset))).toEqual([State.asked, State.dropped, State.asked]);
  expect(bitAt(member.core.member.state.windows.get(0)!.finalsAbove(10, 100), 8)).toBe(true);
});

// --- what is persisted

test("R15: the clean mark is taken away before the first vote, and W is written all the time", () => {
  const leader = new OneLeader();
  leader.members("m/1");
  leader.attach("m/1");
  leader.tick(2_000);
  leader.acknowledge("m/1");
  leader.tick();
  expect(leader.all("write-watermarks")).toMatchObject([{ clean: false }]);
  expect(leader.all("write-in-sync")).toEqual([]);
  leader.marked();
  leader.setWritten();
  leader.own("m/1", { position: 3 });
  for (let i = 0; i < 21; i++) {
    leader.tick(500);
    leader.acknowledge("m/1");
  }
  expect(leader.last("write-watermarks")).toMatchObject({
    clean: false,
    partitions: [{ pid: 0, from: 3, watermark: 3 }],
  });
});

test("R15: what the coordinator keeps of a partition stays there until its owner has reported", () => {
  const leader = new OneLeader({
    inSync: ["z/1"],
    watermarks: { partitions: [{ pid: 7, from: 1, watermark: 9 }] },
  }).activate("m/1");
  expect(leader.last("write-watermarks").partitions).toEqual([{ pid: 7, from: 1, watermark: 9 }]);
});

// --- first, clean and unclean starts

test("R15: at a first start nothing is suspect", () => {
  const leader = new OneLeader().activate("m/1");
  leader.own("m/1");
  expect(leader.claim("m/1", claimOf(1, [0, 1], { ids: [null, "pay-7"] }))).toEqual(["granted", "granted"]);
});

/** The whole last set is lost; the partition's last commit said: 3 committed, 5 final, ceiling 8. */
function unclean(more: Parameters<typeof partitionReportOf>[0] = {}, clean = false): OneLeader {
  const leader = new OneLeader({
    inSync: ["y/1", "z/1"],
    watermarks: { clean, partitions: [{ pid: 0, from: 0, watermark: 3 }] },
    ...ONE_OF_FOUR,
  }).activate("m/1");
  const report = { position: 3, hadCommit: true, ours: true, from: 0, ceiling: 8, finals: Uint8Array.of(0b100) };
  leader.own("m/1", { ...report, logEnd: 20, ...more });
  return leader;
}

let number = 1_000;

function ask(leader: OneLeader, offset: number, id: string | null = null): string {
  return leader.doubt("m/1", doubtsOf(number++, [offset], { ids: [id] }))[0]!;
}

function later(leader: OneLeader, ms: number): void {
  for (const end = leader.now + ms; leader.now < end;) {
    leader.now = Math.min(end, leader.now + 500);
    leader.acknowledge("m/1");
  }
}

test("R15: after an unclean start what lies below the ceiling is suspect, unless it has a final bit", () => {
  const leader = unclean();
  expect(leader.claim("m/1", claimOf(1, [3, 4, 5, 7, 8]))).toEqual([
    "doubtful",
    "doubtful",
    "doubtful",
    "doubtful",
    "granted", // at the ceiling: nobody was ever granted it
  ]);
  expect(ask(leader, 5)).toBe("executed");
  expect(ask(leader, 4)).toBe("wait");
  // Every suspect is an entry, asked for or not: so that it outlives this leader.
  expect(leader.entry(6)).toMatchObject({ phase: Phase.executing, holder: "", dirty: true });
});

test("R15: suspects are adopted when the quarantine since the activation is over", () => {
  const leader = unclean();
  const { activatedAt } = leader.leader.state;
  later(leader, activatedAt + QUARANTINE_MS + SETTLE_MS - 1 - leader.now);
  expect(ask(leader, 4)).toBe("wait");
  leader.now++;
  expect(ask(leader, 4)).toBe("adopted");
});

test("R15: suspects are adopted earlier when every incarnation of the last set is proven dead", () => {
  const leader = unclean();
  leader.step({ type: "death-proven", incarnation: "y/1" });
  later(leader, SETTLE_MS);
  expect(ask(leader, 4)).toBe("wait");
  leader.step({ type: "death-proven", incarnation: "z/1" });
  later(leader, SETTLE_MS - 1);
  expect(ask(leader, 4)).toBe("wait");
  leader.now++;
  expect(ask(leader, 4)).toBe("adopted");
});

test("R15: every node is heard before a suspect is adopted", () => {
  const leader = unclean();
  leader.attach("n/1"); // it may run it: it has told no facts yet
  later(leader, QUARANTINE_MS + SETTLE_MS);
  expect(ask(leader, 4)).toBe("wait");
  leader.acknowledge("n/1", { finished: [factsOf(Phase.executing, [4], { hashes: Uint32Array.of(1, 2) })] });
  expect(leader.entry(4)).toMatchObject({ holder: "n/1", phase: Phase.executing, dirty: true });
  expect(ask(leader, 6)).toBe("adopted");
});

test("R15: a commit that is not ours, or older than W, makes everything up to the log's end suspect", () => {
  for (const report of [
    { ours: false, from: -1, position: 2 },
    { ours: true, position: 2, ceiling: 4 },
  ]) {
    const leader = unclean(report);
    expect(ask(leader, 19)).toBe("wait");
    expect(leader.claim("m/1", claimOf(1, [20]))).toEqual(["granted"]);
  }
});

test("R15: after a clean start at the position that was left nothing is suspect", () => {
  const leader = unclean({ finals: new Uint8Array(0) }, true);
  expect(leader.claim("m/1", claimOf(1, [3, 4]))).toEqual(["granted", "granted"]);
});

test("R18: what W passes when a partition begins, or is restored, is in the window from then", () => {
  const settings = { filter: { generations: 2, capacityPerGeneration: 10, falsePositiveRate: 0.001, seed: 3 } };
  const ours = { position: 3, hadCommit: true, ours: true, from: 0, ceiling: 3, logEnd: 20 };
  for (const partitions of [[{ pid: 0, from: 0, watermark: 3 }], []]) {
    const leader = new OneLeader({ inSync: ["y/1"], watermarks: { partitions }, settings, ...ONE_OF_FOUR });
    leader.activate("m/1");
    // Who came back tells what it ran, before anybody owns the partition; then the filter is opened anew, twice.
    leader.report("m/1", { finished: [factsOf(Phase.executed, [0], { hashes: hashesOf([0], ["pay-7"]) })] });
    for (const first of [20, 32, 44]) {
      const offsets = Array.from({ length: 12 }, (_, i) => first + i);
      leader.report("m/1", { finished: [factsOf(Phase.executed, offsets, { hashes: hashesOf(offsets) })] });
    }
    expect(leader.core.replica.filter.has(...hashOf("t:pay-7"))).toBe(false);
    leader.own("m/1", ours);
    expect(leader.entry(0)).toBeNull();
    expect(leader.core.replica.filter.has(...hashOf("t:pay-7"))).toBe(true);
  }
});

test("R15: after a clean stop another position is an unclean start", () => {
  const leader = unclean({ position: 4 }, true);
  expect(leader.claim("m/1", claimOf(1, [6]))).toEqual(["doubtful"]);
});

test("R15: a task id of its own waits until every suspect has its hash, then finds it", () => {
  const leader = unclean();
  expect(leader.claim("m/1", claimOf(1, [12], { ids: ["pay-7"] }))).toEqual(["doubtful"]);
  expect(ask(leader, 12, "pay-7")).toBe("wait");
  for (const offset of [3, 4, 6]) ask(leader, offset);
  expect(ask(leader, 12, "pay-7")).toBe("wait"); // 7 was not asked for yet
  ask(leader, 7, "pay-8");
  leader.report("m/1", { finished: [factsOf(Phase.dropped, [5], { hashes: hashesOf([5]) })] }); // final by the bitmap
  expect(ask(leader, 12, "pay-7")).toBe("granted");
  expect(ask(leader, 13, "pay-8")).toBe("wait"); // 7 may run until its quarantine is over
  later(leader, QUARANTINE_MS + SETTLE_MS);
  expect(ask(leader, 13, "pay-8")).toBe("adoptedMaybe");
});

test("R15: a task id of its own waits for partitions that nobody has reported", () => {
  const leader = new OneLeader({
    inSync: ["z/1"],
    watermarks: { partitions: [{ pid: 0, from: 0, watermark: 0 }] },
    topic: { partitions: 2 },
  }).activate("m/1");
  leader.own("m/1", { ours: true, hadCommit: true, from: 0, logEnd: 20 });
  expect(leader.claim("m/1", claimOf(1, [0, 1], { ids: [null, "pay-7"] }))).toEqual(["granted", "doubtful"]);
  expect(ask(leader, 1, "pay-7")).toBe("wait");
  leader.own("m/1", { pid: 1 });
  expect(ask(leader, 1, "pay-7")).toBe("granted");
});

test("R15: suspects outlive the leader that found them", () => {
  const leader = new OneLeader({ inSync: ["m/1"], ...ONE_OF_FOUR });
  leader.members("m/1");
  leader.attach("m/1", { appliedEpoch: 4 });
  leader.tick();
  leader.tellState("m/1", { entries: [[4, SUSPECT, ""]] });
  leader.core.replica.table.partition(0).hashes.fill(0); // the record was never asked for
  leader.tick();
  leader.acknowledge("m/1");
  leader.tick();
  leader.marked();
  leader.setWritten();
  leader.own("m/1", { ours: true, hadCommit: true, from: 0 });
  expect(leader.claim("m/1", claimOf(1, [4, 5, 6], { ids: [null, null, "pay-7"] }))).toEqual([
    "doubtful",
    "granted",
    "doubtful",
  ]);
  expect(ask(leader, 6, "pay-7")).toBe("wait");
  expect(ask(leader, 4, "pay-7")).toBe("wait");
  later(leader, QUARANTINE_MS + SETTLE_MS);
  expect(ask(leader, 4, "pay-7")).toBe("adopted");
});

test("R15: a task that is final and has no name has one when its record is asked for, and its duplicates wait no longer", () => {
  const leader = unclean();
  for (const offset of [3, 4, 6, 7]) ask(leader, offset);
  leader.report("m/1", { finished: [{ ...factsOf(Phase.dropped, [9]), hashes: new Uint32Array(0) }] }); // and m/1 dies
  expect(ask(leader, 10, "pay-7")).toBe("wait"); // it may be 5 or 9
  expect(ask(leader, 5)).toBe("executed");
  expect(ask(leader, 9, "pay-8")).toBe("executed");
  expect(ask(leader, 10, "pay-7")).toBe("granted");
  expect(ask(leader, 11, "pay-8")).toBe("adoptedMaybe"); // 9 was dropped: nobody knows that it was executed
});

test("R15: a partition that no table knows is suspect under any leader", () => {
  const leader = new OneLeader({
    inSync: ["m/1"],
    watermarks: { partitions: [{ pid: 0, from: 0, watermark: 3 }] },
    ...ONE_OF_FOUR,
  });
  leader.members("m/1");
  leader.attach("m/1", { appliedEpoch: 4 });
  leader.tick();
  leader.tellState("m/1", { watermarks: [] });
  leader.tick();
  leader.acknowledge("m/1");
  leader.tick();
  leader.marked();
  leader.setWritten();
  leader.own("m/1", { position: 3, ours: true, hadCommit: true, from: 0, ceiling: 8 });
  expect(leader.claim("m/1", claimOf(1, [7, 8]))).toEqual(["doubtful", "granted"]);
});

test("R15: after an election an owner reports only what a commit has shown to be its own still", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 2);
  const reports = () => member.reports.flatMap((report) => report.partitions);
  expect(reports()).toHaveLength(1);
  member.epoch = 2;
  member.say({ kind: "admitted", epoch: 2 });
  member.tick(500);
  expect(reports()).toHaveLength(1);
  member.commitDone();
  member.tick(500);
  expect(reports()).toHaveLength(2);
  expect(claimed(member)).toEqual([0, 1]); // of the old epoch: the new leader has not answered the report yet
});

test("R15: final bits are told from the position that is told, also when the commit that shows it moved it", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 4);
  member.answerClaim();
  for (const offset of [0, 2]) member.end(offset, "success");
  member.step({ type: "revoked" });
  while (member.core.member.commits.busy) member.commitDone();
  const metadata = metadataOf({ ceiling: 4, finals: Uint8Array.of(0b101) });
  member.step({
    type: "assigned",
    generation: 2,
    partitions: [{ pid: 0, committed: 0, metadata, logStart: 0, logEnd: 4 }],
  });
  member.deliver(0, 4); // 0 and 2 ran here: the next commit may pass 0
  member.epoch = 2;
  member.say({ kind: "admitted", epoch: 2 });
  member.tick();
  member.commitDone();
  member.tick(600);
  const report = member.reports.flatMap((sent) => sent.partitions).at(-1)!;
  expect(report.position).toBe(1);
  expect([...report.finals]).toEqual([0b10]); // offset 2, and not 3
});

test("R15: the answer to a commit of the old epoch shows nothing", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  member.answerClaim();
  member.end(0, "success");
  member.tick(200);
  expect(member.core.member.commits.busy).toBe(true);
  member.epoch = 2;
  member.say({ kind: "admitted", epoch: 2 });
  member.commitDone();
  member.tick(500);
  expect(member.reports.flatMap((report) => report.partitions)).toHaveLength(1);
  member.commitDone();
  member.tick(500);
  expect(member.reports.flatMap((report) => report.partitions)).toHaveLength(2);
});

test("R15: after a power loss every offset that was granted is checked, and runs once", () => {
  const cell = runningCell({ partitions: 2 });
  cell.handler = () => ({ ms: 2_000, outcome: "success" });
  cell.produceMany(0, 40);
  cell.produceMany(1, 40);
  cell.advance(1_000);
  const running = cell.runs.length;
  for (const name of ["a", "b", "c"]) cell.crash(name, { effect: name !== "a" });
  cell.handler = () => ({ ms: 5, outcome: "success" });
  cell.produceMany(0, 10);
  for (const name of ["a", "b", "c"]) cell.start(name);
  cell.drain();
  cell.verifyOnce();
  expect(running).toBe(80);
  expect(cell.checks.length).toBeGreaterThanOrEqual(80);
});

test("R15: a clean stop and start of the whole cell checks nothing", () => {
  const cell = runningCell();
  cell.produceMany(0, 50);
  cell.drain();
  for (const name of ["a", "b", "c"]) cell.tell(name, { type: "drain" });
  cell.until("all stopped", () => [...cell.nodes.values()].every((node) => !node.alive));
  expect(cell.watermarks.clean).toBe(true);
  for (const name of ["a", "b", "c"]) cell.start(name);
  cell.produceMany(0, 50);
  cell.drain();
  cell.verifyOnce();
  expect(cell.checks).toEqual([]);
});

test("R15, E18: the bitmap tells of records of the position's leader epoch only, and its reader up to where they must be kept", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 4, [], { leaderEpoch: 2, claim: false });
  member.deliver(4, 4, [], { leaderEpoch: 3 });
  member.answerClaim();
  for (const offset of [0, 2, 3, 5, 6]) member.end(offset, "success");
  member.tick(1_000);
  const { position, metadata } = member.last("commit").commits[0]!;
  expect(parseMetadata(metadata)).toMatchObject({ leaderEpoch: 2, finals: Uint8Array.of(0b110) });
  member.commitDone();
  member.step({ type: "revoked" });
  member.own({ committed: position, metadata });
  expect(member.last("positions").partitions[0]).toMatchObject({ position: 1, leaderEpoch: 2, keptTo: 4 });
  expect(bitsEnd(new Uint8Array(3))).toBe(0);
});
