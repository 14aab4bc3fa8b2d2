/** What README's troubleshooting quotes is what a new user's node prints: real processes, with the embedded log. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, TestNode } from "../support/cluster-node.ts";
import { freePort, freePorts, temporaryFolder, type TemporaryFolder, waitUntil } from "../support/servers/processes.ts";
import { Message, messagesOf, says } from "./messages.ts";

const LIMIT_MS = 60_000;
const WAIT_MS = 25_000;
/** An address of this machine at which nobody listens: what --advertise-host says when it is wrong. */
const ELSEWHERE = "127.0.0.9";

let root: TemporaryFolder;
const nodes: TestNode[] = [];

/** The task module that README shows, in a folder in which `payments.ts` is its name, as for its reader. */
function writeModule(name: string, change: (source: string) => string = (source) => source): void {
  const [, source] = /^```ts\n([\s\S]*?)^```$/m.exec(readFileSync(join(ROOT, "README.md"), "utf8"))!;
  // The folder is not in the repository: "vouch" is found by its path.
  const from = JSON.stringify(join(ROOT, "src/index.ts"));
  const paid = JSON.stringify(join(root.path, "paid.ndjson"));
  const placed = source!.replace('from "vouch"', `from ${from}`).replace('"paid.ndjson"', paid);
  writeFileSync(join(root.path, name), change(placed));
}

beforeAll(async () => {
  root = await temporaryFolder("vouch-messages");
  mkdirSync(join(root.path, "silent"));
  writeModule("payments.ts");
  writeModule("silent/payments.ts", (source) => source.replace(/^\s+onUnknown: .*\n/m, ""));
});

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.kill()));
  await root.remove();
});

async function start(name: string, data: string, ...more: string[]): Promise<TestNode> {
  const [peerPort = 0, httpPort = 0] = await freePorts(2);
  const listen = ["--peer-listen", `127.0.0.1:${peerPort}`, "--http-listen", `127.0.0.1:${httpPort}`];
  const own = ["--node-id", name, "--data-dir", join(root.path, data)];
  const argv = [join(ROOT, "node.ts"), "run", join(root.path, "payments.ts"), ...own, ...listen, ...more];
  const node = new TestNode({ name, argv, environment: {}, httpPort, peerPort, proxy: null });
  nodes.push(node);
  return node;
}

/** One command that ends by itself with exit code 2; its output. */
async function refused(...argv: string[]): Promise<string> {
  const environment = Object.entries(process.env).filter(([name]) => !/^(VOUCH|KAFKA|ZOOKEEPER)_/.test(name));
  const child = Bun.spawn([process.execPath, join(ROOT, "node.ts"), "run", ...argv], {
    cwd: root.path,
    env: Object.fromEntries(environment) as Record<string, string>,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: WAIT_MS,
  });
  const output = await new Response(child.stderr).text();
  expect(await child.exited).toBe(2);
  return output;
}

async function said(node: TestNode, message: string): Promise<void> {
  await waitUntil(`"${message}"`, () => says(node.log(), message), WAIT_MS).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${node.logTail()}`);
  });
}

const OFF = ["--http-listen", "off", "--peer-listen", "127.0.0.1:0"];

async function shows(keys: readonly (keyof typeof Message)[], provoke: () => Promise<void>): Promise<void> {
  for (const key of keys) shown.add(key);
  await provoke();
}
const shown = new Set<keyof typeof Message>();

test(
  "a command line or module that cannot be: what is wrong, exit code 2",
  () =>
    shows(["onUnknown", "together", "portTaken", "notLoopback"], async () => {
      const silent = await refused(join("silent", "payments.ts"), "--data-dir", "x");
      expect(says(silent, Message.onUnknown)).toBe(true);
      expect(says(await refused("payments.ts", "--kafka-brokers", "localhost:9092"), Message.together)).toBe(true);
      using holder = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      const http = ["--http-listen", `127.0.0.1:${holder.port}`, "--peer-listen", "127.0.0.1:0"];
      expect(says(await refused("payments.ts", "--data-dir", "x", ...http), Message.portTaken)).toBe(true);
      const open = ["--http-listen", "off", "--peer-listen", "0.0.0.0:0"];
      expect(says(await refused("payments.ts", "--data-dir", "x", ...open), Message.notLoopback)).toBe(true);
    }),
  LIMIT_MS,
);

test(
  "a node alone, on a topic that nobody made; a second one of its name; a third with another parameter",
  () =>
    shows(["noTopic", "alone", "nodeIdTaken", "parameters"], async () => {
      const n1 = await start("n1", "alone");
      await said(n1, Message.noTopic);
      await said(n1, Message.alone);
      await said(await start("n1", "alone"), Message.nodeIdTaken);
      await said(await start("n2", "alone", "--filter-seed", "5"), Message.parameters);
    }),
  LIMIT_MS,
);

test(
  "nodes that cannot reach each other: both say so, with the address",
  () =>
    shows(["noLink", "unreachable"], async () => {
      const n1 = await start("n1", "apart", "--advertise-host", ELSEWHERE);
      await said(n1, Message.alone);
      const n2 = await start("n2", "apart", "--advertise-host", ELSEWHERE);
      await said(n1, Message.noLink);
      await said(n2, Message.unreachable);
    }),
  LIMIT_MS,
);

test(
  "no ZooKeeper at its address, and a dedup epoch that would fall",
  () =>
    shows(["zookeeperPort", "dedupEpoch"], async () => {
      const address = `127.0.0.1:${await freePort()}`;
      await said(
        await start("n1", "unused", "--zookeeper", address, "--kafka-brokers", address),
        Message.zookeeperPort,
      );
      const raised = await start("n1", "raised", "--single-node", "--dedup-epoch", "1");
      await said(raised, "now leader");
      await raised.kill("SIGTERM");
      const data = ["--data-dir", join(root.path, "raised"), "--node-id", "n1", "--single-node", ...OFF];
      expect(says(await refused("payments.ts", ...data), Message.dedupEpoch)).toBe(true);
    }),
  LIMIT_MS,
);

test("every message that processes give was shown here", () => {
  expect([...shown].sort()).toEqual([...messagesOf("processes")].sort());
});
