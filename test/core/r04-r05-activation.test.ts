import { expect, test } from "bun:test";
import { FREE_FLAG, Phase, type Delta, type StateChunkMessage } from "../../src/core/messages.ts";
import { OneLeader } from "./one-leader.ts";
import { LEADER, OneMember } from "./one-member.ts";
import { claimOf, doubtsOf, factsOf, hashesOf, offsetsOf } from "./support.ts";

/** One granted entry at offset 0, of the epoch. */
function deltaOf(epoch: number, seq: number): Delta {
  return {
    epoch,
    seq,
    rotateTo: 0,
    watermarks: [{ pid: 0, from: 0, watermark: 0 }],
    entries: [
      {
        pid: 0,
        offsets: offsetsOf(0),
        holder: "z/1",
        firstStamp: 1,
        phases: Uint8Array.of(Phase.executed),
        unknownRuns: new Uint8Array(0),
        attempts: new Uint8Array(0),
        hashes: hashesOf([0]),
      },
    ],
  };
}

function syncChunk(epoch: number, replace: boolean): StateChunkMessage {
  return {
    kind: "state-chunk",
    epoch,
    purpose: "sync",
    first: true,
    last: true,
    replace,
    seq: 0,
    watermarks: [
      {
        pid: 0,
        from: 0,
        watermark: 0,
      },
    ],
    rows: [],
    generations: [],
    segments: [],
  };
}

test("R4: merge the last set, push to the new one, write it, and only then vote", () => {
  const leader = new OneLeader({ inSync: ["m/1", "n/1"] });
  leader.members("m/1", "n/1");
  leader.attach("m/1", { appliedEpoch: 4, appliedSeq: 3 });
  leader.attach("n/1", { appliedEpoch: 4, appliedSeq: 3 });
  leader.tick();
  leader.tellState("m/1", { entries: [[0, Phase.executed, "z/1"]] });
  leader.tick();
  expect(leader.messagesTo("n/1", "state-request")).toHaveLength(1);
  expect(leader.messagesTo("m/1", "state-chunk")).toEqual([]); // n has not told yet: nothing is pushed
  leader.tellState("n/1", { entries: [[1, Phase.granted, "z/1"]] });
  leader.tick();
  expect(leader.messagesTo("m/1", "state-chunk").length).toBeGreaterThan(0);
  leader.acknowledge("m/1");
  leader.tick();
  expect(leader.all("write-watermarks")).toEqual([]); // n has not acknowledged the push
  leader.acknowledge("n/1");
  leader.tick();
  leader.marked();
  expect(leader.last("write-in-sync")).toMatchObject({ incarnations: ["L/1", "m/1", "n/1"], version: 1 });
  leader.acknowledge("m/1", { claims: [claimOf(1, [0])] });
  expect(leader.words("m/1", 1)).toEqual([]);
  expect(leader.messagesTo("m/1", "admitted")).toEqual([]);
  leader.setWritten();
  expect(leader.messagesTo("m/1", "admitted")).toHaveLength(1);
  leader.own("m/1");
  expect(leader.doubt("m/1", doubtsOf(2, [0]))).toEqual(["executed"]);
  expect(leader.entry(1)!.holder).toBe("z/1");
});

test("R4: a leader that reaches no member of the last set resigns while one is registered", () => {
  const leader = new OneLeader({ inSync: ["m/1", "n/1"] });
  leader.members("m/1");
  leader.tick(1_600);
  expect(leader.core.leader).toBeNull();
  expect(leader.last("resign").epoch).toBe(5);
  // It has itself seen no active leader for uncleanStartAfterMs: then it may.
  leader.tick(15_000);
  leader.epoch = 6;
  leader.win({ incarnations: ["m/1", "n/1"], version: 1 });
  leader.tick(1_600);
  expect(leader.leader.state.uncleanStart).toBe(true);
});

test("R4: who begins without the last set overwrites no member of it that comes back before the new set is written", () => {
  const leader = new OneLeader({ inSync: ["m/1", "n/1"] });
  leader.members("o/1");
  leader.tick(1_600);
  expect(leader.leader.state.uncleanStart).toBe(true);
  leader.members("m/1", "o/1");
  leader.attach("m/1", { appliedEpoch: 4, appliedSeq: 3 });
  leader.tick();
  expect(leader.messagesTo("m/1", "state-chunk")).toEqual([]);
  expect(leader.core.leader).toBeNull();
  expect(leader.last("resign").epoch).toBe(5);
});

test("R4: after a resignation it stays out of the next election for a while", () => {
  const leader = new OneLeader({ inSync: ["m/1", "n/1"] });
  leader.members("m/1");
  leader.tick(1_600);
  leader.step({ type: "leader", leader: null });
  leader.step({ type: "in-sync-read", epoch: 0, inSync: { incarnations: [], version: 1 } });
  leader.tick(3_000);
  expect(leader.all("compete")).toEqual([]);
  leader.tick(4_000);
  expect(leader.all("compete")).toHaveLength(1);
});

test("R4: candidates outside the last set, or without its state, wait a lease before they compete", () => {
  const waitsMs = (incarnations: (self: string) => string[], prepare: (member: OneMember) => void): number => {
    const member = new OneMember();
    prepare(member);
    member.step({ type: "leader", leader: null });
    const began = member.now;
    const inSync = { incarnations: incarnations(member.incarnation), version: 1 };
    member.step({ type: "in-sync-read", epoch: 0, inSync });
    while (member.all("compete").length === 0) member.tick(10);
    return member.now - began;
  };
  const informed = (member: OneMember) => member.say(syncChunk(1, true));
  const nothing = () => {};
  expect(waitsMs((self) => ["z/1", self], informed)).toBeLessThan(300);
  expect(waitsMs((self) => ["z/1", self], nothing)).toBeGreaterThan(3_000);
  expect(waitsMs(() => ["z/1"], informed)).toBeGreaterThan(3_000);
  expect(waitsMs(() => [], nothing)).toBeLessThan(300); // the cell's first start
});

test("R4: on a conflict it begins again from the record that it finds", () => {
  const leader = new OneLeader({ inSync: ["m/1"] });
  leader.members("m/1", "n/1");
  leader.attach("m/1", { appliedEpoch: 4 });
  leader.attach("n/1", { appliedEpoch: 4 });
  leader.tick();
  leader.tellState("m/1");
  leader.tick();
  leader.acknowledge("m/1");
  leader.acknowledge("n/1");
  leader.tick();
  leader.marked();
  leader.setWritten("conflict");
  expect(leader.leader.state.active).toBe(false);
  leader.step({ type: "in-sync-read", epoch: 5, inSync: { incarnations: ["m/1", "n/1"], version: 8 } });
  leader.tick();
  expect(leader.messagesTo("n/1", "state-request")).toHaveLength(1); // now it is of the last set
  leader.tellState("n/1");
  leader.tick();
  leader.acknowledgeAll();
  leader.tick();
  leader.marked();
  expect(leader.last("write-in-sync").version).toBe(8);
});

test("R4: an unknown outcome is read again; it votes when the write is known", () => {
  const leader = new OneLeader();
  leader.members("m/1");
  leader.attach("m/1");
  leader.tick(2_000);
  leader.acknowledge("m/1");
  leader.tick();
  leader.marked();
  leader.setWritten("unknown");
  leader.tick();
  expect(leader.leader.state.active).toBe(false);
  leader.step({ type: "in-sync-read", epoch: 5, inSync: { incarnations: ["L/1", "m/1"], version: 2 } });
  expect(leader.leader.state.active).toBe(true);
  expect(leader.leader.state.inSyncVersion).toBe(2);
});

test("R4: fewer reachable nodes than minInSync: it waits, and says for whom", () => {
  const leader = new OneLeader();
  leader.tick(60_000);
  expect(leader.all("write-in-sync")).toEqual([]);
  expect(leader.core.waitingFor).toContain("1 more node");
});

test("R5: a node outside the last set tells no entries, asked or not", () => {
  const leader = new OneLeader({ inSync: ["m/1"] });
  leader.members("m/1", "p/1");
  leader.attach("p/1", { appliedEpoch: 4 });
  leader.attach("m/1", { appliedEpoch: 4 });
  leader.tick();
  expect(leader.messagesTo("p/1", "state-request")).toEqual([]);
  leader.tellState("p/1", { entries: [[0, Phase.executed, "z/1"]] });
  leader.tellState("m/1");
  expect(leader.entry(0)).toBeNull();
});

test("R5: a member of the last set that lost its state tells nothing either", () => {
  const leader = new OneLeader({ inSync: ["m/1", "n/1"] });
  leader.members("m/1", "n/1");
  leader.attach("m/1", { appliedEpoch: 0 });
  leader.attach("n/1", { appliedEpoch: 4 });
  leader.tick();
  expect(leader.messagesTo("m/1", "state-request")).toEqual([]);
  expect(leader.messagesTo("n/1", "state-request")).toHaveLength(1);
});

test("R5: who wins outside the last set begins without its own table", () => {
  const member = new OneMember();
  member.say(syncChunk(1, true));
  member.say({ kind: "delta", epoch: 1, delta: deltaOf(1, 1) });
  expect(member.core.replica.table.entries).toBe(1);
  const win = (incarnations: string[], epoch: number) =>
    member.step({
      type: "election",
      outcome: "won",
      epoch,
      inSync: { incarnations, version: 1 },
      watermarks: { clean: false, written: true, partitions: [] },
    });
  win([member.incarnation, "z/1"], 2);
  expect(member.core.replica.table.entries).toBe(1); // of the last set: its own state is the first that is merged
  member.say({ kind: "refused", epoch: 3, reason: "stale-epoch" });
  win(["z/1"], 4);
  expect(member.core.replica.table.entries).toBe(0);
});

test("R5: a returning leader drops its table and takes the pushed one", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.report("m/1", { claims: [claimOf(1, [0])] }); // nobody acknowledged it: it never was
  leader.step({ type: "leader", leader: { incarnation: LEADER, epoch: 9 } });
  expect(leader.core.leader).toBeNull();
  leader.tick(1_000);
  leader.step({ type: "connected", connection: 77, peer: LEADER, outgoing: true });
  const say = (message: StateChunkMessage) => leader.step({ type: "message", connection: 77, to: "L/1", message });
  say(syncChunk(9, true));
  expect(leader.core.replica.table.partition(0).read(0)).toBeNull();
});

test("R5: the active leader's push replaces what a joiner has, the merge's push adds", () => {
  const leader = new OneLeader({ inSync: ["m/1"] });
  leader.members("m/1", "p/1");
  leader.attach("m/1", { appliedEpoch: 4 });
  leader.attach("p/1", { appliedEpoch: 4 });
  leader.tick();
  leader.tellState("m/1");
  leader.tick();
  expect(leader.messagesTo("m/1", "state-chunk")[0]!.replace).toBe(false);
  expect(leader.messagesTo("p/1", "state-chunk")[0]!.replace).toBe(true);
});

test("R5: what a node outside the set executes or executed is a fact all the same", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.attach("p/1");
  const hashes = hashesOf([3]);
  leader.report("p/1", {
    finished: [factsOf(Phase.executed, [3], { hashes }), factsOf(Phase.executing, [4], { hashes })],
  });
  leader.acknowledgeAll();
  expect(leader.entry(3)).toMatchObject({ phase: Phase.executed, holder: "p/1" });
  expect(leader.entry(4)).toMatchObject({ phase: Phase.executing, holder: "p/1" });
  expect(leader.claim("m/1", claimOf(1, [3, 4]))).toEqual(["doubtful", "doubtful"]);
});

test("R5: an executing fact takes no entry from its holder, and a final phase stays", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0, 1]));
  leader.report("m/1", { finished: [factsOf(Phase.executed, [1])] });
  leader.report("n/1", { finished: [factsOf(Phase.executing, [0, 1])] });
  expect(leader.entry(0)).toMatchObject({ phase: Phase.granted, holder: "m/1" });
  expect(leader.entry(1)).toMatchObject({ phase: Phase.executed, holder: "m/1" });
});

test("R5: a half merged state is nobody's", () => {
  const leader = new OneLeader({ inSync: ["m/1", "n/1"] });
  leader.members("m/1", "n/1");
  leader.attach("m/1", { appliedEpoch: 4 });
  leader.tick();
  leader.tellState("m/1", { entries: [[0, Phase.granted | FREE_FLAG]] });
  leader.core.replica.appliedEpoch = 5; // as if it had been told so
  leader.step({ type: "session", state: "lost" });
  expect(leader.core.leader).toBeNull();
  expect(leader.core.replica.appliedEpoch).toBe(0);
});
