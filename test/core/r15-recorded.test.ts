import { expect, test } from "bun:test";
import { OneLeader } from "./one-leader.ts";
import { claimOf, doubtsOf, partitionReportOf, runningCell } from "./support.ts";

const REPORT = partitionReportOf();

function begun(): OneLeader {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.report("m/1", { partitions: [REPORT] });
  leader.acknowledgeAll();
  return leader;
}

function written(leader: OneLeader, outcome: "written" | "unknown" = "written"): void {
  leader.step({ type: "watermarks-written", epoch: leader.epoch, outcome });
}

test("R15: a partition is recorded at once when its first commit is acknowledged, and nothing in it is given before", () => {
  const leader = begun();
  const marks = leader.all("write-watermarks").length;
  leader.tick(100);
  expect(leader.all("write-watermarks")).toHaveLength(marks); // its anchor may never be committed
  leader.anchor("m/1", REPORT);
  expect(leader.all("write-watermarks")).toHaveLength(marks + 1);
  expect(leader.last("write-watermarks")).toMatchObject({
    clean: false,
    partitions: [{ pid: 0, from: 0, watermark: 0 }],
  });
  expect(leader.claim("m/1", claimOf(1, [0, 1]))).toEqual([]);
  expect(leader.doubt("m/1", doubtsOf(2, [2]))).toEqual([]);
  expect(leader.entry(1)).toMatchObject({ holder: "m/1" }); // decided, replicated, not said
  written(leader);
  expect(leader.words("m/1", 1)).toEqual(["granted", "granted"]);
  expect(leader.words("m/1", 2)).toEqual(["granted"]);
  expect(leader.claim("m/1", claimOf(3, [3]))).toEqual(["granted"]);
  leader.tick(1_000);
  expect(leader.all("write-watermarks")).toHaveLength(marks + 1);
});

test("R15: what is given in other partitions does not wait for one that is not recorded", () => {
  const leader = begun();
  leader.anchor("m/1", REPORT);
  expect(leader.claim("m/1", claimOf(1, [0]))).toEqual([]);
  leader.report("n/1", { partitions: [{ ...REPORT, pid: 1 }] });
  leader.acknowledgeAll();
  leader.anchor("n/1", { ...REPORT, pid: 1 }); // the next write names it
  written(leader);
  expect(leader.words("m/1", 1)).toEqual(["granted"]);
  expect(leader.claim("n/1", claimOf(2, [7], { pid: 1 }))).toEqual([]);
  expect(leader.last("write-watermarks").partitions.map(({ pid }) => pid)).toEqual([0, 1]);
  written(leader);
  expect(leader.words("n/1", 2)).toEqual(["granted"]);
});

test("R15: a record whose outcome is unknown is written again, and what waits for it goes on waiting", () => {
  const leader = begun();
  leader.anchor("m/1", REPORT);
  const marks = leader.all("write-watermarks").length;
  leader.claim("m/1", claimOf(1, [0]));
  written(leader, "unknown");
  expect(leader.words("m/1", 1)).toEqual([]);
  expect(leader.all("write-watermarks")).toHaveLength(marks);
  leader.tick(250);
  expect(leader.all("write-watermarks")).toHaveLength(marks + 1);
  written(leader);
  expect(leader.words("m/1", 1)).toEqual(["granted"]);
});

test("R15: the next leader gives nothing in a partition that the record does not name, until its owner shows a commit", () => {
  const leader = new OneLeader({ inSync: ["m/1"] });
  leader.members("m/1");
  leader.attach("m/1", { appliedEpoch: 4 });
  leader.tick();
  leader.tellState("m/1");
  leader.tick();
  leader.acknowledge("m/1");
  leader.tick();
  expect(leader.last("write-watermarks").partitions).toEqual([]);
  leader.marked();
  leader.setWritten();
  leader.report("m/1", { partitions: [{ ...REPORT, ours: true, hadCommit: true, from: 0 }] });
  leader.acknowledgeAll();
  expect(leader.claim("m/1", claimOf(1, [0]))).toEqual([]);
  written(leader);
  expect(leader.words("m/1", 1)).toEqual(["granted"]);
});

test("R15: a verdict for who has reconnected meanwhile is not said when the record is written", () => {
  const leader = begun();
  leader.anchor("m/1", REPORT);
  leader.claim("m/1", claimOf(1, [0]));
  leader.attach("m/1", { appliedEpoch: leader.epoch, appliedSeq: leader.leader.state.seq, epoch: leader.epoch });
  leader.acknowledgeAll();
  written(leader);
  leader.acknowledgeAll();
  expect(leader.sent("verdicts")).toEqual([]);
});

test("R15: a partition that is recorded and has no commit any more is suspect up to the log's end, also where W never rose", () => {
  const leader = new OneLeader({
    inSync: ["y/1", "z/1"],
    watermarks: { partitions: [{ pid: 0, from: 0, watermark: 0 }] },
  }).activate("m/1");
  leader.own("m/1", { logEnd: 6 });
  expect(leader.last("alarm")).toMatchObject({ code: "offsets-lost", pid: 0 });
  expect(leader.claim("m/1", claimOf(1, [0, 5, 6]))).toEqual(["doubtful", "doubtful", "granted"]);
});

test("R15: the group's offsets are lost and then all nodes, in a cell's first seconds: what ran is checked, not run again", () => {
  const cell = runningCell({ partitions: 2, nodes: ["a", "b"] });
  cell.produceMany(0, 5);
  cell.drain();
  expect(cell.runs).toHaveLength(5);
  for (const partition of [0, 1]) cell.committed[partition] = null;
  cell.crash("a");
  cell.crash("b");
  cell.start("c");
  cell.start("d");
  cell.produceMany(0, 2);
  cell.drain();
  cell.verifyOnce();
  expect(cell.runs).toHaveLength(7);
  expect(cell.checks).toHaveLength(7); // of the two last nobody knows whether they had been granted
});

test("R15: a cell that dies before any partition has a commit has recorded none: its start is a first start", () => {
  const cell = runningCell({
    partitions: 1,
    nodes: ["a", "b"],
    hasCheck: false,
    onUnknown: "drop",
    settings: { watermarkPersistMs: 100 },
  });
  cell.commitOutcome = () => "lost";
  cell.produceMany(0, 5);
  cell.advance(200);
  cell.crash("a");
  cell.crash("b");
  cell.commitOutcome = () => "committed";
  cell.start("c");
  cell.start("d");
  cell.drain();
  expect(cell.watermarks.partitions).toHaveLength(1);
  expect(cell.runs).toHaveLength(5);
  expect(cell.checks).toEqual([]);
});
