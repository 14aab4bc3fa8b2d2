/**
 * What every coordinator must do, whatever stands behind it: run on the embedded one, on a real ZooKeeper and on
 * the simulated one.
 * Sessions are short here; nothing asserts how fast something happens, only that it does, and in which order.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Coordinator, TopicRecord } from "../../src/coordinator/coordinator.ts";
import { waitUntil } from "../support/servers/processes.ts";
import { type CoordinatorCell, TestNode, WAIT_MS, codeOf } from "./coordinator-nodes.ts";
import { memberInfo } from "./coordinator-spec.ts";

/** What stands behind the coordinators under test, and what can be done to it. */
export interface CoordinatorService {
  readonly sessionMs: number;
  cell(name: string): CoordinatorCell;
  /** No request is answered until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Takes the leader node away behind its holder's back, as a person with a client could. */
  removeLeader(cell: string): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const TEST_MS = 30_000;
let cells = 0;

function inSync(epoch: number, ...incarnations: string[]): { epoch: number; incarnations: string[] } {
  return { epoch, incarnations };
}

export function coordinatorConformance(name: string, open: () => Promise<CoordinatorService>): void {
  describe(`coordinator: ${name}`, () => {
    let service: CoordinatorService;
    const freshCell = (): CoordinatorCell => service.cell(`cell-${process.pid}-${++cells}`);

    beforeAll(async () => {
      service = await open();
    }, 90_000);
    afterAll(() => service?.[Symbol.asyncDispose]());

    registration(freshCell);
    elections(freshCell, () => service);
    records(freshCell);
    failures(freshCell, () => service);
  });
}

function registration(freshCell: () => CoordinatorCell): void {
  test(
    "a node registers, sees itself and no leader, in that order",
    async () => {
      await using node = await TestNode.start(freshCell(), "a");
      await waitUntil("a leader event", () => node.leader() !== undefined, WAIT_MS);
      expect(node.events).toEqual([
        { type: "session", state: "connected" },
        { type: "members", members: [node.self] },
        { type: "leader", leader: null },
      ]);
      expect(node.coordinator.clusterUuid()).toMatch(/^[0-9a-f]{32}$/);
    },
    TEST_MS,
  );

  test(
    "members that come and go are reported to all, by what they wrote about themselves",
    async () => {
      const cell = freshCell();
      await using first = await TestNode.start(cell, "a");
      const second = await TestNode.start(cell, "b");
      try {
        await waitUntil("both at a", () => first.members().join() === "a,b", WAIT_MS);
        await waitUntil("both at b", () => second.members().join() === "a,b", WAIT_MS);
        const seen = first.events.findLast((event) => event.type === "members");
        expect(seen).toEqual({ type: "members", members: [first.self, second.self] });
        expect(second.coordinator.clusterUuid()).toBe(first.coordinator.clusterUuid());
      } finally {
        await second.coordinator.close();
      }
      await waitUntil("a alone", () => first.members().join() === "a", WAIT_MS);
    },
    TEST_MS,
  );

  test(
    "nothing is reported after close, and a closed coordinator does not start",
    async () => {
      const cell = freshCell();
      await using other = await TestNode.start(cell, "b");
      const node = await TestNode.start(cell, "a");
      await node.coordinator.close();
      const seen = node.events.length;
      await other.win();
      await Bun.sleep(200);
      expect(node.events).toHaveLength(seen);
      expect(node.coordinator.remainingMs()).toBeLessThanOrEqual(0);
      expect(await codeOf(() => node.start())).toBe("closed");
      expect(await node.coordinator.writeInSync(1, inSync(1), 1)).toEqual({ outcome: "refused", reason: "fenced" });
    },
    TEST_MS,
  );

  test(
    "observe looks without joining",
    async () => {
      const cell = freshCell();
      const observer = cell.open();
      expect(await observer.observe()).toEqual({ members: [], leader: null });
      await using node = await TestNode.start(cell, "a");
      const epoch = await node.win();
      const leader = { nodeId: "a", bootId: node.self.bootId, epoch };
      expect(await observer.observe()).toEqual({ members: [node.self], leader });
      expect(await node.coordinator.observe()).toEqual({ members: [node.self], leader });
      await observer.close();
      expect(node.members()).toEqual(["a"]);
    },
    TEST_MS,
  );

  test(
    "two cells do not see each other",
    async () => {
      await using one = await TestNode.start(freshCell(), "a");
      await using two = await TestNode.start(freshCell(), "a");
      expect(await one.win()).toBe(1);
      expect(await two.win()).toBe(1);
      expect(await one.coordinator.observe()).toMatchObject({ members: [one.self] });
    },
    TEST_MS,
  );
}

function elections(freshCell: () => CoordinatorCell, service: () => CoordinatorService): void {
  test(
    "of several candidates one wins, and all hear of it",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      await using b = await TestNode.start(cell, "b");
      await using c = await TestNode.start(cell, "c");
      const nodes = [a, b, c];
      const outcomes = await Promise.all(nodes.map((node) => node.coordinator.compete(0)));
      expect(outcomes.map((outcome) => outcome.outcome).sort()).toEqual(["lost", "lost", "won"]);
      const winner = nodes[outcomes.findIndex((outcome) => outcome.outcome === "won")]!;
      const leader = { nodeId: winner.self.nodeId, bootId: winner.self.bootId, epoch: 1 };
      for (const node of nodes) {
        await waitUntil(`the leader at ${node.self.nodeId}`, () => node.leader()?.epoch === 1, WAIT_MS);
        expect(node.leader()).toEqual(leader);
      }
      expect(await winner.coordinator.compete(0)).toEqual({ outcome: "won", epoch: 1 });
    },
    TEST_MS,
  );

  test(
    "epochs rise with each election, above whatever a candidate knows",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      await using b = await TestNode.start(cell, "b");
      expect(await a.win()).toBe(1);
      expect(await b.coordinator.compete(0)).toEqual({ outcome: "lost" });
      await a.coordinator.resign(1);
      expect(await b.coordinator.compete(40)).toEqual({ outcome: "won", epoch: 41 });
      await b.coordinator.resign(41);
      expect(await a.coordinator.compete(7)).toEqual({ outcome: "won", epoch: 42 });
    },
    TEST_MS,
  );

  test(
    "resigning gives up the named epoch only",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      await using b = await TestNode.start(cell, "b");
      const epoch = await a.win();
      await a.coordinator.resign(epoch + 1);
      await b.coordinator.resign(epoch);
      expect(await b.coordinator.compete(0)).toEqual({ outcome: "lost" });
      await a.coordinator.resign(epoch);
      await waitUntil("no leader", () => b.leader() === null, WAIT_MS);
      expect(await a.coordinator.writeWatermarks(epoch, { clean: true, partitions: {} })).toEqual({
        outcome: "refused",
        reason: "fenced",
      });
      expect(await b.win()).toBe(epoch + 1);
    },
    TEST_MS,
  );

  test(
    "a leader that closes leaves at once: its session need not expire",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      const b = await TestNode.start(cell, "b");
      await b.win();
      await waitUntil("b leads", () => a.leader()?.nodeId === "b", WAIT_MS);
      await b.coordinator.close();
      expect(await a.coordinator.compete(0)).toEqual({ outcome: "won", epoch: 2 });
    },
    TEST_MS,
  );

  test(
    "R3: a holder whose leader node was taken from it is fenced, though its session lives",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      await using b = await TestNode.start(cell, "b");
      const old = await a.win();
      await service().removeLeader(cell.cell);
      expect(await b.win()).toBe(old + 1);
      const { version } = await a.coordinator.readInSync();
      expect(await a.coordinator.writeInSync(old, inSync(old, "a/1"), version)).toEqual({
        outcome: "refused",
        reason: "fenced",
      });
      expect(await a.coordinator.writeWatermarks(old, { clean: true, partitions: {} })).toEqual({
        outcome: "refused",
        reason: "fenced",
      });
      await a.coordinator.resign(old); // must not take b's node away
      expect(await b.coordinator.writeInSync(old + 1, inSync(old + 1, "b/1"), version)).toMatchObject({
        outcome: "written",
      });
      expect(await a.coordinator.observe()).toMatchObject({ leader: { nodeId: "b", epoch: old + 1 } });
    },
    TEST_MS,
  );
}

function records(freshCell: () => CoordinatorCell): void {
  test(
    "R3: the in-sync set is written at the version that was read, by the newest epoch",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      await using b = await TestNode.start(cell, "b");
      const first = await a.coordinator.readInSync();
      expect(first).toEqual({ value: inSync(0), version: first.version });
      expect(first.version).toBeGreaterThanOrEqual(1);

      const epoch = await a.win();
      const written = await a.coordinator.writeInSync(epoch, inSync(epoch, "a/1", "b/1"), first.version);
      expect(written).toEqual({ outcome: "written", version: first.version + 1 });
      expect(await b.coordinator.readInSync()).toEqual({
        value: inSync(epoch, "a/1", "b/1"),
        version: first.version + 1,
      });
      expect(await a.coordinator.writeInSync(epoch, inSync(epoch, "a/1"), first.version)).toEqual({
        outcome: "refused",
        reason: "conflict",
      });
      expect(await b.coordinator.writeInSync(epoch, inSync(epoch, "b/1"), first.version + 1)).toEqual({
        outcome: "refused",
        reason: "fenced",
      });
      expect((await a.coordinator.readInSync()).value.incarnations).toEqual(["a/1", "b/1"]);
    },
    TEST_MS,
  );

  test(
    "R15: watermarks are kept, with the clean mark, for the next leader",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      await using b = await TestNode.start(cell, "b");
      expect((await a.coordinator.readWatermarks()).value).toEqual({ clean: false, partitions: {} });
      const epoch = await a.win();
      const record = {
        clean: true,
        partitions: { "orders#0": [5, 1_000_000_000_000] as const, "orders#1": [0, 0] as const },
      };
      const outcome = await a.coordinator.writeWatermarks(epoch, record);
      if (outcome.outcome !== "written") throw new Error(`not written: ${JSON.stringify(outcome)}`);
      expect(await b.coordinator.readWatermarks()).toEqual({ value: record, version: outcome.version });
      expect(await a.coordinator.writeWatermarks(epoch, { ...record, clean: false })).toMatchObject({
        version: outcome.version + 1,
      });
    },
    TEST_MS,
  );

  test(
    "a topic's record is its first writer's, until it is replaced",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      await using b = await TestNode.start(cell, "b");
      const offers: TopicRecord[] = [
        { generation: 1, dedupEpoch: 0, startAt: "earliest" },
        { generation: 2, dedupEpoch: 3, startAt: "committed" },
      ];
      const [one, two] = await Promise.all([
        a.coordinator.ensureTopic("orders.v1_x-y", offers[0]!),
        b.coordinator.ensureTopic("orders.v1_x-y", offers[1]!),
      ]);
      expect(one).toEqual(two);
      expect(offers).toContainEqual(one);
      const replaced: TopicRecord = { generation: 9, dedupEpoch: 9, startAt: "latest" };
      await b.coordinator.replaceTopic("orders.v1_x-y", replaced);
      expect(await a.coordinator.ensureTopic("orders.v1_x-y", offers[0]!)).toEqual(replaced);
      expect(await a.coordinator.ensureTopic("other", offers[0]!)).toEqual(offers[0]!);
      await a.coordinator.replaceTopic("new", replaced);
      expect(await b.coordinator.ensureTopic("new", offers[0]!)).toEqual(replaced);
    },
    TEST_MS,
  );

  test(
    "without a session, reads throw and changes say that they were not made",
    async () => {
      const coordinator: Coordinator = freshCell().open();
      const calls: (() => Promise<unknown>)[] = [
        () => coordinator.readInSync(),
        () => coordinator.readWatermarks(),
        () => coordinator.ensureTopic("t", { generation: 1, dedupEpoch: 0, startAt: "earliest" }),
      ];
      for (const call of calls) {
        expect(await codeOf(call)).toBe("unavailable");
      }
      expect(await coordinator.compete(0)).toEqual({ outcome: "unknown" });
      expect(await coordinator.writeInSync(1, inSync(1), 1)).toEqual({ outcome: "refused", reason: "fenced" });
      expect(coordinator.remainingMs()).toBeLessThanOrEqual(0);
      await coordinator.close();
    },
    TEST_MS,
  );
}

function failures(freshCell: () => CoordinatorCell, service: () => CoordinatorService): void {
  test(
    "the deadline stays ahead while the service answers, by two thirds of the session at most",
    async () => {
      await using node = await TestNode.start(freshCell(), "a");
      const untilMs = performance.now() + 1.5 * service().sessionMs;
      while (performance.now() < untilMs) {
        expect(node.coordinator.remainingMs()).toBeLessThanOrEqual((service().sessionMs * 2) / 3);
        await Bun.sleep(20);
      }
      expect(node.coordinator.remainingMs()).toBeGreaterThan(0);
      expect(node.sessionStates()).not.toContain("lost");
    },
    TEST_MS,
  );

  test(
    "a killed leader's nodes go when its session expires, not before it could know",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      await using child = await cell.startChild("b");
      expect(await child.compete(0)).toEqual({ outcome: "won", epoch: 1 });
      await waitUntil("b leads", () => a.leader()?.nodeId === "b", WAIT_MS);
      const trustedMs = (await child.standing()).remainingMs;
      const askedAtMs = performance.now();
      await child.kill();
      expect(await a.coordinator.compete(0)).toEqual({ outcome: "lost" });
      expect(await a.win()).toBe(2);
      expect(performance.now() - askedAtMs).toBeGreaterThan(trustedMs);
      await waitUntil("b is gone", () => a.members().join() === "a", WAIT_MS);
    },
    TEST_MS,
  );

  test(
    "a restarted node waits for its own ghost and does not take its nodes away",
    async () => {
      const cell = freshCell();
      await using child = await cell.startChild("a");
      expect(await child.compete(0)).toMatchObject({ outcome: "won" });
      await child.kill();
      const ghost = child.self;
      await using again = new TestNode(cell, "a");
      const started = again.start();
      await waitUntil("a warning", () => again.warnings().length > 0, WAIT_MS);
      expect(again.warnings()[0]).toContain("node id a is still registered by another session");
      expect(await again.coordinator.observe()).toMatchObject({ members: [ghost], leader: { bootId: ghost.bootId } });
      await started;
      expect(await again.win()).toBe(2);
      await waitUntil("itself", () => again.leader()?.bootId === again.self.bootId, WAIT_MS);
      const seen = again.events.findLast((event) => event.type === "members");
      expect(seen).toEqual({ type: "members", members: [again.self] });
    },
    TEST_MS,
  );

  test(
    "closing ends a start that still waits",
    async () => {
      const cell = freshCell();
      await using holder = await TestNode.start(cell, "a");
      const second = new TestNode(cell, "a");
      const started = second.start();
      const outcome = codeOf(() => started);
      await waitUntil("a warning", () => second.warnings().length > 0, WAIT_MS);
      await second.coordinator.close();
      expect(await outcome).toBe("closed");
      expect(await holder.coordinator.observe()).toMatchObject({ members: [holder.self] });
    },
    TEST_MS,
  );

  test(
    "R17: a stopped leader is past its deadline when it wakes, and its writes are refused",
    async () => {
      const cell = freshCell();
      await using a = await TestNode.start(cell, "a");
      await using child = await cell.startChild("b");
      expect(await child.compete(0)).toEqual({ outcome: "won", epoch: 1 });
      const { version } = await a.coordinator.readInSync();
      child.stop();
      expect(await a.win()).toBe(2);
      const standing = child.standing(); // asked before it can hear anything from the service
      const write = child.writeInSync(1, version, ["b/1"]);
      child.resume();
      const { remainingMs, states: early } = await standing;
      expect(remainingMs <= 0 || early.includes("lost")).toBe(true);
      expect(await write).toEqual({ outcome: "refused", reason: "fenced" });
      expect(await a.coordinator.readInSync()).toMatchObject({ version });
      expect(await a.coordinator.writeInSync(2, inSync(2, "a/1"), version)).toMatchObject({ outcome: "written" });
      await waitUntil("b again", () => a.members().join() === "a,b", WAIT_MS);
      // Its own "connected" may come after others have seen it: it says so only when it has looked at the members itself.
      await waitUntil("its word", async () => (await child.standing()).states.at(-1) === "connected", WAIT_MS);
      const { states } = await child.standing();
      expect(states.filter((state) => state !== "suspended")).toEqual(["connected", "lost", "connected"]);
      expect(await child.compete(0)).toEqual({ outcome: "lost" });
    },
    TEST_MS,
  );

  test(
    "R17: a service that falls silent ends leadership at the deadline, and a new session does not bring it back",
    async () => {
      const cell = freshCell();
      await using node = await TestNode.start(cell, "a");
      const epoch = await node.win();
      const { version } = await node.coordinator.readInSync();
      await service().pause();
      try {
        await waitUntil("the deadline", () => node.coordinator.remainingMs() <= 0, WAIT_MS);
        await waitUntil("lost", () => node.sessionStates().includes("lost"), WAIT_MS);
        expect(await node.coordinator.writeInSync(epoch, inSync(epoch, "a/1"), version)).toEqual({
          outcome: "refused",
          reason: "fenced",
        });
        expect(await codeOf(() => node.coordinator.readInSync())).toBe("unavailable");
        expect(await node.coordinator.compete(0)).toEqual({ outcome: "unknown" });
      } finally {
        await service().resume();
      }
      await waitUntil("a new session", () => node.sessionStates().at(-1) === "connected", WAIT_MS);
      expect(node.sessionStates()).toEqual(["connected", "suspended", "lost", "connected"]);
      expect(node.coordinator.remainingMs()).toBeGreaterThan(0);
      expect(await node.coordinator.writeInSync(epoch, inSync(epoch, "a/1"), version)).toEqual({
        outcome: "refused",
        reason: "fenced",
      });
      expect(await node.win()).toBe(epoch + 1);
      expect(await node.coordinator.observe()).toMatchObject({ members: [node.self], leader: { epoch: epoch + 1 } });
    },
    TEST_MS,
  );

  test(
    "a cell outlives kill -9 of all its nodes",
    async () => {
      const cell = freshCell();
      await using a = await cell.startChild("a");
      await using b = await cell.startChild("b");
      expect(await a.compete(11)).toEqual({ outcome: "won", epoch: 12 });
      await using reader = await TestNode.start(cell, "reader");
      const { version } = await reader.coordinator.readInSync();
      const uuid = reader.coordinator.clusterUuid();
      await reader.coordinator.close();
      expect(await a.writeInSync(12, version, ["a/1", "b/1"])).toMatchObject({ outcome: "written" });
      await Promise.all([a.kill(), b.kill()]);

      await using again = await TestNode.start(cell, "c");
      expect(again.coordinator.clusterUuid()).toBe(uuid);
      expect((await again.coordinator.readInSync()).value).toEqual(inSync(12, "a/1", "b/1"));
      expect(await again.win()).toBe(13);
    },
    TEST_MS,
  );

  test(
    "two nodes with one name: the second never gets in while the first lives",
    async () => {
      const cell = freshCell();
      await using first = await TestNode.start(cell, "a");
      await using second = new TestNode(cell, "a");
      const started = second.start().catch(() => undefined);
      await waitUntil("the alarm", () => second.warnings().some((text) => text.includes("second process")), WAIT_MS);
      expect(await first.coordinator.observe()).toMatchObject({ members: [first.self] });
      expect(second.sessionStates()).toEqual([]);
      await second.coordinator.close();
      await started;
      expect(memberInfo("a").bootId).not.toBe(first.self.bootId);
    },
    TEST_MS,
  );
}
