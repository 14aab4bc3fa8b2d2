/**
 * ZooKeeper forgets: a node's session under a running handler, and everything it knew. On real servers and node processes,
 * judged by the record of effects.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { CellPaths } from "../../src/coordinator/zookeeper/connect-string.ts";
import { readNode, valueOf, withClient } from "../conformance/zookeeper-client.ts";
import { type Cluster, type TestNode, withCluster } from "../support/cluster.ts";
import { removeLeaderNode } from "../support/cluster-outside.ts";
import { sharedServers, TICK_MS } from "../support/cluster-servers.ts";
import { startZooKeeper, type ZooKeeperServer } from "../support/servers/zookeeper.ts";
import { ZooKeeperRelay } from "../support/zookeeper-relay.ts";

const TEST_MS = 120_000;
const PARTITIONS = 6;
const SESSION_MS = 3_000; // of the cluster's nodes
/** Handlers wait at their gates as long as a case lasts. */
const PATIENT = { handlerTimeoutMs: 60_000 };

let zookeeper: ZooKeeperServer; // to be wiped

beforeAll(async () => {
  zookeeper = await startZooKeeper({ tickMs: TICK_MS });
}, 60_000);
afterAll(() => zookeeper?.stop(), 30_000);

/** A task a partition that runs until `end` opens, and one above it that is done. */
async function busy(cluster: Cluster, before: number = 0): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    await cluster.produce([
      { partition, id: `long-${partition}`, work: { gate: "end" } },
      { partition, id: `short-${partition}` },
    ]);
  }
  await cluster.waitFor("all tasks begun, the short ones done", () => {
    const kinds = cluster.effects().map(({ kind }) => kind);
    return (
      kinds.filter((kind) => kind === "start").length === before + 12 &&
      kinds.filter((kind) => kind === "effect").length === before + 6
    );
  });
}

const RECORDS = ["epoch", "inSync", "watermarks"] as const;

/** What a backup of the cell would hold. */
async function copyOf(address: string, paths: CellPaths): Promise<ReadonlyMap<string, string>> {
  const copy = new Map<string, string>();
  for (const name of RECORDS) copy.set(paths[name], (await readNode(address, paths[name])).text);
  return copy;
}

function expectOnce(cluster: Cluster, tasks: number): void {
  const { executed, executedTwice, lost } = cluster.judgement();
  expect({ executed, executedTwice, lost }).toEqual({ executed: tasks, executedTwice: 0, lost: 0 });
}

test(
  "R12, R17: ZooKeeper expires a node's session under its running handlers, a follower's and the leader's: nobody else starts their tasks",
  async () => {
    const { zookeeper: shared } = await sharedServers();
    const relays = new Map<string, ZooKeeperRelay>();
    await using stack = new AsyncDisposableStack();
    await withCluster(
      { nodes: 0, partitions: PARTITIONS, check: "throws", onUnknown: "park", options: PATIENT },
      async (cluster) => {
        for (let i = 1; i <= 3; i++) {
          const relay = stack.use(await ZooKeeperRelay.start(shared.address));
          relays.set(`n${i}`, relay);
          await cluster.addNode({ waitUntilReady: false, environment: { ZOOKEEPER_CONNECT: relay.address } });
        }
        await cluster.ready();
        await busy(cluster);
        const leader = await cluster.leader();
        const [follower, other] = (await cluster.followers()) as [TestNode, TestNode];
        const newSession = async (node: TestNode, act: () => Promise<void>): Promise<void> => {
          const relay = relays.get(node.name)!;
          const before = relay.sessions.length;
          await act();
          await cluster.waitFor(`a new session of ${node.name}`, () => relay.sessions.length > before);
          await cluster.ready();
        };

        // The server says so at once …
        await newSession(follower, () => relays.get(follower.name)!.expireSession());
        // … or while the node hears nothing, so that only its own clock tells it.
        await newSession(other, async () => {
          const relay = relays.get(other.name)!;
          relay.hold();
          await Bun.sleep(SESSION_MS + 3 * TICK_MS);
          relay.release();
        });
        const { epoch } = (await cluster.statuses()).get(leader.name)!;
        await newSession(leader, () => relays.get(leader.name)!.expireSession());
        await cluster.leader();
        expect((await cluster.statuses()).get(leader.name)!.epoch).toBeGreaterThan(epoch);

        // Longer than everybody's patience with the one that ran them.
        await Bun.sleep(SESSION_MS);
        expect(cluster.effects().filter(({ kind }) => kind === "start").length).toBe(12);
        cluster.openGate("end");
        await cluster.settled();
        expectOnce(cluster, 12);
        expect(cluster.judgement().starts).toBe(12);
        expect(cluster.checks()).toEqual([]);
        expect(cluster.counter("parked")).toBe(0);
      },
    );
  },
  TEST_MS,
);

test(
  "C14: ZooKeeper's data is wiped under a working cell: every node stops and says what a person must do; done so, it goes on",
  async () => {
    const { kafka } = await sharedServers();
    const options = { ...PATIENT, drainTimeoutMs: 3_000 };
    await withCluster(
      { servers: { kafka, zookeeper }, partitions: PARTITIONS, onUnknown: "park", options },
      async (cluster) => {
        await busy(cluster);
        const paths = new CellPaths("", "/vouch", cluster.cell);
        const uuid = (await readNode(zookeeper.address, paths.uuid)).text;
        for (const node of cluster.nodes) node.expectEnd();
        await zookeeper.restartEmpty();
        const codes = await Promise.all(cluster.nodes.map((node) => node.exited));
        expect(codes).toEqual([3, 3, 3]);
        for (const node of cluster.nodes) {
          expect(node.log()).toContain(`ZooKeeper ${zookeeper.address} has no records of this cell any more`);
          expect(node.log()).toContain(`${paths.uuid} is gone: its data was wiped, or set up anew`);
          expect(node.log()).toContain(
            "Stop all nodes of the cell and restore ZooKeeper's data from a backup; or, if there is none",
          );
          expect(node.log()).toContain(
            `create ${paths.uuid} with the text ${uuid} and ${paths.epoch} with the text 1, and start the nodes`,
          );
        }
        // None of them left anything behind that would look like a cell.
        expect(await withClient(zookeeper.address, (client) => client.getData(paths.uuid))).toMatchObject({
          refusal: "no-node",
        });

        // Started by somebody who did not read it, or by an orchestrator: a new cell, which takes nothing over.
        const starts = cluster.effects().length;
        await Promise.all(cluster.nodes.map((node) => node.restart()));
        await cluster.ready();
        await cluster.waitFor("every takeover refused", async () => {
          const statuses = [...(await cluster.statuses()).values()];
          return statuses
            .flatMap((each) => each.partitions)
            .every(({ stopped }) => stopped.includes(`is another cell's`) && stopped.includes(uuid));
        });
        expect(cluster.effects().length).toBe(starts);
        await Promise.all(cluster.nodes.map((node) => node.drain()));

        await withClient(zookeeper.address, async (client) => {
          const folders = [paths.members, paths.topics];
          const names = [
            paths.uuid,
            paths.epoch,
            paths.inSync,
            paths.watermarks,
            paths.topic(cluster.topic),
            ...folders,
            paths.base,
          ];
          for (const path of names) valueOf(await client.multi([{ type: "remove", path, version: "any" }]));
          valueOf(await client.create(paths.base, "", "persistent"));
          valueOf(await client.create(paths.uuid, uuid, "persistent"));
          valueOf(await client.create(paths.epoch, "1", "persistent"));
        });
        cluster.openGate("end");
        await Promise.all(cluster.nodes.map((node) => node.restart()));
        await cluster.ready();
        await cluster.settled();
        expectOnce(cluster, 12);
        expect([...(await cluster.statuses()).values()].every(({ epoch }) => epoch > 1)).toBe(true);
      },
    );
  },
  TEST_MS,
);

test(
  "C14: an old copy of ZooKeeper's data is put back under a cell that works, or that was killed: nothing runs twice, epochs rise",
  async () => {
    const { kafka } = await sharedServers();
    const setting = {
      servers: { kafka, zookeeper },
      partitions: PARTITIONS,
      onUnknown: "park",
      options: PATIENT,
    } as const;
    await withCluster(setting, async (cluster) => {
      const { address } = zookeeper;
      const paths = new CellPaths("", "/vouch", cluster.cell);
      const restore = async (copy: ReadonlyMap<string, string>): Promise<void> => {
        await withClient(address, async (client) => {
          for (const [path, text] of copy) valueOf(await client.setData(path, text, "any"));
        });
      };
      await cluster.produce(Array.from({ length: 12 }, (_, i) => ({ partition: i % PARTITIONS, id: `early-${i}` })));
      await cluster.settled();
      const copy = await copyOf(address, paths);
      for (const node of cluster.nodes) {
        await node.drain();
        await node.restart();
        await cluster.ready();
      }
      await busy(cluster, 12);
      const { epoch } = (await cluster.statuses()).get((await cluster.leader()).name)!;
      expect(epoch).toBeGreaterThan(1);

      // Its in-sync set names processes that are gone, its watermarks and its epoch are those of then.
      await restore(copy);
      await removeLeaderNode(cluster);
      await cluster.waitFor("a leader of a later epoch", async () =>
        [...(await cluster.statuses()).values()].some(
          (each) => each.epoch > epoch && each.leaderStatus?.active === true,
        ),
      );
      await cluster.produce(Array.from({ length: 6 }, (_, partition) => ({ partition, id: `later-${partition}` })));
      await cluster.waitFor("later tasks", () => cluster.judgement().executed >= 12 + 6 + 6);
      expect(cluster.starts("long-0").length).toBe(1);

      // The same while nobody lives: the group's commits tell the epoch.
      const last = (await cluster.statuses()).get((await cluster.leader()).name)!.epoch;
      await Promise.all(cluster.nodes.map((node) => node.kill()));
      await restore(copy);
      cluster.openGate("end");
      await Promise.all(cluster.nodes.map((node) => node.restart()));
      await cluster.ready();
      await cluster.settled();
      expectOnce(cluster, 30);
      expect([...(await cluster.statuses()).values()].every((each) => each.epoch > last)).toBe(true);
    });
  },
  TEST_MS,
);
