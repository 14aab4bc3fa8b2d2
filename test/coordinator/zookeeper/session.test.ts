/**
 * The five tests that the library alone does not pass (A-E), and others of the same kind, against a server that misbehaves on
 * purpose.
 */
import { describe, expect, test } from "bun:test";
import { ZooKeeperConnection } from "../../../src/coordinator/zookeeper/connection.ts";
import type { Reply } from "../../../src/coordinator/zookeeper/requests.ts";
import { ZooKeeperSession } from "../../../src/coordinator/zookeeper/session.ts";
import { waitUntil } from "../../support/servers/processes.ts";
import { type Answer, FakeServer, type Frame, OPCODE, reply } from "./fake-server.ts";

const SESSION_MS = 900;
const WAIT_MS = 10_000;

interface TestSession {
  readonly session: ZooKeeperSession;
  readonly said: string[]; // "connected <id>", "resumed <id>", "suspended", "lost"
  readonly failures: string[];
  create(): Promise<Reply<void>>;
  [Symbol.asyncDispose](): Promise<void>;
}

function openSession(
  servers: readonly FakeServer[],
  auth: { scheme: string; credentials: string } | null = null,
): TestSession {
  const said: string[] = [];
  const failures: string[] = [];
  const session = new ZooKeeperSession(
    { servers: servers.map((server) => server.address), sessionMs: SESSION_MS, auth, probePath: "/probe" },
    {
      connected: (ticket, resumed) => said.push(`${resumed ? "resumed" : "connected"} ${Number(`0x${ticket.id}`)}`),
      suspended: () => said.push("suspended"),
      lost: () => said.push("lost"),
      failed: (_, attempt, reason) => failures.push(`${attempt}: ${reason}`),
    },
  );
  session.open();
  return {
    session,
    said,
    failures,
    create: () =>
      session.request(session.sessionId ?? "", (connection) => connection.create("/node", "text", "persistent")),
    [Symbol.asyncDispose]: () => session.close(),
  };
}

const waitFor = (what: string, node: TestSession, wanted: string): Promise<void> =>
  waitUntil(what, () => node.said.includes(wanted), WAIT_MS);

/** Applies `special` to the frames of one connection, and answers all others as a server should. */
function onConnection(number: number, special: (frame: Frame) => Answer): (frame: Frame) => Answer {
  return (frame) => (frame.connection === number ? special(frame) : "normal");
}

const isConnect = (frame: Frame): boolean => frame.kind === "connect";

describe("what the library alone does not survive", () => {
  test("A: a server that is silent after the handshake is left, and the session goes on elsewhere", async () => {
    const silent = onConnection(1, (frame) => (isConnect(frame) ? "normal" : "silence"));
    await using server = await FakeServer.start(silent);
    await using node = openSession([server]);
    await waitFor("a session", node, "connected 1");
    const pending = node.create();
    await waitFor("the same session", node, "resumed 1");
    expect(node.said).toEqual(["connected 1", "suspended", "resumed 1"]);
    expect(await pending).toEqual({ kind: "unknown" });
    expect(await node.create()).toEqual({ kind: "ok", value: undefined });
  });

  test("A: servers that stay silent end the session at its deadline, not before", async () => {
    await using server = await FakeServer.start((frame) =>
      frame.connection === 1 && isConnect(frame) ? "normal" : "silence",
    );
    await using node = openSession([server]);
    await waitFor("a session", node, "connected 1");
    const deadlineMs = node.session.deadlineMs;
    await waitFor("its loss", node, "lost");
    expect(node.session.nowMs()).toBeGreaterThanOrEqual(deadlineMs);
    expect(node.said).toEqual(["connected 1", "suspended", "lost"]);
    expect(node.session.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
  });

  test("B: a frame that was torn by a lost connection does not swallow the next connection's answers", async () => {
    const hundred = reply(0, 0, Buffer.alloc(84, 1));
    const torn = onConnection(1, (frame) =>
      frame.opcode === OPCODE.create ? { raw: hundred.subarray(0, 10), thenClose: true } : "normal",
    );
    await using server = await FakeServer.start(torn);
    await using node = openSession([server]);
    await waitFor("a session", node, "connected 1");
    expect(await node.create()).toEqual({ kind: "unknown" });
    await waitFor("the same session", node, "resumed 1");
    expect(await node.create()).toEqual({ kind: "ok", value: undefined });
  });

  test("C: requests made while there is no connection are answered at once, also when the session expires", async () => {
    let gone = false;
    const script = (frame: Frame): Answer => {
      if (frame.connection === 1) return frame.opcode === OPCODE.create ? "drop" : "normal";
      if (isConnect(frame) && frame.sessionId !== 0n) return gone ? "expired" : "drop";
      return "normal";
    };
    await using server = await FakeServer.start(script);
    await using node = openSession([server]);
    await waitFor("a session", node, "connected 1");
    const first = node.create();
    await waitFor("its suspension", node, "suspended");
    expect(await first).toEqual({ kind: "unknown" });
    expect(await node.create()).toEqual({ kind: "unsent" });
    gone = true;
    await waitFor("a new session", node, "connected 2");
    expect(node.said).toEqual(["connected 1", "suspended", "lost", "connected 2"]);
    expect(await node.create()).toEqual({ kind: "ok", value: undefined });
  });

  test("D: a server that accepts and never answers costs no client its start", async () => {
    await using deaf = await FakeServer.start(() => "silence");
    await using good = await FakeServer.start();
    const nodes = Array.from({ length: 20 }, () => openSession([deaf, good]));
    try {
      const connected = (node: TestSession): boolean => node.said.some((text) => text.startsWith("connected"));
      await waitUntil("all of 20 sessions", () => nodes.every(connected), WAIT_MS);
    } finally {
      await Promise.all(nodes.map((node) => node.session.close()));
    }
  });

  test("E: authentication goes out before the first operation", async () => {
    await using server = await FakeServer.start();
    await using node = openSession([server], { scheme: "digest", credentials: "user:password" });
    expect(await node.create()).toEqual({ kind: "unsent" }); // not queued
    await waitFor("a session", node, "connected 1");
    expect(await node.create()).toEqual({ kind: "ok", value: undefined });
    expect(server.requests(1)).toEqual([OPCODE.auth, OPCODE.create]);
  });
});

describe("one connection", () => {
  test("Z8: a frame that declares too much ends the connection before it is buffered", async () => {
    const huge = Buffer.alloc(4);
    huge.writeInt32BE(64 * 1024 * 1024);
    const script = onConnection(1, (frame) =>
      frame.opcode === OPCODE.create ? { raw: huge, thenClose: false } : "normal",
    );
    await using server = await FakeServer.start(script);
    await using node = openSession([server]);
    await waitFor("a session", node, "connected 1");
    expect(await node.create()).toEqual({ kind: "unknown" });
    await waitFor("the same session", node, "resumed 1");
    expect(node.failures[0]).toContain("frame of 67108864 bytes");
  });

  test("Z4: an answer that the library cannot read ends the connection, not the process", async () => {
    const script = (frame: Frame): Answer => {
      if (frame.connection > 2 || frame.opcode !== OPCODE.create) return "normal";
      // SESSION_MOVED, which the library does not know; then a notification cut short inside its frame.
      return frame.connection === 1 ? { error: -118 } : { raw: reply(-1, 0, Buffer.alloc(3)), thenClose: false };
    };
    await using server = await FakeServer.start(script);
    await using node = openSession([server]);
    await waitFor("a session", node, "connected 1");
    expect(await node.create()).toEqual({ kind: "unknown" });
    await waitFor("the same session", node, "resumed 1");
    expect(await node.create()).toEqual({ kind: "unknown" });
    await waitUntil("it twice", () => node.said.filter((text) => text === "resumed 1").length === 2, WAIT_MS);
    expect(node.failures).toHaveLength(2);
    for (const failure of node.failures) expect(failure).toContain("unreadable");
    expect(await node.create()).toEqual({ kind: "ok", value: undefined });
  });

  test("Z3: an answer that says that the session is over ends it at once", async () => {
    const script = onConnection(1, (frame) => (frame.opcode === OPCODE.create ? { error: -112 } : "normal"));
    await using server = await FakeServer.start(script);
    await using node = openSession([server]);
    await waitFor("a session", node, "connected 1");
    expect(await node.create()).toEqual({ kind: "unknown" });
    await waitFor("a new session", node, "connected 2");
    expect(node.said).toEqual(["connected 1", "lost", "connected 2"]);
  });

  test("a resumed connection says what it has seen; a new session says nothing", async () => {
    const script = (frame: Frame): Answer => {
      if (isConnect(frame) && frame.connection === 3) return "expired";
      return frame.connection <= 2 && frame.opcode === OPCODE.create ? "drop" : "normal";
    };
    await using server = await FakeServer.start(script);
    await using node = openSession([server]);
    await waitFor("a session", node, "connected 1");
    await node.session.request(node.session.sessionId ?? "", (connection) => connection.exists("/x"));
    await node.create();
    await waitFor("the same session", node, "resumed 1");
    await node.create();
    await waitFor("a new session", node, "connected 2");
    expect(server.connects().map((frame) => [frame.sessionId, frame.zxid])).toEqual([
      [0n, 0n],
      [1n, 7n],
      [1n, 7n],
      [0n, 0n],
    ]);
  });

  test("a connection that was disposed of sends nothing more and does not come back", async () => {
    await using server = await FakeServer.start((frame) => (frame.opcode === OPCODE.create ? "silence" : "normal"));
    const heard: string[] = [];
    const ready = Promise.withResolvers<void>();
    const connection = new ZooKeeperConnection(
      {
        server: server.address,
        sessionMs: SESSION_MS,
        resume: null,
        zxid: 0n,
        auth: null,
        nowMs: () => performance.now(),
      },
      {
        handshake: () => ready.resolve(),
        expired: () => heard.push("expired"),
        answered: () => heard.push("answered"),
        ended: () => heard.push("ended"),
      },
    );
    await ready.promise;
    const pending = connection.create("/node", "text", "ephemeral");
    await waitUntil("the request", () => server.requests(1).length === 1, WAIT_MS);
    connection.dispose();
    expect(await pending).toEqual({ kind: "unknown" });
    expect(await connection.create("/node", "text", "ephemeral")).toEqual({ kind: "unsent" });
    const frames = server.frames.length;
    await Bun.sleep(1.2 * SESSION_MS);
    expect(server.frames).toHaveLength(frames);
    expect(server.sockets).toHaveLength(1);
    expect(heard).toEqual([]);
  });

  test("a connection that is disposed of before it was made is never made", async () => {
    await using server = await FakeServer.start();
    const connection = new ZooKeeperConnection(
      { server: server.address, sessionMs: SESSION_MS, resume: null, zxid: 0n, auth: null, nowMs: () => 0 },
      { handshake: () => undefined, expired: () => undefined, answered: () => undefined, ended: () => undefined },
    );
    connection.dispose();
    await Bun.sleep(100);
    expect(server.frames).toEqual([]);
  });

  test("R3: a guard with version 0 is refused here, because the library would send it as any version", async () => {
    await using server = await FakeServer.start();
    await using node = openSession([server]);
    await waitFor("a session", node, "connected 1");
    const id = node.session.sessionId ?? "";
    for (const version of [0, -1, 1.5]) {
      expect(() =>
        node.session.request(id, (connection) => connection.multi([{ type: "check", path: "/epoch", version }])),
      ).toThrow(RangeError);
    }
    expect(server.requests(1)).toEqual([]);
  });
});
