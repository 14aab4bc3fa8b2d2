import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeConfig } from "../../src/config/node-config.ts";
import type { NodeConfig } from "../../src/config/option-table.ts";
import type { Coordinator } from "../../src/coordinator/coordinator.ts";
import { VouchError } from "../../src/errors.ts";
import type { TaskDefinition } from "../../src/execution/define.ts";
import { resolveTasks } from "../../src/execution/resolve.ts";
import { createLogger } from "../../src/ops/log.ts";
import { runtimeOptions, startNode, type RunningNode } from "../../src/runtime/node.ts";
import { startRuntime } from "../../src/runtime/running-node.ts";
import { openEmbeddedTaskLog } from "../../src/task-log/embedded/embedded-task-log.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "vouch-runtime-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

let cells = 0;

/** A data directory of its own for each test. */
function newCell(): string {
  return join(directory, `cell-${++cells}`);
}

function configOf(nodeId: string, dataDir: string, more: Partial<NodeConfig> = {}): NodeConfig {
  return nodeConfig({
    nodeId,
    dataDir,
    peerListen: { host: "127.0.0.1", port: 0 },
    httpListen: null,
    electionBackoffMs: 50,
    drainTimeoutMs: 2_000,
    ...more,
  });
}

const single = { singleNode: true, minInSync: 1 };
const silent = createLogger({ level: "error", plain: true, write: () => undefined, now: Date.now });

function tasksOf(definition: Partial<TaskDefinition> = {}) {
  return resolveTasks([
    { name: "test", exported: { topic: "orders", onUnknown: "park", execute() {}, ...definition } },
  ]);
}

async function produce(dataDir: string, count: number, partitions: number): Promise<void> {
  const log = openEmbeddedTaskLog({ directory: dataDir });
  const admin = log.admin();
  await admin.createTopic("orders", partitions);
  const producer = log.producer();
  await producer.send(
    "orders",
    Array.from({ length: count }, (_, index) => ({ value: `${index}` })),
  );
  await producer.close();
  await admin.close();
  await log.close();
}

async function committed(dataDir: string): Promise<number> {
  const log = openEmbeddedTaskLog({ directory: dataDir });
  const admin = log.admin();
  const offsets = await admin.groupOffsets("vouch", "orders");
  await admin.close();
  await log.close();
  return offsets.reduce((sum, { committed: position }) => sum + (position ?? 0), 0);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(5);
}

/** Every task that ran, with how often. */
class Effects {
  readonly runs = new Map<string, number>();

  note(partition: number, offset: number): void {
    const name = `${partition}:${offset}`;
    this.runs.set(name, (this.runs.get(name) ?? 0) + 1);
  }

  get twice(): string[] {
    return [...this.runs].filter(([, times]) => times > 1).map(([name]) => name);
  }
}

describe("a node", () => {
  test("alone: executes every task once, commits, drains, and leaves nothing open", async () => {
    const dataDir = newCell();
    await produce(dataDir, 500, 3);
    const effects = new Effects();
    const execute = async ({ partition, offset }: { partition: number; offset: number }) => {
      await Bun.sleep(1);
      effects.note(partition, offset);
    };
    const node = await startNode(configOf("a", dataDir, single), tasksOf({ execute }), { logger: silent });
    expect(node.incarnation).toMatch(/^a\/[0-9a-f]{32}$/);
    await until(() => effects.runs.size === 500);
    const end = await node.stop();
    expect(end).toMatchObject({ clean: true, error: null });
    expect(effects.twice).toEqual([]);
    expect(await committed(dataDir)).toBe(500);
    expect(node.status()!.core.role).toBe("stopped");
  }, 30_000);

  test("three nodes share the partitions and run each task once", async () => {
    const dataDir = newCell();
    await produce(dataDir, 0, 6); // the topic alone: work comes when all share it
    const effects = new Effects();
    const workers = new Set<string>();
    const nodes: RunningNode[] = [];
    for (const id of ["a", "b", "c"]) {
      const execute = async ({ partition, offset }: { partition: number; offset: number }) => {
        await Bun.sleep(2);
        workers.add(id);
        effects.note(partition, offset);
      };
      nodes.push(await startNode(configOf(id, dataDir), tasksOf({ execute }), { logger: silent }));
    }
    await until(() => nodes.every((node) => node.status()!.core.partitions.length === 2));
    await produce(dataDir, 1_500, 6);
    await until(() => effects.runs.size === 1_500);
    await Bun.sleep(200); // a second run would come soon after the first
    const leaders = nodes.filter((node) => node.status()!.core.leaderStatus?.active === true);
    expect(leaders.length).toBe(1);
    expect(new Set(nodes.map((node) => node.status()!.core.leader))).toEqual(new Set([leaders[0]!.incarnation]));
    await Promise.all(nodes.map((node) => node.stop()));
    expect(effects.twice).toEqual([]);
    expect(workers.size).toBe(3);
  }, 60_000);

  test("failures are retried, then set aside; poison-free tasks behind them go on", async () => {
    const dataDir = newCell();
    await produce(dataDir, 20, 1);
    const attempts = new Map<number, number>();
    const execute = ({ offset }: { offset: number }) => {
      attempts.set(offset, (attempts.get(offset) ?? 0) + 1);
      if (offset === 3) throw new Error("no");
    };
    const tasks = tasksOf({ execute, attemptsMax: 3, retryBackoffMs: 10, retryBackoffMaxMs: 20 });
    await using node = await startNode(configOf("a", dataDir, single), tasks, { logger: silent });
    await until(() => (node.status()?.core.counters.dead ?? 0) === 1 && attempts.size === 20);
    expect(attempts.get(3)).toBe(3);
    expect([...attempts.values()].reduce((sum, times) => sum + times, 0)).toBe(22);
    await node.stop();
    const log = openEmbeddedTaskLog({ directory: dataDir });
    const admin = log.admin();
    expect((await admin.groupOffsets("nobody", "orders.dead")).reduce((sum, { logEnd }) => sum + logEnd, 0)).toBe(1);
    await admin.close();
    await log.close();
    expect(await committed(dataDir)).toBe(20);
  }, 30_000);

  test("answers over HTTP from its start to its end", async () => {
    const dataDir = newCell();
    const httpListen = { host: "127.0.0.1", port: 0 };
    const node = await startNode(configOf("a", dataDir, { ...single, httpListen }), tasksOf(), { logger: silent });
    const get = (path: string) => fetch(`http://${node.httpAddress}${path}`);
    expect((await get("/livez")).status).toBe(200);
    const status = (await (await get("/status")).json()) as { nodeId: string; peerAddress: string };
    expect(status).toMatchObject({ nodeId: "a", peerAddress: node.peerAddress });
    while ((await get("/readyz")).status !== 200) await Bun.sleep(10);
    expect(await (await get("/metrics")).text()).toContain(
      'vouch_edge_events_total{event="unauthenticatedRejected"} 0',
    );
    await node.stop();
    expect(await get("/livez").catch(() => "closed")).toBe("closed");
  }, 30_000);

  test("a start that fails closes what it opened, and says why", async () => {
    const dataDir = newCell();
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const config = configOf("a", dataDir, { ...single, peerListen: { host: "127.0.0.1", port: taken.port } });
    const failed = await startNode(config, tasksOf(), { logger: silent }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(VouchError);
    expect((failed as VouchError).message).toContain("another process has this port");
    taken.stop(true);
    // The same node again: nothing of the first start holds it up.
    await using node = await startNode(config, tasksOf(), { logger: silent });
    expect(node.peerAddress).toBe(`127.0.0.1:${taken.port}`);
  }, 30_000);

  for (const waitMs of [0, 500]) {
    test(`a start can be given up after ${waitMs} ms while a server does not answer`, async () => {
      const options = runtimeOptions(configOf("a", newCell(), single), tasksOf(), { logger: silent });
      const stop = new AbortController();
      const never = Promise.withResolvers<void>();
      const closed = async (): Promise<void> => never.reject(new VouchError("closed", "closed while starting"));
      const coordinator = { ...options.coordinator, start: () => never.promise, close: closed } as Coordinator;
      const starting = startRuntime({ ...options, coordinator, signal: stop.signal });
      starting.catch(() => undefined);
      never.promise.catch(() => undefined);
      await Bun.sleep(waitMs);
      stop.abort();
      const error = await starting.catch((thrown: unknown) => thrown);
      expect((error as VouchError).code).toBe("closed");
    }, 30_000);
  }

  test("a node whose consumer dies gives up by itself and says why", async () => {
    const options = runtimeOptions(configOf("a", newCell(), single), tasksOf(), { logger: silent });
    const { taskLog } = options;
    const dying: typeof taskLog = {
      producer: () => taskLog.producer(),
      admin: () => taskLog.admin(),
      close: () => taskLog.close(),
      consumer: (consumerOptions) => {
        const consumer = taskLog.consumer(consumerOptions);
        return Object.assign(consumer, { start: () => Promise.reject(new Error("the group refuses us")) });
      },
    };
    const node = await startRuntime({ ...options, taskLog: dying });
    const end = await node.ended;
    expect(end.clean).toBe(false);
    expect(end.error?.message).toBe("the group refuses us");
  }, 30_000);
});
