/** What only a real ZooKeeper can show: outcomes that are unknown, the guard's versions, identities, a cell touched by hand. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { openZooKeeperCoordinator } from "../../../src/coordinator/zookeeper/zookeeper-coordinator.ts";
import { TestNode, WAIT_MS, codeOf } from "../../conformance/coordinator-nodes.ts";
import { memberInfo, type ZooKeeperSpec } from "../../conformance/coordinator-spec.ts";
import { readNode, valueOf, withClient } from "../../conformance/zookeeper-client.ts";
import { OPCODE } from "./fake-server.ts";
import { waitUntil } from "../../support/servers/processes.ts";
import { startZooKeeper, type ZooKeeperServer } from "../../support/servers/zookeeper.ts";
import { upstreamOf } from "../../support/zookeeper-relay.ts";

const SESSION_MS = 3_000;
const TEST_MS = 30_000;
let server: ZooKeeperServer;
let cells = 0;

beforeAll(async () => {
  server = await startZooKeeper({ tickMs: 100 });
}, 90_000);
afterAll(() => server?.stop());

function spec(connectString = server.address): ZooKeeperSpec {
  cells += 1;
  return { kind: "zookeeper", connectString, root: "vouch", cell: `cell-${cells}`, sessionMs: SESSION_MS };
}

/** Of the requests (length, number, opcode, …) in a chunk; small ones arrive whole, but several may arrive together. */
function opcodes(chunk: Buffer): number[] {
  const found: number[] = [];
  for (let offset = 0; offset + 12 <= chunk.length; offset += 4 + chunk.readInt32BE(offset)) {
    found.push(chunk.readInt32BE(offset + 8));
  }
  return found;
}

let dripped = Promise.resolve();

/** Writes frames one by one, each in a turn of its own. Small ones arrive whole. */
function drip(to: Socket, chunk: Buffer): void {
  for (let offset = 0; offset + 4 <= chunk.length;) {
    const end = offset + 4 + chunk.readInt32BE(offset);
    const frame = chunk.subarray(offset, end);
    dripped = dripped.then(async () => {
      to.write(frame);
      await Bun.sleep(5);
    });
    offset = end;
  }
}

/** A relay in front of the server that can keep the server's answers back, and cut all connections. */
class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #muteAtMulti = false;
  #muted = false;
  #holdAt = 0;
  #dripsTo: Socket | null = null;
  #held: { readonly to: Socket; readonly bytes: Buffer[] } | null = null;

  private constructor(listener: Server, targetPort: number) {
    this.#server = listener;
    listener.on("connection", (client) => {
      const upstream = upstreamOf(client, "127.0.0.1", targetPort, this.#sockets);
      client.on("data", (chunk: Buffer) => {
        if (this.#muteAtMulti && opcodes(chunk).includes(OPCODE.multi)) this.#muted = true;
        if (this.#held === null && opcodes(chunk).includes(this.#holdAt)) this.#held = { to: client, bytes: [] };
        upstream.write(chunk);
      });
      upstream.on("data", (chunk: Buffer) => {
        if (this.#held?.to === client) this.#held.bytes.push(chunk);
        else if (this.#dripsTo === client) drip(client, chunk);
        else if (!this.#muted) client.write(chunk);
      });
    });
  }

  static async start(targetPort: number): Promise<Relay> {
    const listener = createServer();
    const relay = new Relay(listener, targetPort);
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    return relay;
  }

  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the relay has no port");
    return `127.0.0.1:${address.port}`;
  }

  /** From the next `multi` on the server hears everything and nobody hears it. */
  muteAtMulti(): void {
    this.#muteAtMulti = true;
  }

  /** From the next request of this kind on the server's answers wait here. */
  holdAt(opcode: number): void {
    this.#holdAt = opcode;
  }

  get holds(): boolean {
    return this.#held !== null;
  }

  /** What waited goes as one piece; what follows on this connection answer by answer, as from a server far away. */
  release(): void {
    const held = this.#held;
    if (held === null) return;
    this.#holdAt = 0;
    this.#held = null;
    this.#dripsTo = held.to;
    held.to.write(Buffer.concat(held.bytes));
  }

  /** Ends all connections; new ones work. */
  cut(): void {
    this.#muted = false;
    this.#muteAtMulti = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

test(
  "nodes that arrive at the same moment know each other: the older look at the members is never the last word",
  async () => {
    await using relay = await Relay.start(server.port);
    const cell = spec(relay.address);
    relay.holdAt(OPCODE.getChildren2);
    const starting = TestNode.start(cell, "a");
    await waitUntil("a to list the members", () => relay.holds, WAIT_MS);
    await using _b = await TestNode.start({ ...cell, connectString: server.address }, "b");
    await Bun.sleep(100); // the watch's call lies behind the answer
    relay.release();
    await using a = await starting;
    await waitUntil("a to know b", () => a.members().join() === "a,b", WAIT_MS);
    await Bun.sleep(100);
    expect(a.members().join()).toBe("a,b");
  },
  TEST_MS,
);

test(
  "an election whose answer was lost is found won, by its session, in the same epoch",
  async () => {
    await using relay = await Relay.start(server.port);
    const cell = spec(relay.address);
    await using node = await TestNode.start(cell, "a");
    relay.muteAtMulti();
    const outcome = node.coordinator.compete(0);
    const look = openZooKeeperCoordinator({ ...cell, connectString: server.address });
    await waitUntil("the leader node", async () => (await look.observe()).leader !== null, WAIT_MS);
    relay.cut();
    expect(await outcome).toEqual({ outcome: "unknown" });
    expect(await node.win()).toBe(1);
    expect(node.sessionStates()).toEqual(["connected", "suspended", "connected"]);
    const { version } = await node.coordinator.readInSync();
    expect(await node.coordinator.writeInSync(1, { epoch: 1, incarnations: ["a/1"] }, version)).toEqual({
      outcome: "written",
      version: version + 1,
    });
  },
  TEST_MS,
);

test(
  "R3: a write whose answer was lost is unknown, and a re-read on the same session settles it",
  async () => {
    await using relay = await Relay.start(server.port);
    const cell = spec(relay.address);
    await using node = await TestNode.start(cell, "a");
    const epoch = await node.win();
    const before = await node.coordinator.readInSync();
    relay.muteAtMulti();
    const outcome = node.coordinator.writeInSync(epoch, { epoch, incarnations: ["a/1"] }, before.version);
    const path = `/vouch/${cell.cell}/in-sync`;
    await waitUntil("the write", async () => (await readNode(server.address, path)).version > before.version, WAIT_MS);
    relay.cut();
    expect(await outcome).toEqual({ outcome: "unknown" });
    await waitUntil("the session again", () => node.sessionStates().length === 3, WAIT_MS);
    expect(await node.coordinator.readInSync()).toEqual({
      value: { epoch, incarnations: ["a/1"] },
      version: before.version + 1,
    });
    expect(node.sessionStates()).toEqual(["connected", "suspended", "connected"]);
    expect(await node.coordinator.writeInSync(epoch, { epoch, incarnations: [] }, before.version + 1)).toMatchObject({
      outcome: "written",
    });
  },
  TEST_MS,
);

test(
  "a leader node that bears our name but is another session's is not ours",
  async () => {
    const cell = spec();
    await using node = await TestNode.start(cell, "a");
    const path = `/vouch/${cell.cell}/leader`;
    const text = JSON.stringify({ nodeId: "a", bootId: node.self.bootId, epoch: 1 });
    await withClient(server.address, async (client) => {
      // As a lost session of our own would have left both nodes.
      valueOf(
        await client.multi([
          { type: "create-ephemeral", path, text },
          { type: "set", path: `/vouch/${cell.cell}/epoch`, text: "1", version: "any" },
        ]),
      );
      expect(await node.coordinator.compete(0)).toEqual({ outcome: "lost" });
      valueOf(await client.getData(path)); // and it was left alone
    });
    expect(await node.win()).toBe(2);
  },
  TEST_MS,
);

test(
  "R3: no guard ever has version 0, not even one that somebody else created",
  async () => {
    const cell = spec();
    await withClient(server.address, async (client) => {
      await client.create("/vouch", "", "persistent"); // perhaps there already
      for (const path of [`/vouch/${cell.cell}`, `/vouch/${cell.cell}/epoch`]) {
        valueOf(await client.create(path, path.endsWith("epoch") ? "17" : "", "persistent"));
      }
    });
    await using node = await TestNode.start(cell, "a");
    for (const name of ["epoch", "in-sync", "watermarks"]) {
      expect((await readNode(server.address, `/vouch/${cell.cell}/${name}`)).version).toBeGreaterThanOrEqual(1);
    }
    await withClient(server.address, async (client) => {
      const path = `/vouch/${cell.cell}/epoch`;
      valueOf(await client.multi([{ type: "remove", path, version: "any" }]));
      valueOf(await client.create(path, "17", "persistent")); // version 0 again, while the node is there
    });
    expect(await node.win()).toBe(18);
    expect((await readNode(server.address, `/vouch/${cell.cell}/epoch`)).version).toBe(2);
  },
  TEST_MS,
);

test(
  "a member node that was deleted by hand comes back, in the same session",
  async () => {
    const cell = spec();
    await using node = await TestNode.start(cell, "a b/c");
    const path = `/vouch/${cell.cell}/members/a%20b%2Fc`;
    const before = await readNode(server.address, path);
    await withClient(server.address, async (client) =>
      valueOf(await client.multi([{ type: "remove", path, version: "any" }])),
    );
    await waitUntil(
      "it again",
      async () => (await withClient(server.address, (client) => client.getData(path))).kind === "ok",
      WAIT_MS,
    );
    expect((await readNode(server.address, path)).owner).toBe(before.owner);
    expect(node.sessionStates()).not.toContain("lost");
    await waitUntil("itself", () => node.members().join() === "a b/c", WAIT_MS);
  },
  TEST_MS,
);

test(
  "an ensemble that was set up anew is not taken for the old one",
  async () => {
    const cell = spec();
    await using node = await TestNode.start(cell, "a");
    const uuid = node.coordinator.clusterUuid();
    await withClient(server.address, async (client) => {
      valueOf(await client.setData(`/vouch/${cell.cell}/uuid`, "f".repeat(32), "any"));
      // Makes the node arrive anew, as it does after the loss of its connection.
      valueOf(await client.multi([{ type: "remove", path: `/vouch/${cell.cell}/members/a`, version: "any" }]));
    });
    const failures = () => node.events.flatMap((event) => (event.type === "failed" ? [event.message] : []));
    await waitUntil("the failure", () => failures().length > 0, WAIT_MS);
    expect(failures()[0]).toContain(`/vouch/${cell.cell}/uuid is ${"f".repeat(32)}, and this node knows ${uuid}`);
    expect(node.coordinator.clusterUuid()).toBe(uuid);
    expect(await node.coordinator.observe()).toMatchObject({ members: [] });
  },
  TEST_MS,
);

test(
  "with credentials, a cell is closed to everybody else, who hears so at the start",
  async () => {
    const cell = { ...spec(), root: "/secured", auth: { scheme: "digest", credentials: "vouch:secret" } };
    const owner = openZooKeeperCoordinator(cell);
    try {
      await owner.start(memberInfo("a"), () => undefined);
      expect(await owner.compete(0)).toEqual({ outcome: "won", epoch: 1 });
      const reply = await withClient(server.address, (client) => client.getData(`/secured/${cell.cell}/epoch`));
      expect(reply).toMatchObject({ kind: "refused", refusal: "no-auth" });
      const stranger = openZooKeeperCoordinator({ ...cell, auth: { scheme: "digest", credentials: "vouch:guess" } });
      expect(await codeOf(() => stranger.start(memberInfo("b"), () => undefined))).toBe("configuration");
      await stranger.close();
    } finally {
      await owner.close();
    }
  },
  TEST_MS,
);

test("a service that is not there is waited for, with a warning a try", async () => {
  await using down = await startZooKeeper({ tickMs: 100 });
  await down.kill("SIGKILL");
  const warnings: string[] = [];
  const cell = { ...spec(down.address), onWarning: (text: string) => warnings.push(text) };
  const looking = openZooKeeperCoordinator({ ...cell, sessionMs: 400 });
  expect(await codeOf(() => looking.observe())).toBe("unavailable");
  const coordinator = openZooKeeperCoordinator(cell);
  try {
    const started = coordinator.start(memberInfo("a"), () => undefined);
    await waitUntil("three tries", () => warnings.some((text) => text.includes("(try 3)")), WAIT_MS);
    expect(warnings[0]).toStartWith(`ZooKeeper ${down.address}: `);
    await down.restart();
    await started;
    expect(coordinator.remainingMs()).toBeGreaterThan(0);
  } finally {
    await coordinator.close();
  }
}, 60_000);

test("what cannot be a connect string, a root or a cell is a configuration error", () => {
  const good = { connectString: "a:1,[::1]:2/chroot", root: "/r", cell: "c" };
  openZooKeeperCoordinator(good);
  for (const wrong of [
    { connectString: "" },
    { connectString: "a:b" },
    { connectString: "a:70000" },
    { connectString: "a:1/../b" },
    { root: "a/./b" },
    { cell: ".." },
    { cell: "" },
    { sessionMs: Number.NaN },
  ]) {
    expect(() => openZooKeeperCoordinator({ ...good, ...wrong })).toThrow();
  }
});
