import { describe, expect, test } from "bun:test";
import { VouchError } from "../../src/errors.ts";
import { isLoopback, parseAddress } from "../../src/links/address.ts";
import { PeerEndpoint } from "../../src/links/endpoint.ts";
import { defaultLinkSettings } from "../../src/links/link-settings.ts";
import { MessageEncoder } from "../../src/wire/codec.ts";
import { LENGTH_BYTES, writeLength } from "../../src/wire/frame.ts";
import { encodeHello, type Hello } from "../../src/wire/hello.ts";
import { identity, RawSocket, Recorder, until } from "./support.ts";

function framed(body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(LENGTH_BYTES + body.length);
  writeLength(frame, 0, body.length);
  frame.set(body, LENGTH_BYTES);
  return frame;
}

function rejection(promise: Promise<unknown>): Promise<VouchError> {
  return promise.then(
    () => {
      throw new Error("it was not refused");
    },
    (error: unknown) => {
      expect(error).toBeInstanceOf(VouchError);
      return error as VouchError;
    },
  );
}

/** A raw socket whose handshake is through, so that what follows is judged as peer messages. */
async function shakenHands(server: Recorder): Promise<RawSocket> {
  const raw = await RawSocket.open(server.endpoint.address);
  const self = identity("raw");
  const hello: Hello = { ...self, expectedNodeId: server.self.nodeId, expectedBootId: server.self.bootId };
  raw.write(framed(encodeHello("hello", hello)));
  await until(() => server.links.length === 1 && raw.bytes.length > 0);
  return raw;
}

describe("peer links", () => {
  test("messages go both ways, in order, to the incarnation that was dialled", async () => {
    await using a = new Recorder(identity("a"));
    await using b = new Recorder(identity("b"));
    const link = await a.dial(b);
    expect(link.peer).toBe(`b/${b.self.bootId}`);
    expect(link.outgoing).toBe(true);
    for (let epoch = 0; epoch < 500; epoch++) link.send(b.self.bootId, { kind: "admitted", epoch });
    await until(() => b.messages.length === 500);
    expect(b.links[0]!.peer).toBe(`a/${a.self.bootId}`);
    expect(b.links[0]!.outgoing).toBe(false);
    expect(b.messages.map(({ message }) => message.epoch)).toEqual(Array.from({ length: 500 }, (_, epoch) => epoch));
    expect(b.messages[0]!.receiver).toBe(b.self.bootId);
    b.links[0]!.send("f".repeat(32), { kind: "nudge", epoch: 3, pids: [1, 2] });
    await until(() => a.messages.length === 1);
    expect(a.messages[0]).toMatchObject({ receiver: "f".repeat(32), message: { kind: "nudge", pids: [1, 2] } });
  });

  test("typed arrays of a message stay as they are while more messages arrive", async () => {
    await using a = new Recorder(identity("a"));
    await using b = new Recorder(identity("b"));
    const link = await a.dial(b);
    const chunk = (fill: number) =>
      ({
        kind: "state-chunk",
        epoch: 1,
        purpose: "sync",
        replace: false,
        first: true,
        last: false,
        seq: fill,
        watermarks: [],
        rows: [],
        generations: [],
        segments: [
          { generation: 1, insertions: 1, indexes: Uint32Array.of(0, 1), bytes: new Uint8Array(8192).fill(fill) },
        ],
      }) as const;
    for (let fill = 0; fill < 200; fill++) link.send(b.self.bootId, chunk(fill));
    await until(() => b.messages.length === 200);
    expect(b.messages.map(({ message }) => message)).toEqual(Array.from({ length: 200 }, (_, fill) => chunk(fill)));
  });

  test("everything sent in one turn leaves in one write", async () => {
    await using a = new Recorder(identity("a"));
    await using b = new Recorder(identity("b"));
    const link = await a.dial(b);
    const before = a.endpoint.counters.bytesOut;
    for (let round = 0; round < 100; round++) link.send(b.self.bootId, { kind: "admitted", epoch: round });
    expect(a.endpoint.counters.bytesOut).toBe(before); // nothing yet
    expect(link.unsentBytes).toBeGreaterThan(3_000);
    await Promise.resolve();
    expect(link.unsentBytes).toBe(0);
  });

  test("R19: peers with other parameters get no link, and both ends say which parameter differs", async () => {
    await using a = new Recorder(identity("a"));
    await using b = new Recorder(identity("b", { parameters: [{ name: "span", value: "5" }] }));
    const error = await rejection(a.dial(b));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("parameter");
    await until(() => b.refused.length === 1);
    expect(b.refused[0]).toContain("parameter");
    expect(a.links.length + b.links.length).toBe(0);
  });

  test("R2: dialling an incarnation that is gone is refused", async () => {
    await using a = new Recorder(identity("a"));
    await using b = new Recorder(identity("b"));
    const error = await rejection(a.endpoint.dial(b.endpoint.address, { nodeId: "b", bootId: "0".repeat(32) }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain(`this node is b/${b.self.bootId}`);
  });

  test("peers are refused while the node is still starting", async () => {
    const handlers = { onLink() {}, onMessage() {}, onClosed() {}, onRefused() {} };
    const settings = defaultLinkSettings;
    await using early = new PeerEndpoint({ listen: "127.0.0.1:0", insecure: false, settings, handlers });
    await using a = new Recorder(identity("a"));
    const error = await rejection(a.endpoint.dial(early.address, identity("b")));
    expect(error.message).toContain("still starting");
    expect((await rejection(early.dial(a.endpoint.address, a.self))).message).toContain("still starting");
  });

  test("nobody there, or somebody who never answers, is a failed dial", async () => {
    await using a = new Recorder(identity("a"), { handshakeTimeoutMs: 150 });
    const port = await (async () => {
      await using gone = new Recorder(identity("b"));
      return gone.endpoint.address;
    })();
    expect((await rejection(a.endpoint.dial(port, identity("b")))).code).toBe("unavailable");
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    try {
      const error = await rejection(a.endpoint.dial(`127.0.0.1:${silent.port}`, identity("b")));
      expect(["unavailable", "refused"]).toContain(error.code);
    } finally {
      silent.stop(true);
    }
    expect(a.links).toEqual([]);
  });

  test("SEC5: a socket without a handshake is closed at the deadline", async () => {
    await using server = new Recorder(identity("a"), { handshakeTimeoutMs: 100 });
    using raw = await RawSocket.open(server.endpoint.address);
    raw.write(Uint8Array.of(0, 0, 0, 100, 0x9a));
    await raw.closed;
    expect(server.endpoint.counters.handshakeTimeouts).toBe(1);
    expect(server.refused[0]).toContain("no handshake within 100 ms");
  });

  for (const limits of [{ unauthenticatedMax: 3 }, { unauthenticatedPerAddressMax: 3 }]) {
    test(`SEC5: no more sockets without a handshake than ${Object.keys(limits)[0]}; the others are not disturbed`, async () => {
      await using server = new Recorder(identity("a"), limits);
      using one = await RawSocket.open(server.endpoint.address);
      using two = await RawSocket.open(server.endpoint.address);
      using three = await RawSocket.open(server.endpoint.address);
      using four = await RawSocket.open(server.endpoint.address);
      await four.closed;
      expect(server.endpoint.counters.unauthenticatedRejected).toBe(1);
      for (const raw of [one, two, three]) expect(raw.write(Uint8Array.of(0))).toBe(1);
      one[Symbol.dispose]();
      await one.closed;
      await until(() => server.refused.length === 1);
      await using b = new Recorder(identity("b"));
      await b.dial(server);
      expect(server.links.length).toBe(1);
    });
  }

  test("SEC5: before the handshake nothing but a hello of at most 4 KiB is accepted", async () => {
    await using server = new Recorder(identity("a"));
    const early = framed(new MessageEncoder().encode("0".repeat(32), { kind: "admitted", epoch: 1 }));
    for (const bytes of [early, Uint8Array.of(0, 0, 0x10, 1, 0x9a, 1), Buffer.from("GET / HTTP/1.1\r\n\r\n")]) {
      using raw = await RawSocket.open(server.endpoint.address);
      raw.write(bytes);
      await raw.closed;
    }
    expect(server.endpoint.counters.protocolErrors).toBe(3);
    expect(server.links).toEqual([]);
  });

  test("SEC6: after the handshake, garbage closes the link and nothing else", async () => {
    await using server = new Recorder(identity("a"));
    using raw = await shakenHands(server);
    raw.write(framed(Uint8Array.of(0x92, 29, 0xc0)));
    await raw.closed;
    expect(server.closed.length).toBe(1);
    expect(server.closed[0]!.reason).toContain("0xc0");
    await using b = new Recorder(identity("b"));
    await b.dial(server);
  });

  test("SEC6: a frame that is never completed closes the link", async () => {
    await using server = new Recorder(identity("a"), { frameTimeoutMs: 100 });
    using raw = await shakenHands(server);
    raw.write(framed(new MessageEncoder().encode(server.self.bootId, { kind: "admitted", epoch: 1 })).subarray(0, 12));
    await raw.closed;
    expect(server.endpoint.counters.frameTimeouts).toBe(1);
    expect(server.messages).toEqual([]);
  });

  test("SEC6: a link on which nothing arrives is closed; one with traffic is not", async () => {
    await using server = new Recorder(identity("a"), { idleCloseMs: 300 });
    await using b = new Recorder(identity("b"));
    using raw = await shakenHands(server);
    const busy = await b.dial(server);
    const traffic = setInterval(() => busy.send(server.self.bootId, { kind: "admitted", epoch: 1 }), 20);
    try {
      await raw.closed;
    } finally {
      clearInterval(traffic);
    }
    expect(server.endpoint.counters.idleCloses).toBe(1);
    expect(server.closed.map(({ link }) => link.peer)).toEqual([`raw/${identity("raw").bootId}`]);
  });

  test("SEC6: a reader that does not read costs at most the limit, then its link", async () => {
    await using server = new Recorder(identity("a"), { unsentBytesMax: 2_000_000 });
    using raw = await shakenHands(server);
    raw.pause();
    const link = server.links[0]!;
    const pids = Array.from({ length: 10_000 }, () => 4_000_000_000);
    let most = 0;
    while (server.closed.length === 0) {
      link.send("0".repeat(32), { kind: "nudge", epoch: 1, pids });
      most = Math.max(most, link.unsentBytes);
      await Promise.resolve();
    }
    expect(most).toBeLessThanOrEqual(2_000_000);
    expect(server.closed[0]!.reason).toContain("reads too slowly");
    expect(server.endpoint.counters.unsentOverflows).toBe(1);
  });

  test("a large backlog drains completely through partial writes", async () => {
    await using a = new Recorder(identity("a"));
    await using b = new Recorder(identity("b"));
    const link = await a.dial(b);
    const pids = Array.from({ length: 12_000 }, (_, index) => index);
    for (let epoch = 0; epoch < 600; epoch++) link.send(b.self.bootId, { kind: "nudge", epoch, pids });
    expect(link.unsentBytes).toBeGreaterThan(10_000_000);
    await until(() => b.messages.length === 600);
    expect(b.messages.every(({ message }, index) => message.epoch === index)).toBe(true);
    expect(link.unsentBytes).toBe(0);
  });

  test("closing flushes what was queued, and tells both ends once", async () => {
    await using a = new Recorder(identity("a"));
    await using b = new Recorder(identity("b"));
    const link = await a.dial(b);
    const pids = Array.from({ length: 12_000 }, (_, index) => index);
    for (let epoch = 0; epoch < 100; epoch++) link.send(b.self.bootId, { kind: "nudge", epoch, pids });
    link.close("enough");
    link.send(b.self.bootId, { kind: "admitted", epoch: 1 });
    expect(a.closed.map(({ reason }) => reason)).toEqual(["enough"]);
    await until(() => b.closed.length === 1);
    expect(b.messages.length).toBe(100);
    expect(a.closed.length).toBe(1);
    expect(a.endpoint.linkCount + b.endpoint.linkCount).toBe(0);
  });

  test("a link may be closed while its messages are being handed over", async () => {
    await using a = new Recorder(identity("a"));
    await using b = new Recorder(identity("b"));
    b.onMessage = (link) => link.close("after the first");
    const link = await a.dial(b);
    for (let epoch = 0; epoch < 50; epoch++) link.send(b.self.bootId, { kind: "admitted", epoch });
    await until(() => a.closed.length === 1);
    expect(b.messages.length).toBe(1);
  });

  test("disposal closes port, links and waiting dials, and is idempotent", async () => {
    const a = new Recorder(identity("a"));
    await using b = new Recorder(identity("b"));
    await a.dial(b);
    const address = a.endpoint.address;
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    try {
      const dial = rejection(a.endpoint.dial(`127.0.0.1:${silent.port}`, identity("c")));
      await Promise.all([a[Symbol.asyncDispose](), a[Symbol.asyncDispose]()]);
      expect((await dial).code).toBe("closed");
    } finally {
      silent.stop(true);
    }
    await until(() => b.closed.length === 1);
    expect((await rejection(a.dial(b))).code).toBe("closed");
    expect((await rejection(b.endpoint.dial(address, a.self))).code).toBe("unavailable");
  });

  test("SEC1: binds only loopback addresses unless told otherwise", () => {
    for (const listen of ["0.0.0.0:0", "[::]:0", "example.invalid:0", "10.0.0.1:0"]) {
      expect(() => new Recorder(identity("a"), {}, listen)).toThrow("expected a loopback address");
    }
    expect(["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"].every(isLoopback)).toBe(true);
    expect(["127.0.0.1.example", "128.0.0.1", "::", "0.0.0.0", "127.example"].some(isLoopback)).toBe(false);
  });

  test("SEC1: an unsafe address binds when insecure is spelled out", async () => {
    const handlers = { onLink() {}, onMessage() {}, onClosed() {}, onRefused() {} };
    const settings = defaultLinkSettings;
    await using open = new PeerEndpoint({ listen: "0.0.0.0:0", insecure: true, settings, handlers });
    expect(open.address).toMatch(/^0\.0\.0\.0:\d+$/);
  });

  test("addresses: what can be parsed, and a port that is taken", async () => {
    expect(parseAddress("127.0.0.1:7400")).toEqual({ host: "127.0.0.1", port: 7400 });
    expect(parseAddress("[::1]:1")).toEqual({ host: "::1", port: 1 });
    for (const text of ["", "7400", "host", "host:70000", "a b:1", "::1:5"]) expect(() => parseAddress(text)).toThrow();
    await using a = new Recorder(identity("a"));
    expect(() => new Recorder(identity("b"), {}, a.endpoint.address)).toThrow("another process has this port");
  });
});
