/** What README's troubleshooting quotes and only real servers can show. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ROOT, TestNode } from "../support/cluster-node.ts";
import { freePort, freePorts, temporaryFolder, type TemporaryFolder, waitUntil } from "../support/servers/processes.ts";
import { startZooKeeper, type ZooKeeperServer } from "../support/servers/zookeeper.ts";
import { Message, messagesOf, says } from "./messages.ts";

const START_MS = 90_000;
const LIMIT_MS = 60_000;

let zookeeper: ZooKeeperServer;
let root: TemporaryFolder;
const nodes: TestNode[] = [];

beforeAll(async () => {
  root = await temporaryFolder("vouch-messages");
  await Bun.write(
    join(root.path, "payments.ts"),
    'export default { topic: "payments", onUnknown: "park", execute() {} };',
  );
  zookeeper = await startZooKeeper();
}, START_MS);

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.kill()));
  await zookeeper.stop();
  await root.remove();
});

async function start(name: string, ...more: string[]): Promise<TestNode> {
  const [peerPort = 0, httpPort = 0] = await freePorts(2);
  const listen = ["--peer-listen", `127.0.0.1:${peerPort}`, "--http-listen", `127.0.0.1:${httpPort}`];
  const argv = [join(ROOT, "node.ts"), "run", join(root.path, "payments.ts"), "--node-id", name, ...listen, ...more];
  const node = new TestNode({ name, argv, environment: {}, httpPort, peerPort, proxy: null });
  nodes.push(node);
  return node;
}

const provokers: Readonly<Record<string, () => Promise<TestNode>>> = {
  kafkaPort: async () =>
    start("n1", "--zookeeper", zookeeper.address, "--kafka-brokers", `127.0.0.1:${await freePort()}`),
};

for (const key of messagesOf("servers")) {
  test(
    `a node says: ${Message[key]}`,
    async () => {
      const node = await provokers[key]!();
      await waitUntil(Message[key], () => says(node.log(), Message[key]), LIMIT_MS / 2).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${node.logTail()}`);
      });
      expect(node.alive()).toBe(true); // it goes on trying
    },
    LIMIT_MS,
  );
}
