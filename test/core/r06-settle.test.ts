import { expect, test } from "bun:test";
import { Phase } from "../../src/core/messages.ts";
import { hashOf } from "../support/cell.ts";
import { OneLeader } from "./one-leader.ts";
import { OneMember } from "./one-member.ts";
import { claimOf, doubtsOf, factsOf, hashesOf } from "./support.ts";

const SETTLE_MS = 2_000;

function voting(): OneLeader {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  return leader;
}

/** m holds offset 0 and the partition has moved to n, in group generation 2. */
function moved(ids: readonly (string | null)[] = []): OneLeader {
  const leader = voting();
  expect(leader.claim("m/1", claimOf(1, [0], { ids }))).toEqual(["granted"]);
  leader.moveTo("n/1", 2);
  return leader;
}

const inTwo = { generation: 2, ownership: 2 };

test("R6: step 1: what lies in [from, W) is committed, whatever anybody asks", () => {
  const leader = voting();
  leader.report("m/1", { commits: [{ pid: 0, ownership: 1, generation: 1, position: 5 }] });
  leader.acknowledgeAll();
  expect(leader.claim("m/1", claimOf(1, [4, 5]))).toEqual(["committed", "granted"]);
  expect(leader.doubt("m/1", doubtsOf(2, [4]))).toEqual(["committed"]);
});

test("R6: step 2: a final entry is dropped and committed", () => {
  const leader = moved();
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  expect(leader.doubt("n/1", doubtsOf(2, [0], inTwo))).toEqual(["executed"]);
});

test("R6: step 3: the asker's own unstarted grant is given anew, under a new sequence", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0]));
  const [first] = leader.verdicts("m/1", 1)!.stamps;
  expect(leader.doubt("m/1", doubtsOf(2, [0]))).toEqual(["granted"]);
  expect(leader.claim("m/1", claimOf(3, [0]))).toEqual(["granted"]);
  const stamps = [2, 3].map((number) => leader.verdicts("m/1", number)!.stamps[0]!);
  expect(stamps[0]).toBeGreaterThan(first!);
  expect(stamps[1]).toBeGreaterThan(stamps[0]!);
});

test("R6: step 3: the asker's own run that ended unknown is an adoption, not before effectSettleMs", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0]));
  const ask = (number: number) => leader.doubt("m/1", doubtsOf(number, [0], { ranUnknown: Uint8Array.of(1) }));
  expect(ask(2)).toEqual(["wait"]);
  leader.tick(SETTLE_MS - 1);
  expect(ask(3)).toEqual(["wait"]);
  leader.tick(1);
  expect(ask(4)).toEqual(["adopted"]);
  expect(leader.entry(0)).toMatchObject({ dirty: true, unknownRuns: 1, holder: "m/1" });
});

test("R6: step 3: an unstarted adoption is given anew as an adoption, so that its check runs again", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0]));
  leader.doubt("m/1", doubtsOf(2, [0], { ranUnknown: Uint8Array.of(1) }));
  leader.tick(SETTLE_MS);
  leader.doubt("m/1", doubtsOf(3, [0], { ranUnknown: Uint8Array.of(1) }));
  expect(leader.doubt("m/1", doubtsOf(4, [0]))).toEqual(["adopted"]);
  expect(leader.claim("m/1", claimOf(5, [0]))).toEqual(["doubtful"]); // a claim is never answered with an adoption
});

test("R6: step 3: another's entry: the asker waits, the holder is told to give it back, and only then it is free", () => {
  const leader = moved();
  expect(leader.doubt("n/1", doubtsOf(2, [0], inTwo))).toEqual(["wait"]);
  expect(leader.question("m/1")).toMatchObject([{ pid: 0, offset: 0, revoke: true }]);
  expect(leader.entry(0)!.holder).toBe("m/1");
  leader.answer("m/1", "refused");
  expect(leader.entry(0)!.holder).toBe("");
  expect(leader.doubt("n/1", doubtsOf(3, [0], inTwo))).toEqual(["granted"]); // nobody ran it: no check
});

test("R6: step 3: running means wait, and the end is told to who waits", () => {
  const leader = moved();
  leader.doubt("n/1", doubtsOf(2, [0], inTwo));
  leader.answer("m/1", "running");
  expect(leader.entry(0)!.holder).toBe("m/1");
  expect(leader.doubt("n/1", doubtsOf(3, [0], inTwo))).toEqual(["wait"]);
  const nudges = leader.messagesTo("n/1", "nudge").length;
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  expect(leader.messagesTo("n/1", "nudge").length).toBe(nudges + 1);
  expect(leader.doubt("n/1", doubtsOf(4, [0], inTwo))).toEqual(["executed"]);
});

test("R6: step 3: a holder whose run ended unknown leaves a dirty entry, after effectSettleMs", () => {
  const leader = moved();
  leader.doubt("n/1", doubtsOf(2, [0], inTwo));
  leader.answer("m/1", "unknown");
  expect(leader.entry(0)!.holder).toBe("m/1");
  leader.tick(SETTLE_MS);
  leader.doubt("n/1", doubtsOf(3, [0], inTwo)); // asks again
  leader.answer("m/1", "unknown");
  expect(leader.doubt("n/1", doubtsOf(4, [0], inTwo))).toEqual(["adopted"]);
});

test("R6: step 4: a record whose task id was executed in another record is dropped, on the full id", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  expect(leader.claim("m/1", claimOf(2, [1], { ids: ["pay-7"] }))).toEqual(["doubtful"]);
  expect(leader.doubt("m/1", doubtsOf(3, [1], { ids: ["pay-7"] }))).toEqual(["wait"]); // the executor is asked first
  leader.answer("m/1", "executed", { taskId: "pay-7" });
  expect(leader.doubt("m/1", doubtsOf(4, [1], { ids: ["pay-7"] }))).toEqual(["executed"]);
});

test("R6: step 4: a duplicate that is dropped is named: its node tells of its end without a hash", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  leader.doubt("m/1", doubtsOf(2, [1], { ids: ["pay-7"] }));
  leader.answer("m/1", "executed", { taskId: "pay-7" });
  expect(leader.doubt("m/1", doubtsOf(3, [1], { ids: ["pay-7"] }))).toEqual(["executed"]);
  leader.report("m/1", { finished: [{ ...factsOf(Phase.dropped, [1]), hashes: new Uint32Array(0) }] });
  const [hashHi, hashLo] = hashesOf([1], ["pay-7"]);
  expect(leader.entry(1)).toMatchObject({ phase: Phase.dropped, holder: "m/1", hashHi, hashLo });
});

test("R6: step 4: an equal hash alone drops nothing", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  leader.doubt("m/1", doubtsOf(2, [1], { ids: ["pay-7"] }));
  leader.answer("m/1", "executed", { taskId: "another id with that hash" });
  expect(leader.doubt("m/1", doubtsOf(3, [1], { ids: ["pay-7"] }))).toEqual(["adoptedMaybe"]);
});

test("R6: step 4: an executor that is gone is no exact evidence: the check answers", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  leader.moveTo("n/1", 2);
  leader.detach("m/1");
  leader.tick(3_100);
  leader.setWritten();
  expect(leader.doubt("n/1", doubtsOf(2, [1], { ...inTwo, ids: ["pay-7"] }))).toEqual(["adoptedMaybe"]);
});

test("R6: step 4: the same task id while another record of it is held: wait; revoked only when its owner lost it", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
  expect(leader.doubt("m/1", doubtsOf(2, [1], { ids: ["pay-7"] }))).toEqual(["wait"]);
  leader.answer("m/1", "pending", { taskId: "pay-7" });
  expect(leader.doubt("m/1", doubtsOf(3, [1], { ids: ["pay-7"] }))).toEqual(["wait"]);
  expect(leader.question("m/1")).toMatchObject([{ offset: 0, revoke: false }]);
  leader.moveTo("n/1", 2);
  expect(leader.doubt("n/1", doubtsOf(4, [1], { ...inTwo, ids: ["pay-7"] }))).toEqual(["wait"]);
  expect(leader.question("m/1")).toMatchObject([{ offset: 0, revoke: true }]);
});

test("R6: step 4: the same task id with another payload is a conflict", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  const ask = (number: number, low: number) =>
    leader.doubt("m/1", doubtsOf(number, [1], { ids: ["pay-7"], payloads: Uint32Array.of(1, low) }));
  ask(2, 3);
  leader.answer("m/1", "executed", { taskId: "pay-7", payloadHi: 1, payloadLo: 2 });
  expect(ask(3, 3)).toEqual(["conflict"]);
  // Which record executed, and its payload hash: both go into the headers of the parked one.
  expect([...leader.verdicts("m/1", 3)!.conflicts]).toEqual([0, 0, 1, 2]);
  expect(ask(4, 2)).toEqual(["executed"]);
  expect(leader.verdicts("m/1", 4)!.conflicts).toHaveLength(0);
});

test("R6: step 5: a Bloom bit says nothing about a delivery key, and makes an adoption of a task id", () => {
  const leader = voting();
  const { filter } = leader.core.replica;
  filter.testAndAdd(...hashOf("k:0"));
  filter.testAndAdd(...hashOf("t:pay-7"));
  expect(leader.claim("m/1", claimOf(1, [0, 1], { ids: [null, "pay-7"] }))).toEqual(["doubtful", "doubtful"]);
  expect(leader.doubt("m/1", doubtsOf(2, [0, 1], { ids: [null, "pay-7"] }))).toEqual(["granted", "adoptedMaybe"]);
});

test("R6: giving a task marks every other entry of its hash dirty", () => {
  const leader = moved(["pay-7"]);
  leader.doubt("n/1", doubtsOf(2, [0], { ...inTwo, ids: ["pay-7"] }));
  leader.answer("m/1", "refused"); // free and clean
  expect(leader.entry(0)).toMatchObject({ holder: "", dirty: false });
  expect(leader.doubt("n/1", doubtsOf(3, [1], { ...inTwo, ids: ["pay-7"] }))).toEqual(["adoptedMaybe"]);
  expect(leader.entry(0)).toMatchObject({ holder: "", dirty: true });
  expect(leader.claim("n/1", claimOf(4, [0], { ...inTwo, ids: ["pay-7"] }))).toEqual(["doubtful"]);
});

test("R6: a free and clean entry that shares its id with another is not given to a claim", () => {
  const leader = moved(["pay-7"]);
  leader.doubt("n/1", doubtsOf(2, [0], { ...inTwo, ids: ["pay-7"] }));
  leader.answer("m/1", "refused");
  leader.report("m/1", { finished: [factsOf(Phase.executed, [1], { hashes: Uint32Array.from(hashOf("t:pay-7")) })] });
  expect(leader.claim("n/1", claimOf(3, [0], { ...inTwo, ids: ["pay-7"] }))).toEqual(["doubtful"]);
});

test("R6: a release keeps dirty and the counts; only a final phase clears dirty", () => {
  const leader = voting();
  leader.claim("m/1", claimOf(1, [0]));
  leader.doubt("m/1", doubtsOf(2, [0], { ranUnknown: Uint8Array.of(1) }));
  leader.tick(SETTLE_MS);
  leader.doubt("m/1", doubtsOf(3, [0], { ranUnknown: Uint8Array.of(1) }));
  leader.moveTo("n/1", 2);
  leader.doubt("n/1", doubtsOf(4, [0], inTwo));
  leader.answer("m/1", "refused", { attempts: 2 });
  expect(leader.entry(0)).toMatchObject({ holder: "", dirty: true, unknownRuns: 1, attempts: 2 });
  expect(leader.doubt("n/1", doubtsOf(5, [0], inTwo))).toEqual(["adopted"]);
  leader.report("n/1", { finished: [factsOf(Phase.executed, [0])] });
  expect(leader.entry(0)).toMatchObject({ phase: Phase.executed, dirty: false });
});

test("R6: a doubt is given exclusively: the second asker waits", () => {
  const leader = voting();
  leader.core.replica.filter.testAndAdd(...hashOf("k:0"));
  expect(leader.doubt("m/1", doubtsOf(1, [0]))).toEqual(["granted"]);
  leader.moveTo("n/1", 2);
  expect(leader.doubt("n/1", doubtsOf(2, [0], inTwo))).toEqual(["wait"]);
});

test("R6: a verdict is validated again when it is released", () => {
  const leader = voting();
  leader.report("m/1", { claims: [claimOf(1, [0, 1])] });
  leader.report("n/1", { finished: [factsOf(Phase.executed, [0])] }); // it comes from its quarantine, say
  leader.acknowledgeAll();
  expect(leader.words("m/1", 1)).toEqual(["doubtful", "granted"]);
  expect(leader.verdicts("m/1", 1)!.stamps).toHaveLength(1);
});

test("R6: the union: a member's filter that knew a fresh task takes the grant back", () => {
  const leader = voting();
  leader.report("m/1", { claims: [claimOf(1, [0, 1])] });
  const { delta } = leader.messagesTo("n/1", "delta").at(-1)!;
  leader.acknowledge("m/1");
  leader.acknowledge("n/1", { seen: [{ seq: delta.seq, batch: 0, index: 1 }] });
  leader.acknowledgeAll();
  expect(leader.words("m/1", 1)).toEqual(["granted", "doubtful"]);
  expect(leader.entry(1)).toMatchObject({ holder: "", dirty: true, maybe: true });
  expect(leader.core.ctx.counters.unexpectedSeen).toBe(1);
});

test("R6: the union: a member tests what was fresh at the leader, once", () => {
  const member = new OneMember();
  const { replica } = member.core;
  replica.appliedEpoch = 1;
  replica.filter.testAndAdd(...hashOf("k:1"));
  const leader = voting();
  leader.report("m/1", { claims: [claimOf(1, [0, 1])] });
  const { delta } = leader.messagesTo("n/1", "delta").at(-1)!;
  const mine = { ...delta, epoch: 1, seq: 1 };
  member.say({ kind: "delta", epoch: 1, delta: mine });
  member.say({ kind: "delta", epoch: 1, delta: mine }); // a resend
  member.tick(500);
  expect(member.reports.flatMap((report) => report.seen)).toEqual([{ seq: 1, batch: 0, index: 1 }]);
});
