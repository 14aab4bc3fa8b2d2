/** Interleavings at the leader that a review of the rules found, message by message. */
import { expect, test } from "bun:test";
import { Phase } from "../../src/core/messages.ts";
import { OneLeader } from "../core/one-leader.ts";
import { claimOf, doubtsOf, factsOf } from "../core/support.ts";

test("R7: W that a late note of the former owner raised meanwhile never falls to a foreign commit", () => {
  const leader = new OneLeader().activate("A/1", "B/1");
  leader.own("A/1");
  expect(leader.claim("A/1", claimOf(1, [0, 1]))).toEqual(["granted", "granted"]);
  leader.own("B/1", { generation: 2, position: 100, hadCommit: true, logEnd: 1_000 });
  leader.report("A/1", {
    finished: [factsOf(Phase.executed, [0, 1, 130])],
    commits: [{ pid: 0, ownership: 1, generation: 1, position: 120 }],
  });
  leader.acknowledgeAll();
  leader.tick(20);
  const table = leader.leader.state.replica.table.partition(0);
  expect(table.watermark).toBe(120);
  expect(leader.entry(130)?.phase).toBe(Phase.executed);
  leader.acknowledgeAll();
  expect(leader.messagesTo("B/1", "partitions").at(-1)?.partitions[0]?.watermark).toBe(120);
});

test("R12: each unknown end waits effectSettleMs of its own, also when the wait for a former one was cut short", () => {
  const leader = new OneLeader().activate("A/1", "B/1");
  leader.own("A/1");
  leader.claim("A/1", claimOf(1, [0]));
  expect(leader.doubt("A/1", doubtsOf(2, [0], { ranUnknown: Uint8Array.of(1) }))).toEqual(["wait"]);
  // Before the wait is over A is proven dead; B adopts, and its own run ends unknown much later.
  leader.detach("A/1");
  leader.step({ type: "death-proven", incarnation: "A/1" });
  leader.now += 2_000;
  leader.acknowledgeAll();
  leader.tick(1_000);
  leader.setWritten(); // the set without A
  leader.own("B/1", { generation: 2 });
  const page = { generation: 2 };
  expect(leader.doubt("B/1", doubtsOf(1, [0], page))).toEqual(["adopted"]);
  leader.tick(1_000);
  const unknown = { ...page, ranUnknown: Uint8Array.of(1) };
  expect(leader.doubt("B/1", doubtsOf(2, [0], unknown))).toEqual(["wait"]);
  leader.now += 1_999;
  expect(leader.doubt("B/1", doubtsOf(3, [0], unknown))).toEqual(["wait"]);
  leader.now += 1;
  expect(leader.doubt("B/1", doubtsOf(4, [0], unknown))).toEqual(["adopted"]);
});

test("R15: suspects too far above W for the table are suspect when W comes near", () => {
  const persisted = { written: true, partitions: [{ pid: 0, from: 0, watermark: 50 }] };
  const leader = new OneLeader({ inSync: ["X/1"], watermarks: persisted }).activate("A/1", "B/1");
  // The group's offset is gone: everything up to the log's end may have been granted.
  leader.own("A/1", { position: 50, hadCommit: true, logEnd: 200_000 });
  leader.report("A/1", { commits: [{ pid: 0, ownership: 1, generation: 1, position: 100_000 }] });
  leader.acknowledgeAll();
  expect(leader.claim("A/1", claimOf(1, [100_000, 100_001]))).toEqual(["doubtful", "doubtful"]);
  expect(leader.doubt("A/1", doubtsOf(2, [100_000]))).toEqual(["wait"]);
  leader.now += 60_000;
  leader.acknowledgeAll();
  expect(leader.doubt("A/1", doubtsOf(3, [100_000]))).toEqual(["adopted"]);
  expect(leader.entry(100_000)?.dirty).toBe(true);
});

test("R6: of who lost the partition and dropped its copy only the entry can be had back, not the task id", () => {
  const leader = new OneLeader().activate("A/1", "B/1");
  leader.own("A/1");
  expect(leader.claim("A/1", claimOf(1, [0], { ids: ["t"] }))).toEqual(["granted"]);
  leader.own("B/1", { generation: 2 });
  const duplicate = { ids: ["t"], generation: 2 };
  expect(leader.doubt("B/1", doubtsOf(1, [7], duplicate))).toEqual(["wait"]);
  const question = leader.messagesTo("A/1", "question").at(-1)!;
  expect(question.items).toMatchObject([{ offset: 0, revoke: true }]);
  leader.say("A/1", {
    kind: "answer",
    epoch: leader.epoch,
    number: question.number,
    items: [
      {
        pid: 0,
        offset: 0,
        stamp: question.items[0]!.stamp,
        status: "refused",
        attempts: 0,
        taskId: "",
        idKnown: false,
        payloadHi: 0,
        payloadLo: 0,
      },
    ],
  });
  leader.acknowledgeAll();
  expect(leader.doubt("B/1", doubtsOf(2, [7], duplicate))).toEqual(["adoptedMaybe"]);
});
