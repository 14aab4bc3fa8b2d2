/**
 * Servers that are not there, a topic that does not exist, a node of another group, on real Kafka and ZooKeeper: what a user
 * is told by a real node process, and that it goes on by itself as soon as it can. The rest of bad input needs no servers:
 * `test/cli/bad-input.test.ts` and `test/cli/bad-peers.test.ts`.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CellView } from "../../src/ops/status.ts";
import { TestNode } from "../support/cluster-node.ts";
import { type ClusterServers, startServers, TICK_MS } from "../support/cluster-servers.ts";
import { freePorts, temporaryFolder, type TemporaryFolder, waitUntil } from "../support/servers/processes.ts";
import { vouch } from "../support/vouch-command.ts";

const WAIT_MS = 30_000;

let root: TemporaryFolder;
let servers: ClusterServers;
const nodes: TestNode[] = [];

beforeAll(async () => {
  [root, servers] = await Promise.all([temporaryFolder("vouch-servers-down"), startServers()]);
  writeFileSync(
    join(root.path, "tasks.ts"),
    `import { appendFileSync } from "node:fs";
     export default {
       topic: "jobs",
       onUnknown: "park",
       execute: (task) => appendFileSync(${JSON.stringify(join(root.path, "effects"))}, task.id + "\\n"),
     };`,
  );
  // Their addresses are known now, and nobody is there.
  await Promise.all([servers.kafka.kill("SIGKILL"), servers.zookeeper.kill("SIGKILL")]);
}, 120_000);

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await Promise.all([servers?.kafka.stop(), servers?.zookeeper.stop()]);
  await root?.remove();
});

async function start(name: string, group: string): Promise<TestNode> {
  const [peerPort = 0, httpPort = 0] = await freePorts(2);
  const { kafka, zookeeper } = servers;
  const flags =
    `--node-id ${name} --single-node --kafka-brokers ${kafka.brokers} --kafka-group-id ${group} ` +
    `--zookeeper ${zookeeper.address} --coordinator-tick-ms ${TICK_MS} ` +
    `--peer-listen 127.0.0.1:${peerPort} --http-listen 127.0.0.1:${httpPort}`;
  const argv = ["node.ts", "run", join(root.path, "tasks.ts"), ...flags.split(" ")];
  const node = new TestNode({ name, argv, environment: {}, httpPort, peerPort, proxy: null });
  nodes.push(node);
  return node;
}

interface Ready {
  readonly code: number;
  readonly waitingFor: string;
  readonly body: string;
}

async function ready(node: TestNode): Promise<Ready> {
  const response = await fetch(`${node.url}/readyz`).catch(() => null);
  if (response === null) return { code: 0, waitingFor: "", body: "" };
  const body = await response.text();
  return { code: response.status, waitingFor: (JSON.parse(body) as Ready).waitingFor, body };
}

function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  return waitUntil(what, condition, WAIT_MS, 50).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${nodes.map((node) => node.logTail()).join("\n")}`);
  });
}

const executed = (): string[] => {
  const path = join(root.path, "effects");
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
};

test("servers that come up late: each is named while it is missing, 503 until all is there, then the work is done", async () => {
  const { kafka, zookeeper } = servers;
  const node = await start("a", "g");

  // No ZooKeeper: nothing is registered, the address is on /readyz and in `status`, and the process lives.
  await until("ZooKeeper's address on /readyz", async () => (await ready(node)).waitingFor.includes(zookeeper.address));
  const down = await ready(node);
  expect(down.code).toBe(503);
  expect(down.waitingFor).toMatch(/^ZooKeeper 127\.0\.0\.1:\d+: connect ECONNREFUSED 127\.0\.0\.1:\d+ \(try \d+\)$/);
  expect((await fetch(`${node.url}/livez`)).status).toBe(200);
  const asked = await vouch(["status", "--node", node.url]);
  expect(asked.code).toBe(3);
  expect(asked.err).toStartWith(`${node.url}: answered 503: starting: ZooKeeper ${zookeeper.address}: `);
  await until("a later try", async () => Number(/\(try (\d+)\)/.exec((await ready(node)).waitingFor)?.[1]) >= 6);
  // It keeps trying, and the log is not full of it.
  expect(node.log().split(`ZooKeeper ${zookeeper.address}`).length - 1).toBeLessThan(4);

  // ZooKeeper, and no Kafka.
  await zookeeper.restart();
  await until("Kafka's address on /readyz", async () => (await ready(node)).waitingFor.startsWith("topic jobs"));
  expect((await ready(node)).code).toBe(503);
  expect((await ready(node)).waitingFor).toBe(
    `topic jobs cannot be opened yet: Kafka ${kafka.brokers}: describing jobs failed: ` +
      `Connection error: connect ECONNREFUSED ${kafka.brokers}`,
  );

  // Both, and no topic.
  await kafka.restart();
  await until("the missing topic on /readyz", async () =>
    (await ready(node)).body.includes("topic jobs does not exist"),
  );
  expect((await ready(node)).code).toBe(503);
  const produced = await vouch(`produce jobs --count 40 --kafka-brokers ${kafka.brokers}`.split(" "));
  expect(produced.code).toBe(0);
  await until("every task", () => executed().length >= 40);
  await until("readiness", async () => (await ready(node)).code === 200);
  expect(new Set(executed()).size).toBe(40);

  // A node of another group is none of this cell's, which goes on.
  const stranger = await start("b", "other");
  const differs = 'parameter group: a has "g", b has "other"';
  await until("the refusal", async () => (await ready(stranger)).waitingFor.includes(differs));
  expect((await ready(stranger)).code).toBe(503);
  expect((await ready(node)).code).toBe(200);

  const flags = `--zookeeper ${zookeeper.address}`;
  const [text, json, nobody] = await Promise.all([
    vouch(`status ${flags}`.split(" ")),
    vouch(`status ${flags} --json`.split(" ")),
    vouch(`status ${flags} --cell nobody`.split(" ")),
  ]);
  expect(text.code).toBe(0);
  expect(text.out).toStartWith("cell default   leader a   epoch 1   in-sync a\n");
  expect(text.out).toContain(
    `b: waiting for a link to the leader a: no link to a: the other end refused:\n  ${differs}\n`,
  );
  expect(text.out.split("\n").filter((line) => line.length > 80)).toEqual([]);
  const view = JSON.parse(json.out) as CellView;
  expect(json.out.trimEnd().split("\n")).toHaveLength(1);
  expect(view.members.map(({ nodeId, error }) => [nodeId, error])).toEqual([
    ["a", ""],
    ["b", ""],
  ]);
  expect([nobody.code, nobody.out]).toEqual([3, ""]);
  expect(nobody.err).toContain(`no node of cell "nobody" is registered in ZooKeeper ${zookeeper.address}`);

  await until("every commit", async () => {
    const partitions = (await node.status())?.core.partitions ?? [];
    return partitions.reduce((sum, { position }) => sum + position, 0) === 40;
  });
  expect(await node.drain()).toBe(0);
  expect(executed().length).toBe(40);
}, 120_000);
