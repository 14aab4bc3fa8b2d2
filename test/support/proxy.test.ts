/** The proxy that requirement tests stand on: frames keep their order through a hold, and a cut ends both ends. */
import { expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { decodeMessage, MessageEncoder } from "../../src/wire/codec.ts";
import { FrameParser, LENGTH_BYTES, writeLength } from "../../src/wire/frame.ts";
import { PeerProxy } from "./proxy.ts";
import { freePorts, waitUntil } from "./servers/processes.ts";

const BOOT_ID = "0123456789abcdef0123456789abcdef";
const WAIT_MS = 5_000;

/** Acknowledgements with these numbers, as one run of bytes. */
function acks(...numbers: readonly number[]): Uint8Array {
  const encoder = new MessageEncoder();
  const frames = numbers.map((number) => {
    const body = encoder.encode(BOOT_ID, { kind: "ack", epoch: 1, number, leaseMs: 1_000 });
    const frame = new Uint8Array(LENGTH_BYTES + body.length);
    writeLength(frame, 0, body.length);
    frame.set(body, LENGTH_BYTES);
    return frame;
  });
  return Buffer.concat(frames);
}

/** A server that counts the frames that reach it, behind a proxy, and a socket to that. */
async function behindProxy(
  use: (proxy: PeerProxy, socket: Socket, received: number[]) => Promise<void>,
): Promise<void> {
  const [port = 0, listenPort = 0] = await freePorts(2);
  const received: number[] = [];
  const target = createServer((socket) => {
    const parser = new FrameParser(() => 1_024, 1_024);
    socket.on("data", (chunk: Buffer) =>
      parser.push(new Uint8Array(chunk), (_kind, body) => {
        const { message } = decodeMessage(body.slice());
        received.push(message.kind === "ack" ? message.number : -1);
        return true;
      }),
    );
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => target.listen(port, "127.0.0.1", resolve));
  try {
    await using proxy = await PeerProxy.start({ host: "127.0.0.1", port: listenPort }, { host: "127.0.0.1", port });
    const socket = connect({ host: "127.0.0.1", port: listenPort });
    socket.on("error", () => undefined);
    try {
      await use(proxy, socket, received);
    } finally {
      socket.destroy();
    }
  } finally {
    await new Promise((resolve) => target.close(resolve));
  }
}

test("a hold keeps the first matching frame and all behind it, and lets them go in order", async () => {
  await behindProxy(async (proxy, socket, received) => {
    const seen: number[] = [];
    proxy.onFrame = ({ message }) => {
      if (message?.kind === "ack") seen.push(message.number);
    };
    const hold = proxy.hold(({ message }) => message?.kind === "ack" && message.number === 2);
    socket.write(acks(1, 2, 3));
    await hold.begun;
    await waitUntil("all frames at the proxy", () => seen.length === 3, WAIT_MS);
    await waitUntil("the frame before the hold", () => received.length === 1, WAIT_MS);
    expect(hold.held.map(({ message }) => (message?.kind === "ack" ? message.number : -1))).toEqual([2, 3]);
    expect(received.length).toBe(1);
    hold.release();
    socket.write(acks(4));
    await waitUntil("all frames at the end", () => received.length === 4, WAIT_MS);
    expect(received).toEqual([1, 2, 3, 4]);
    expect(hold.held).toEqual([]);
  });
});

test("a cut ends the link at both ends, and a refusing proxy takes no new one", async () => {
  await behindProxy(async (proxy, socket, received) => {
    socket.write(acks(1));
    const port = socket.remotePort ?? 0;
    await waitUntil("the link", () => received.length === 1, WAIT_MS);
    proxy.refuse(true);
    proxy.cut();
    await waitUntil("the end of the socket", () => socket.destroyed || socket.readableEnded, WAIT_MS);
    const again = connect(port, "127.0.0.1");
    again.on("error", () => undefined);
    await waitUntil("the refusal", () => again.destroyed || again.readableEnded, WAIT_MS);
    again.destroy();
  });
});
