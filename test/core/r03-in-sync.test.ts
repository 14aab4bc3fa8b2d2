import { expect, test } from "bun:test";
import { changeInSync, resolveUnknown } from "../../src/core/leader/in-sync.ts";
import { OneLeader } from "./one-leader.ts";
import { claimOf, reportOf, runningCell } from "./support.ts";

/** L, m and n vote; m owns partition 0. */
function threeVoting(): OneLeader {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  return leader;
}

/** L and m vote; p attaches and is synchronised, up to the write that would let it in. */
function joinerWaits(): OneLeader {
  const leader = new OneLeader().activate("m/1");
  leader.own("m/1");
  leader.attach("p/1");
  leader.acknowledge("p/1");
  leader.tick();
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "m/1", "p/1"]);
  return leader;
}

test("R3: a grant is released when the last member of the set has acknowledged it, not before", () => {
  const leader = threeVoting();
  leader.report("m/1", { claims: [claimOf(1, [0, 1])] });
  leader.acknowledge("m/1");
  expect(leader.words("m/1", 1)).toEqual([]);
  leader.acknowledge("n/1");
  expect(leader.words("m/1", 1)).toEqual(["granted", "granted"]);
});

test("R3: an acknowledged ledger entry and a watermark wait for the whole set as well", () => {
  const leader = threeVoting();
  leader.report("m/1", { commits: [{ pid: 0, ownership: 1, generation: 1, position: 7 }] });
  leader.acknowledge("m/1");
  expect(leader.messagesTo("m/1", "watermarks")).toEqual([]);
  leader.acknowledge("n/1");
  expect(leader.messagesTo("m/1", "watermarks").at(-1)!.rows).toEqual([{ pid: 0, from: 0, watermark: 7 }]);
});

test("R3: a member whose link broke holds up every release until the set without it is known to be written", () => {
  const leader = threeVoting();
  leader.detach("n/1");
  leader.report("m/1", { claims: [claimOf(1, [0])] });
  leader.acknowledge("m/1");
  leader.tick(400);
  leader.acknowledge("m/1");
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "m/1"]);
  expect(leader.words("m/1", 1)).toEqual([]);
  leader.setWritten();
  expect(leader.words("m/1", 1)).toEqual(["granted"]);
});

test("R3: from when a change is sent the joiner's acknowledgement counts too", () => {
  const leader = joinerWaits();
  leader.report("m/1", { claims: [claimOf(1, [0])] });
  leader.acknowledge("m/1");
  expect(leader.words("m/1", 1)).toEqual([]);
  leader.acknowledge("p/1");
  expect(leader.words("m/1", 1)).toEqual(["granted"]);
});

test("R3: after an unknown outcome the union counts, nothing else is written, and a read settles it", () => {
  const leader = joinerWaits();
  leader.setWritten("unknown");
  expect(leader.last("read-in-sync").epoch).toBe(leader.epoch);
  leader.report("m/1", { claims: [claimOf(1, [0])] });
  leader.acknowledge("m/1");
  leader.tick(1);
  expect(leader.words("m/1", 1)).toEqual([]);
  expect(leader.all("write-in-sync")).toHaveLength(2);
  leader.step({
    type: "in-sync-read",
    epoch: leader.epoch,
    inSync: { incarnations: ["L/1", "m/1", "p/1"], version: 3 },
  });
  expect(leader.leader.state.inSync).toEqual(["L/1", "m/1", "p/1"]);
  expect(leader.messagesTo("p/1", "admitted")).toHaveLength(1);
});

test("R3: an unknown write that was not made is settled as the old set, at the version that was read", () => {
  const leader = joinerWaits();
  leader.setWritten("unknown");
  leader.step({ type: "in-sync-read", epoch: leader.epoch, inSync: { incarnations: ["L/1", "m/1"], version: 7 } });
  expect(leader.leader.state.inSync).toEqual(["L/1", "m/1"]);
  leader.tick(1);
  expect(leader.last("write-in-sync")).toMatchObject({ incarnations: ["L/1", "m/1", "p/1"], version: 7 });
});

test("R3: a record that somebody else wrote ends this leader", () => {
  const leader = joinerWaits();
  leader.setWritten("unknown");
  leader.step({ type: "in-sync-read", epoch: leader.epoch, inSync: { incarnations: ["z/1", "m/1"], version: 9 } });
  leader.tick();
  expect(leader.core.leader).toBeNull();
});

test("R3: one change at a time", () => {
  const leader = joinerWaits();
  leader.attach("q/1");
  leader.acknowledge("q/1");
  leader.tick(500);
  expect(leader.all("write-in-sync")).toHaveLength(2); // the activation's, and p's
  leader.setWritten();
  leader.tick();
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "m/1", "p/1", "q/1"]);
});

test("R3: a joiner that lacks something released is not let in", () => {
  const leader = new OneLeader().activate("m/1");
  leader.own("m/1");
  leader.attach("p/1");
  leader.leader.state.peers.get("p/1")!.standing = "synced"; // its sync held everything up to here
  leader.leader.state.peers.get("p/1")!.applied = leader.leader.state.seq;
  leader.claim("m/1", claimOf(1, [0]));
  // The claim's own turn came before: take the write back as if it was never sent.
  const { state } = leader.leader;
  state.pendingSet = null;
  expect(state.released).toBe(state.seq);
  state.peers.get("p/1")!.applied = state.seq - 1;
  const writes = leader.all("write-in-sync").length;
  changeInSync(state, new Map(), leader.now);
  expect(state).toMatchObject({ pendingSet: null });
  state.peers.get("p/1")!.applied = state.seq;
  changeInSync(state, new Map(), leader.now);
  expect(state).toMatchObject({ pendingSet: ["L/1", "m/1", "p/1"] });
  expect(leader.all("write-in-sync")).toHaveLength(writes);
});

test("R3: the set is never written with fewer than minInSync members, and then nothing is granted", () => {
  const leader = new OneLeader().activate("m/1");
  leader.own("m/1");
  leader.report("m/1", { claims: [claimOf(1, [0])] });
  leader.detach("m/1");
  for (let i = 0; i < 20; i++) leader.tick(250);
  expect(leader.all("write-in-sync")).toHaveLength(1); // the activation's
  expect(leader.leader.state.inSync).toEqual(["L/1", "m/1"]);
  expect(leader.leader.state.released).toBeLessThan(leader.leader.state.seq);
});

test("R3: a dead member is replaced in the same write by a synchronised joiner", () => {
  const leader = new OneLeader().activate("m/1");
  leader.detach("m/1");
  leader.attach("p/1");
  leader.tick(3_100);
  leader.acknowledge("p/1");
  leader.tick();
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "p/1"]);
});

test("R3: a member that lags for inSyncEvictionMs is removed, and then disconnected", () => {
  const leader = threeVoting();
  leader.report("m/1", { claims: [claimOf(1, [0])] });
  for (let i = 0; i < 7; i++) {
    leader.tick(500);
    leader.acknowledge("m/1");
    leader.report("n/1"); // alive, and acknowledges nothing
  }
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "m/1"]);
  expect(leader.messagesTo("n/1", "refused")).toEqual([]);
  leader.setWritten();
  expect(leader.messagesTo("n/1", "refused").at(-1)!.reason).toBe("evicted");
  expect(leader.last("disconnect").reason).toBe("evicted");
  expect(leader.words("m/1", 1)).toEqual(["granted"]);
});

test("R3: acknowledgements of an old connection are ignored", () => {
  const leader = threeVoting();
  leader.report("m/1", { claims: [claimOf(1, [0])] });
  leader.acknowledge("m/1");
  const { seq } = leader.leader.state;
  leader.attach("n/1", { appliedEpoch: leader.epoch, appliedSeq: seq - 1, epoch: leader.epoch });
  leader.step({
    type: "message",
    connection: 2, // the first one of n
    to: "L/1",
    message: reportOf(leader.epoch, 99, { appliedEpoch: leader.epoch, appliedSeq: seq }),
  });
  expect(leader.words("m/1", 1)).toEqual([]);
  expect(leader.messagesTo("n/1", "delta").at(-1)!.delta.seq).toBe(seq); // sent again on the new one
  leader.acknowledge("n/1");
  expect(leader.words("m/1", 1)).toEqual(["granted"]);
});

test("R3: writes whose outcome is unknown, applied or not, cost a running cell nothing", () => {
  const cell = runningCell({ nodes: ["a", "b", "c", "d"], partitions: 2 });
  let n = 0;
  cell.inSyncOutcome = () => (["unknown-applied", "unknown-lost", "normal"] as const)[n++ % 3]!;
  for (const victim of ["b", "c"]) {
    cell.produceMany(0, 50);
    cell.cut(victim);
    cell.advance(9_000);
    cell.heal(victim);
    cell.produceMany(1, 50);
    cell.advance(2_000);
  }
  cell.drain();
  cell.verifyOnce();
  expect(n).toBeGreaterThan(4);
  expect(cell.inSync.incarnations).toHaveLength(4);
});

test("R3: only the old and the new set are recognised in what was read", () => {
  const { state } = new OneLeader().activate("m/1").leader;
  state.pendingSet = ["L/1", "m/1", "p/1"];
  expect(resolveUnknown(state, { incarnations: ["p/1", "L/1", "m/1"], version: 4 })).toBe("new");
  expect(resolveUnknown(state, { incarnations: ["L/1", "p/1"], version: 4 })).toBe("foreign");
  expect(resolveUnknown(state, { incarnations: ["m/1", "L/1"], version: 4 })).toBe("old");
  expect(state.pendingSet).toBeNull();
});
