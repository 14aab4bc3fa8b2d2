/**
 * What a running cell bears, on real processes with the embedded log: a node alone, a missing topic, nodes and strangers
 * that do not belong to it, and bytes at its peer ports that are no protocol. One cell for all tests: node "a" comes first
 * and is left alone for a while, then "b" joins.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CellView } from "../../src/ops/status.ts";
import { TestNode } from "../support/cluster-node.ts";
import { frame, helloOf, knock, promise, strangerOf } from "../support/raw-peer.ts";
import { freePorts, temporaryFolder, type TemporaryFolder, waitUntil } from "../support/servers/processes.ts";
import { vouch } from "../support/vouch-command.ts";
import { PROTOCOL_VERSION } from "../../src/wire/limits.ts";
import { RawSocket } from "../links/support.ts";

const LIMIT_MS = 40_000;
const WAIT_MS = 20_000;
const ALONE = /waiting for 1 more node(\(s\))? \(min-in-sync 2\); start another, or --single-node on all/;

let root: TemporaryFolder;
let a: TestNode;
let b: TestNode;
let alone: { code: number; body: string };
const nodes: TestNode[] = [];

const path = (name: string): string => join(root.path, name);

async function start(name: string, ...more: string[]): Promise<TestNode> {
  const [peerPort = 0, httpPort = 0] = await freePorts(2);
  const listen = ["--peer-listen", `127.0.0.1:${peerPort}`, "--http-listen", `127.0.0.1:${httpPort}`];
  const own = ["--node-id", name, "--data-dir", path("data"), "--concurrency", "20"];
  const argv = ["node.ts", "run", path("tasks.ts"), ...own, ...listen, ...more];
  const node = new TestNode({ name, argv, environment: {}, httpPort, peerPort, proxy: null });
  nodes.push(node);
  return node;
}

async function ready(node: TestNode): Promise<{ code: number; body: string }> {
  const response = await fetch(`${node.url}/readyz`).catch(() => null);
  return response === null ? { code: 0, body: "" } : { code: response.status, body: await response.text() };
}

function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  return waitUntil(what, condition, WAIT_MS).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${nodes.map((node) => node.logTail()).join("\n")}`);
  });
}

const effects = (): string[] =>
  existsSync(path("effects")) ? readFileSync(path("effects"), "utf8").split("\n").slice(0, -1) : [];

beforeAll(async () => {
  root = await temporaryFolder("vouch-bad-peers");
  writeFileSync(
    path("tasks.ts"),
    `import { appendFileSync } from "node:fs";
     export default {
       topic: "jobs",
       onUnknown: "park",
       async execute(task) {
         await Bun.sleep(20);
         appendFileSync(${JSON.stringify(path("effects"))}, task.id + "\\n");
       },
     };`,
  );
  a = await start("a");
  await until("the notice of the node that is alone", () => ALONE.test(a.log()));
  await Bun.sleep(1_500); // in which it could say it again
  alone = await ready(a);
  b = await start("b");
  await until("both nodes in the in-sync set", async () => {
    const statuses = await Promise.all([a.status(), b.status()]);
    return statuses.every((status) => status?.core.member === true);
  });
}, LIMIT_MS);

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await root.remove();
});

describe("a cell that is not whole yet", () => {
  test("a node alone says once what it waits for, and on /readyz with 503", () => {
    expect(a.log().split("waiting for 1 more node")).toHaveLength(2);
    expect(alone.code).toBe(503);
    const { ok, role, waitingFor, checks } = JSON.parse(alone.body);
    expect({ ok, role }).toEqual({ ok: false, role: "activating" });
    expect(waitingFor).toMatch(ALONE);
    expect(checks.find((check: { name: string }) => check.name === "in-sync").detail).toBe(waitingFor);
  });

  test(
    "a topic that does not exist is named, the cell waits for it, and then works on it",
    async () => {
      expect(a.log()).toContain("topic jobs does not exist yet");
      const produced = await vouch([
        "produce",
        "jobs",
        "--count",
        "50",
        "--id-prefix",
        "first-",
        "--data-dir",
        path("data"),
      ]);
      expect(produced.code).toBe(0);
      await until("the first tasks", () => effects().length === 50);
      await until("both nodes ready", async () => (await ready(a)).code === 200 && (await ready(b)).code === 200);
    },
    LIMIT_MS,
  );
});

describe("who does not belong to the cell", () => {
  test(
    "R19: a node with other parameters is refused; both sides, /readyz and status name each of them",
    async () => {
      const c = await start("c", "--filter-seed", "5", "--filter-capacity", "9");
      const differing =
        'parameter filter capacity: a has "1000000", c has "9"; parameter filter seed: a has "0", c has "5"';
      await until("the refusal", () => a.log().includes(JSON.stringify(differing).slice(1, -1)));
      await until("the reason on its /readyz", async () => (await ready(c)).body.includes("filter seed"));
      const { code, body } = await ready(c);
      expect(code).toBe(503);
      expect(JSON.parse(body).waitingFor).toBe(
        `waiting for a link to the leader a: no link to a: the other end refused: ${differing}`,
      );
      const view = await vouch(["status", "--data-dir", path("data")]);
      expect(view.code).toBe(0);
      // On 80 columns a sentence takes several lines.
      expect(view.out.replace(/\n\s+/g, " ")).toContain(
        `c: waiting for a link to the leader a: no link to a: the other end refused: ${differing}`,
      );
      // Told once, though it is tried again and again.
      expect(c.log().split(JSON.stringify(differing).slice(1, -1)).length).toBeLessThan(5);
      await c.stop();
      expect((await Promise.all([ready(a), ready(b)])).map((answer) => answer.code)).toEqual([200, 200]);
    },
    LIMIT_MS,
  );

  test(
    "R19: a stranger of another cell, cluster or version is refused, with what differs",
    async () => {
      const self = strangerOf(path("data"), "jobs");
      const peer = { nodeId: "a", bootId: (await a.status())!.core.incarnation.split("/")[1]! };
      const address = `127.0.0.1:${a.spec.peerPort}`;
      const answers: string[] = [];
      for (const bytes of [
        helloOf(self, peer),
        helloOf({ ...self, cell: "other" }, peer),
        helloOf({ ...self, clusterUuid: "0".repeat(32) }, peer),
        helloOf(self, peer, PROTOCOL_VERSION + 1),
      ]) {
        const { socket, answer } = await knock(address, bytes);
        socket[Symbol.dispose]();
        answers.push(answer);
      }
      expect(answers).toEqual([
        "accepted", // so it is the difference that the others are refused for
        'refused: cell: a has "default", stranger has "other"',
        `refused: cluster: a has "${self.clusterUuid}", stranger has "${"0".repeat(32)}"`,
        `refused: protocol version: a speaks ${PROTOCOL_VERSION}, its peer ${PROTOCOL_VERSION + 1}`,
      ]);
      expect((await ready(a)).code).toBe(200);
    },
    LIMIT_MS,
  );
});

const TASKS = 3_000;

test(
  "SEC5, SEC6: garbage, oversized and truncated frames under load: counted, nothing lost, nobody disturbed",
  async () => {
    const before = (await Promise.all([a.status(), b.status()])).map((status) => status!);
    const produced = await vouch(
      `produce jobs --count ${TASKS} --id-prefix load- --data-dir ${path("data")}`.split(" "),
    );
    expect(produced.code).toBe(0);
    const self = strangerOf(path("data"), "jobs");
    let rounds = 0;
    for (; effects().length < 50 + TASKS * 0.8; rounds++) {
      const node = rounds % 2 === 0 ? a : b;
      const peer = { nodeId: node.name, bootId: before[rounds % 2]!.core.incarnation.split("/")[1]! };
      await attack(`127.0.0.1:${node.spec.peerPort}`, helloOf(self, peer), rounds);
    }
    expect(rounds).toBeGreaterThan(10);
    await until("every task", () => effects().length >= 50 + TASKS);

    let view: CellView | null = null;
    await until("every commit", async () => {
      view = JSON.parse((await vouch(["status", "--data-dir", path("data"), "--json"])).out) as CellView;
      const partitions = view.members.flatMap(({ status }) => status?.core.partitions ?? []);
      return partitions.reduce((sum, { position }) => sum + position, 0) === 50 + TASKS;
    });
    const executed = effects();
    expect(new Set(executed).size).toBe(50 + TASKS);
    expect(executed.length).toBe(50 + TASKS);
    const now = (await Promise.all([a.status(), b.status()])).map((status) => status!);
    const steady = ({ pid, core }: (typeof now)[number]): unknown => [pid, core.role, core.epoch, core.incarnation];
    expect(now.map(steady)).toEqual(before.map(steady));

    for (const node of [a, b]) {
      const metrics = await (await fetch(`${node.url}/metrics`)).text();
      const count = (event: string): number =>
        Number(new RegExp(`^vouch_edge_events_total\\{event="${event}"\\} (\\d+)`, "m").exec(metrics)?.[1]);
      expect(count("protocolErrors")).toBeGreaterThan(rounds);
      expect(count("handshakesRefused")).toBeGreaterThan(rounds);
      await until(
        "the time-out of the half hello",
        async () => (await node.status())!.edges!["handshakeTimeouts"]! > 0,
      );
      // A flood at the port is no flood in the log.
      expect(node.log().split("was not accepted").length).toBeLessThan(20);
    }
  },
  LIMIT_MS,
);

/** One of each kind: before the handshake, and as a peer whose handshake went through. */
async function attack(address: string, hello: Uint8Array, round: number): Promise<void> {
  const garbage = crypto.getRandomValues(new Uint8Array(4_096));
  const strangers: Uint8Array[] = [
    garbage,
    new TextEncoder().encode("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
    promise(2 ** 31 - 1, 1),
    promise(5_000, 1), // a hello may have 4,096
    frame(garbage),
  ];
  const inside: Uint8Array[] = [garbage, promise(2 ** 31 - 1, 16), frame(garbage.subarray(0, 100))];
  for (const bytes of strangers) {
    using socket = await RawSocket.open(address);
    socket.write(bytes);
    await socket.closed;
  }
  for (const bytes of inside) {
    const { socket, answer } = await knock(address, hello);
    expect(answer).toBe("accepted");
    socket.write(bytes);
    await socket.closed;
    socket[Symbol.dispose]();
  }
  // Truncated, on either side of the handshake: cut off in the middle, and one in ten just goes silent.
  const { socket } = await knock(address, hello);
  socket.write(promise(1_000, 16));
  socket.write(garbage.subarray(0, 10));
  socket[Symbol.dispose]();
  const half = await RawSocket.open(address);
  half.write(hello.subarray(0, hello.length / 2));
  if (round % 10 > 1) half[Symbol.dispose]();
}
