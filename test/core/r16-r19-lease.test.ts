import { expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import { coreSettings, nodeConfig, parameterSet } from "../../src/config/node-config.ts";
import type { CoreSettings } from "../../src/core/settings.ts";
import { Lease } from "../../src/core/member/lease.ts";
import { Phase, type PeerMessage } from "../../src/core/messages.ts";
import { Replica } from "../../src/core/replica.ts";
import { hashOf } from "../support/cell.ts";
import { OneLeader } from "./one-leader.ts";
import { OneMember } from "./one-member.ts";
import { claimOf, doubtsOf, factsOf, runningCell, settingsOf } from "./support.ts";

// --- isolation

test("R16: fetching pauses when the lease ends, and goes on with the next one", () => {
  const member = new OneMember();
  member.own();
  member.now = member.core.member.state.lease.until - 1;
  member.tick();
  expect(member.all("pause")).toEqual([]);
  member.tick(1);
  expect(member.all("pause")).toMatchObject([{ pid: 0 }]);
  member.acknowledge();
  member.tick();
  expect(member.all("resume")).toMatchObject([{ pid: 0 }]);
});

test("R16: without a leader's word for isolateAfterMs the node leaves the group, whatever the epoch", () => {
  const member = new OneMember();
  member.own();
  const until = member.core.member.state.lease.lastUntil;
  member.say({ kind: "nudge", epoch: 2, pids: [] });
  member.now = until + 15_000 - 1;
  member.tick();
  expect(member.all("leave-group")).toEqual([]);
  member.tick(1);
  expect(member.all("leave-group")).toHaveLength(1);
});

test("R16: a node that left the group joins again when it is admitted", () => {
  const member = new OneMember();
  member.own();
  member.now = member.core.member.state.lease.lastUntil + 15_000;
  member.tick();
  member.step({ type: "group-left" });
  const joins = member.all("join-group").length;
  member.step({ type: "disconnected", connection: 1 });
  member.connection = 2;
  member.tick(1_000);
  member.connect();
  expect(member.all("join-group")).toHaveLength(joins + 1);
});

// --- the lease and the leader's own right

test("R17: a lease runs from the moment before the report was sent", () => {
  const lease = new Lease(0);
  lease.sent(1, 1_000);
  lease.acknowledged(1, 3_000, 3_900);
  expect(lease.valid(3_999)).toBe(true);
  expect(lease.valid(4_000)).toBe(false);
});

test("R17: an acknowledgement of a report that was not sent on this connection gives nothing", () => {
  const lease = new Lease(0);
  lease.sent(1, 1_000);
  lease.forgetReports();
  expect(lease.acknowledged(1, 3_000, 1_010)).toBe("ignored");
  expect(lease.acknowledged(7, 3_000, 1_010)).toBe("ignored");
  expect(lease.valid(1_010)).toBe(false);
});

test("R17: no order of acknowledgements makes a lease longer than the newest report allows", () => {
  const step = fc.record({ wait: fc.nat(1_500), lose: fc.boolean(), leaseMs: fc.integer({ min: 1, max: 3_000 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const lease = new Lease(0);
      let now = 0;
      let allowed = 0;
      let until = 0;
      steps.forEach(({ wait, lose, leaseMs }, number) => {
        const sentAt = now;
        lease.sent(number, sentAt);
        now += wait;
        if (lose) return;
        const before = lease.valid(now);
        const answer = lease.acknowledged(number, leaseMs, now);
        if (answer !== "ignored") allowed = Math.max(allowed, sentAt + leaseMs);
        expect(answer === "new").toBe(!before && lease.valid(now));
        expect(lease.until).toBe(allowed);
        expect(lease.until).toBeGreaterThanOrEqual(until); // it never shrinks
        until = lease.until;
      });
    }),
    { numRuns: 100 },
  );
});

test("R17: clocks that disagree end the lease until a report sent afterwards is answered", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  member.tick(500); // a heartbeat is under way
  member.step({ type: "clock-jump" });
  member.acknowledge();
  member.answerClaim();
  expect(member.started).toEqual([]);
  member.tick(500);
  member.acknowledge();
  member.claim();
  member.answerClaim();
  expect(member.started).toEqual([0]);
  expect(member.all("abort-all")).toEqual([]);
});

test("R17: an acknowledgement gives no more than the leader itself has left", () => {
  const leader = new OneLeader().activate("m/1");
  leader.step({ type: "coordinator-deadline", at: leader.now + 5_000 });
  leader.report("m/1");
  expect(leader.messagesTo("m/1", "ack").at(-1)!.leaseMs).toBe(3_000);
  leader.tick(4_000);
  leader.report("m/1");
  expect(leader.messagesTo("m/1", "ack").at(-1)!.leaseMs).toBe(1_000);
});

test("R17: past the coordinator's deadline nothing is acknowledged, decided or released", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.report("m/1", { claims: [claimOf(1, [0])] });
  leader.step({ type: "coordinator-deadline", at: leader.now + 100 });
  leader.now += 100;
  const acks = leader.messagesTo("m/1", "ack").length;
  const { stamp } = leader.leader.state;
  leader.acknowledgeAll();
  leader.report("m/1", { claims: [claimOf(2, [1])] });
  leader.acknowledgeAll();
  expect(leader.messagesTo("m/1", "ack")).toHaveLength(acks);
  expect(leader.words("m/1", 1)).toEqual([]);
  expect(leader.leader.state.stamp).toBe(stamp);
  leader.step({ type: "coordinator-deadline", at: Infinity }); // the coordinator answered again
  leader.acknowledgeAll();
  expect(leader.words("m/1", 1)).toEqual(["granted"]);
});

test("R17: a leader without the coordinator starts nothing itself", () => {
  const cell = runningCell({ partitions: 3 });
  const leader = cell.activeLeader()!.name;
  const node = cell.node(leader);
  node.cut = true; // from now on no new deadline; its links stay open, and members go on acknowledging
  cell.advance(4_050);
  expect(node.core.member.state.lease.valid(cell.now)).toBe(false);
  const before = cell.runs.filter((run) => run.node === leader).length;
  for (let p = 0; p < 3; p++) cell.produceMany(p, 10);
  cell.advance(500);
  expect(cell.runs.filter((run) => run.node === leader)).toHaveLength(before);
});

test("R17: a leader without enough live members resigns for another that is registered", () => {
  const leader = new OneLeader().activate("m/1");
  leader.detach("m/1");
  for (let i = 0; i < 6; i++) leader.tick(1_000);
  expect(leader.core.leader).toBeNull();
  expect(leader.last("resign").epoch).toBe(5);
});

test("R17: with nobody else registered it goes on waiting", () => {
  const leader = new OneLeader().activate("m/1");
  leader.detach("m/1");
  leader.members();
  for (let i = 0; i < 60; i++) leader.tick(1_000);
  expect(leader.core.leader).not.toBeNull();
});

// --- filter generations

const small = { filter: { generations: 2, capacityPerGeneration: 10, falsePositiveRate: 0.001, seed: 3 } };

test("R18: the leader opens the next filter generation, and everybody opens it at the same place", () => {
  const leader = new OneLeader({ settings: small }).activate("m/1", "n/1");
  leader.own("m/1");
  const offsets = Array.from({ length: 12 }, (_, i) => i);
  leader.claim("m/1", claimOf(1, offsets));
  leader.claim("m/1", claimOf(2, [20]));
  const rotations = leader.messagesTo("n/1", "delta").map(({ delta }) => delta.rotateTo);
  expect(rotations.filter((id) => id !== 0)).toEqual([2]);
  const member = new OneMember({ settings: small });
  member.core.replica.appliedEpoch = 5;
  member.say({ kind: "nudge", epoch: 5, pids: [] });
  for (const message of leader.messagesTo("n/1", "delta")) member.say(message);
  const held = (core: OneMember | OneLeader) => core.core.replica.filter.generations.map(({ id }) => id);
  expect(held(member)).toEqual(held(leader));
  expect(member.core.replica.filter.has(...hashOf("k:20"))).toBe(true);
});

test("R18: what is still in the table is answered by its index when the filter has forgotten it", () => {
  const leader = new OneLeader({ settings: small }).activate("m/1", "n/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  for (let round = 0; round < 4; round++) {
    const offsets = Array.from({ length: 12 }, (_, i) => 10 + 12 * round + i);
    leader.claim("m/1", claimOf(2 + round, offsets));
  }
  expect(leader.core.replica.filter.has(...hashOf("t:pay-7"))).toBe(false);
  expect(leader.claim("m/1", claimOf(9, [1], { ids: ["pay-7"] }))).toEqual(["doubtful"]);
  leader.moveTo("n/1", 2);
  leader.detach("m/1"); // its executor cannot tell the id any more
  leader.now += 3_100;
  leader.acknowledge("n/1");
  leader.setWritten();
  const page = doubtsOf(10, [1], { generation: 2, ownership: 2, ids: ["pay-7"] });
  expect(leader.doubt("n/1", page)).toEqual(["adoptedMaybe"]);
});

/** pay-7 runs while the filter of leader and members is opened four times anew; then it ends, and W passes it. */
function ranLong(keep: (leader: OneLeader) => void = () => undefined): OneLeader {
  const leader = new OneLeader({ settings: small }).activate("m/1", "n/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
  for (let round = 0; round < 4; round++) {
    const offsets = Array.from({ length: 12 }, (_, i) => 10 + 12 * round + i);
    leader.claim("m/1", claimOf(2 + round, offsets));
  }
  expect(leader.core.replica.filter.has(...hashOf("t:pay-7"))).toBe(false);
  keep(leader);
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  leader.report("m/1", { commits: [{ pid: 0, ownership: 1, generation: 1, position: 1 }] });
  leader.acknowledgeAll();
  expect(leader.entry(0)).toBeNull();
  return leader;
}

test("R18: a task that ran longer than the filter remembers is in the window from its end", () => {
  const leader = ranLong();
  expect(leader.claim("m/1", claimOf(9, [1], { ids: ["pay-7"] }))).toEqual(["doubtful"]);
  // Only what a generation was opened over is inserted a second time.
  leader.claim("m/1", claimOf(10, [2]));
  const again = spyOn(leader.core.replica.filter, "addMany");
  leader.report("m/1", { finished: [factsOf(Phase.executed, [2])] });
  leader.report("m/1", { commits: [{ pid: 0, ownership: 1, generation: 1, position: 3 }] });
  expect(leader.entry(2)).toBeNull();
  expect(again).not.toHaveBeenCalled();
});

test("R18: a task that ran longer than the filter remembers is in the window of every member, for the next leader", () => {
  const joiners: OneMember[] = [];
  const join = (leader: OneLeader, messages: readonly PeerMessage[]): void => {
    const member = new OneMember({ settings: small });
    member.core.replica.appliedEpoch = leader.epoch;
    member.say({ kind: "nudge", epoch: leader.epoch, pids: [] });
    for (const message of messages) member.say(message);
    joiners.push(member);
  };
  const leader = ranLong((running) => {
    running.attach("p/1"); // a joiner hears of the task by a state that does not say how old it is
  });
  join(leader, leader.messagesTo("n/1", "delta"));
  join(leader, [...leader.messagesTo("p/1", "state-chunk"), ...leader.messagesTo("p/1", "delta")]);
  for (const member of joiners) {
    expect(member.core.replica.table.partition(0).watermark).toBe(1);
    expect(member.core.replica.filter.has(...hashOf("t:pay-7"))).toBe(true);
  }
});

test("R18: a foreign commit that passes over a task lets it be known as long as any other", () => {
  const leader = ranLong((running) => {
    running.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
    for (let i = 0; i < 48; i++) running.report("m/1", { finished: [factsOf(Phase.executed, [10 + i])] });
    running.own("m/1", { generation: 2, ownership: 2, hadCommit: true, position: 60 });
    running.tick();
  });
  expect(leader.entry(10)).toBeNull();
  expect(leader.core.replica.filter.has(...hashOf("t:pay-7"))).toBe(true);
});

/** A leader that passed a task's W and then closed the generation, and a member that had heard of neither. */
function replicasApart(): { leading: Replica; member: Replica } {
  const settings = { generations: 2, capacityPerGeneration: 50, falsePositiveRate: 0.1, seed: 1 };
  const [leading, member] = [new Replica(settings), new Replica(settings)];
  for (const replica of [leading, member]) {
    const table = replica.table.partition(0);
    table.restartAt(0);
    table.write(0, replica.table.holderIndex("a/1"), 1, 1, Phase.executed, 0, 0, 7, 7);
    replica.filter.add(7, 7);
    replica.rotate(2);
  }
  leading.table.partition(0).advance(1);
  leading.remember();
  leading.rotate(3);
  return { leading, member };
}

test("R18: what W passes by a sync stays in the leader's generation, and is not put into the open one (seed 10151)", () => {
  const { leading, member } = replicasApart();
  for (const chunk of leading.chunks(2, "sync", 5, false)) expect(member.addChunk(chunk)).toBe("");
  for (const { id } of leading.filter.generations)
    expect(member.filter.wordsOf(id)).toEqual(leading.filter.wordsOf(id));
  const [next] = member.chunks(3, "merge", 5, false);
  expect(next!.first).toBe(true);
  expect(member.filter.wordsOf(3)).toEqual(leading.filter.wordsOf(3));
});

test("R18: what W passed by a sync that broke off is told to the next leader", () => {
  const { leading, member } = replicasApart();
  for (const chunk of leading.chunks(2, "sync", 5, false)) if (chunk.first) member.addChunk(chunk);
  expect(member.table.partition(0).watermark).toBe(1);
  const next = new Replica({ generations: 2, capacityPerGeneration: 50, falsePositiveRate: 0.1, seed: 1 });
  for (const chunk of member.chunks(3, "merge", 5, false)) expect(next.addChunk(chunk)).toBe("");
  expect(next.filter.has(7, 7)).toBe(true);
});

// --- parameters

test("R19: every setting of the core is compared in the handshake, or is a node's own affair", () => {
  // May differ between the nodes of a cell: they bound one node's own work or patience, or are in every hello.
  const own = new Set(
    (
      "clusterUuid nodeId bootId startAt heartbeatMs inSyncEvictionMs checkQuorumMs isolateAfterMs uncleanStartAfterMs " +
      "syncMaxMs electionBackoffMs watermarkPersistMs drainTimeoutMs concurrency checkConcurrency checkAttemptsMax " +
      "checkBackoffMs unknownMax claimBatchMax reportsInFlightMax batchDelayMs commitIntervalMs tableSlotsMax " +
      "doubtfulMax doubtPageMax doubtIntervalMs deltaLogMax"
    ).split(" "),
  );
  const base = settingsOf("a");
  const text = (settings: CoreSettings) => JSON.stringify(parameterSet(settings, "group"));
  const other = (value: CoreSettings[keyof CoreSettings]): unknown => {
    if (typeof value === "number") return value + 1;
    if (typeof value === "string") return `${value}x`;
    return "seed" in value ? { ...value, seed: 99 } : [{ ...value[0], name: "another" }];
  };
  for (const key of Object.keys(base) as (keyof CoreSettings)[]) {
    const changed = { ...base, [key]: other(base[key]) };
    expect([key, text(changed) !== text(base)]).toEqual([key, !own.has(key)]);
  }
  expect(Object.keys(coreSettings(nodeConfig({ dataDir: "/data" }), [], "u", "b")).toSorted()).toEqual(
    Object.keys(base).toSorted(),
  );
});
