import { describe, expect, test } from "bun:test";
import type {
  Coordinator,
  CoordinatorEvent,
  ElectionOutcome,
  InSyncRecord,
  MemberInfo,
  WatermarksRecord,
  WriteOutcome,
} from "../../src/coordinator/coordinator.ts";
import type { CoreEvent } from "../../src/core/events.ts";
import { VouchError } from "../../src/errors.ts";
import { Coordination } from "../../src/runtime/coordination.ts";
import { PartitionNames } from "../../src/runtime/partition-names.ts";

const P1 = 65_536 + 1; // payments#1

/** Answers what the test says; calls are written down. */
class FakeCoordinator implements Coordinator {
  readonly calls: string[] = [];
  readonly watermarksWritten: WatermarksRecord[] = [];
  election: ElectionOutcome = { outcome: "won", epoch: 7 };
  write: WriteOutcome = { outcome: "written", version: 4 };
  inSync: InSyncRecord = { epoch: 6, incarnations: ["a/1", "b/2"], evicted: ["c/2"] };
  watermarks: WatermarksRecord = { clean: false, partitions: {} };
  remaining = 4_000;
  failing = false;

  async start(): Promise<void> {}
  async close(): Promise<void> {}
  clusterUuid = () => "c";
  remainingMs = () => this.remaining;

  #answer<T>(call: string, value: T): Promise<T> {
    this.calls.push(call);
    return this.failing ? Promise.reject(new VouchError("unavailable", "no session")) : Promise.resolve(value);
  }

  compete = (known: number) => this.#answer(`compete ${known}`, this.election);
  resign = (epoch: number) => this.#answer(`resign ${epoch}`, undefined);
  readInSync = () => this.#answer("read in-sync", { value: this.inSync, version: 3 });
  readWatermarks = () => this.#answer("read watermarks", { value: this.watermarks, version: 2 });
  writeInSync = (epoch: number, record: InSyncRecord, version: number) =>
    this.#answer(
      `write in-sync ${epoch} ${record.epoch} ${record.incarnations.join(",")}-${record.evicted?.join(",")} ${version}`,
      this.write,
    );
  writeWatermarks = (epoch: number, record: WatermarksRecord) => {
    this.watermarksWritten.push(record);
    return this.#answer(`write watermarks ${epoch}`, this.write);
  };
  ensureTopic = () => Promise.reject(new Error("not used here"));
  replaceTopic = () => Promise.reject(new Error("not used here"));
  observe = () => Promise.reject(new Error("not used here"));
}

function make() {
  const coordinator = new FakeCoordinator();
  const events: CoreEvent[] = [];
  const members: (readonly MemberInfo[])[] = [];
  const warnings: string[] = [];
  const waiting: ((event: CoreEvent) => void)[] = [];
  const coordination = new Coordination({
    coordinator,
    names: new PartitionNames(["orders", "payments"]),
    post: (event) => {
      events.push(event);
      waiting.shift()?.(event);
    },
    onMembers: (list) => members.push(list),
    log: (_level, message) => warnings.push(message),
    dedupEpoch: 0,
  });
  const next = (): Promise<CoreEvent> => new Promise((resolve) => waiting.push(resolve));
  return { coordinator, coordination, events, members, warnings, next };
}

const member: MemberInfo = {
  nodeId: "b",
  bootId: "2",
  peerAddress: "127.0.0.1:7",
  httpAddress: "",
  protocolVersion: 1,
  process: { kernelBootId: "", pidNamespace: "", pid: 1, startTime: "" },
};

describe("coordination", () => {
  test("what the coordinator reports becomes events, and addresses to dial", () => {
    const { coordination, events, members } = make();
    const reported: CoordinatorEvent[] = [
      { type: "session", state: "connected" },
      { type: "members", members: [member] },
      { type: "leader", leader: { nodeId: "b", bootId: "2", epoch: 9 } },
      { type: "leader", leader: null },
      { type: "warning", message: "slow" },
    ];
    for (const event of reported) coordination.onEvent(event);
    expect(events).toEqual([
      { type: "session", state: "connected" },
      { type: "members", members: ["b/2"] },
      { type: "leader", leader: { incarnation: "b/2", epoch: 9 } },
      { type: "leader", leader: null },
    ]);
    expect(members).toEqual([[member]]);
    expect(coordination.addressOf("b/2")).toBe("127.0.0.1:7");
    coordination.onEvent({ type: "members", members: [] });
    expect(coordination.addressOf("b/2")).toBeNull();
  });

  test("R17: the deadline is told when it moves, in either direction, and never too late", () => {
    const { coordinator, coordination } = make();
    expect(coordination.sense(100)).toEqual({ type: "coordinator-deadline", at: 4_100 });
    coordinator.remaining = 3_000.4; // a second later: the same deadline
    expect(coordination.sense(1_099.8)).toBeNull();
    coordinator.remaining = 4_000.7; // an answered request
    expect(coordination.sense(1_200.1)).toEqual({ type: "coordinator-deadline", at: 5_200 });
    coordinator.remaining = -10;
    expect(coordination.sense(1_300)).toEqual({ type: "coordinator-deadline", at: 1_290 });
  });

  test("R4: a won election is told with the in-sync set and the watermarks read after it", async () => {
    const { coordinator, coordination, next } = make();
    coordinator.watermarks = { clean: true, partitions: { "payments#1": [5, 90], "gone#0": [0, 3], odd: [0, 0] } };
    const told = next();
    coordination.compete({ type: "compete", highestKnownEpoch: 6 });
    expect(await told).toEqual({
      type: "election",
      outcome: "won",
      epoch: 7,
      inSync: { incarnations: ["a/1", "b/2"], evicted: ["c/2"], version: 3 },
      watermarks: { clean: true, written: true, partitions: [{ pid: P1, from: 5, watermark: 90 }] },
    });
    expect(coordinator.calls).toEqual(["compete 6", "read in-sync", "read watermarks"]);
  });

  test("R4: an election whose reads fail is unknown; a lost one reads nothing", async () => {
    const { coordinator, coordination, next } = make();
    coordinator.election = { outcome: "lost" };
    let told = next();
    coordination.compete({ type: "compete", highestKnownEpoch: 1 });
    expect(await told).toEqual({ type: "election", outcome: "lost" });
    expect(coordinator.calls).toEqual(["compete 1"]);
    coordinator.failing = true;
    told = next();
    coordination.compete({ type: "compete", highestKnownEpoch: 1 });
    expect(await told).toEqual({ type: "election", outcome: "unknown" });
  });

  test("R15: a cell that never wrote watermarks is told as such", async () => {
    const { coordination, next } = make();
    const told = next();
    coordination.compete({ type: "compete", highestKnownEpoch: 0 });
    expect(await told).toMatchObject({ watermarks: { clean: false, written: false, partitions: [] } });
  });

  test("R3: every outcome of a write of the in-sync set is told; a failing call is unknown", async () => {
    const { coordinator, coordination, next } = make();
    const write = async (outcome: WriteOutcome) => {
      coordinator.write = outcome;
      const told = next();
      coordination.writeInSync({
        type: "write-in-sync",
        epoch: 7,
        incarnations: ["a/1", "c/3"],
        evicted: ["b/2"],
        version: 3,
      });
      return told;
    };
    const event = { type: "in-sync-written", epoch: 7 };
    expect(await write({ outcome: "written", version: 4 })).toEqual({
      ...event,
      outcome: "written",
      version: 4,
    } as CoreEvent);
    for (const reason of ["fenced", "conflict"] as const) {
      expect(await write({ outcome: "refused", reason })).toMatchObject({ ...event, outcome: reason });
    }
    expect(await write({ outcome: "unknown" })).toMatchObject({ ...event, outcome: "unknown" });
    coordinator.failing = true;
    expect(await write({ outcome: "unknown" })).toMatchObject({ ...event, outcome: "unknown" });
    expect(coordinator.calls[0]).toBe("write in-sync 7 7 a/1,c/3-b/2 3");
  });

  test("R15: writing watermarks keeps the rows of topics that this node does not know", async () => {
    const { coordinator, coordination, next } = make();
    coordinator.watermarks = { clean: false, partitions: { "gone#0": [0, 3], "payments#1": [5, 90] } };
    let told = next();
    coordination.compete({ type: "compete", highestKnownEpoch: 0 });
    await told;
    told = next();
    const partitions = [{ pid: P1, from: 5, watermark: 120 }];
    coordination.writeWatermarks({ type: "write-watermarks", epoch: 7, clean: true, partitions });
    expect(await told).toEqual({ type: "watermarks-written", epoch: 7, outcome: "written" });
    expect(coordinator.watermarksWritten).toEqual([
      { clean: true, partitions: { "gone#0": [0, 3], "payments#1": [5, 120] } },
    ]);
    coordinator.write = { outcome: "refused", reason: "conflict" };
    told = next();
    coordination.writeWatermarks({ type: "write-watermarks", epoch: 7, clean: true, partitions });
    expect(await told).toMatchObject({ outcome: "fenced" });
  });

  test("a read that fails is told as null, and not at once", async () => {
    const { coordinator, coordination, events, next } = make();
    coordinator.failing = true;
    const told = next();
    coordination.readInSync({ type: "read-in-sync", epoch: 0 });
    await Bun.sleep(1);
    expect(events).toEqual([]);
    expect(await told).toEqual({ type: "in-sync-read", epoch: 0, inSync: null });
    coordinator.failing = false;
    const second = next();
    coordination.readInSync({ type: "read-in-sync", epoch: 5 });
    expect(await second).toEqual({
      type: "in-sync-read",
      epoch: 5,
      inSync: { incarnations: ["a/1", "b/2"], evicted: ["c/2"], version: 3 },
    });
  });

  test("a resignation that fails is a warning", async () => {
    const { coordinator, coordination, warnings } = make();
    coordinator.failing = true;
    coordination.resign({ type: "resign", epoch: 7 });
    await Bun.sleep(1);
    expect(warnings[0]).toContain("could not be given up");
  });
});

describe("partition names", () => {
  test("go both ways, and refuse what is not theirs", () => {
    const names = new PartitionNames(["orders", "payments"]);
    expect(names.text(P1)).toBe("payments#1");
    expect(names.parse("payments#1")).toBe(P1);
    expect(names.pid("orders", 3)).toBe(3);
    for (const text of ["payments", "payments#", "payments#x", "payments#65536", "other#1", "#1", "payments#1#"]) {
      expect(names.parse(text)).toBeNull();
    }
    expect(() => new PartitionNames(["b", "a"])).toThrow("sorted");
  });
});
