/**
 * A scripted ZooKeeper server: it speaks just enough of the wire protocol to misbehave on purpose. Written from the protocol,
 * not with the library's own encoder, so that the two can be compared.
 */
import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";

export const OPCODE = {
  create: 1,
  exists: 3,
  getData: 4,
  ping: 11,
  getChildren2: 12,
  multi: 14,
  auth: 100,
  close: -11,
} as const;

export interface Frame {
  readonly connection: number; // 1, 2, …: in the order in which they were accepted
  readonly kind: "connect" | "request";
  readonly xid: number;
  readonly opcode: number;
  readonly sessionId: bigint; // of a connect request: 0 asks for a new session
  readonly zxid: bigint; // of a connect request: the newest transaction that the client has seen
}

/** What the script wants done with a frame. */
export type Answer =
  | "normal"
  | "silence"
  | "expired" // to a connect request: the session is gone
  | "drop" // close the connection without an answer
  | { readonly error: number } // a reply header with this error
  | { readonly raw: Buffer; readonly thenClose: boolean };

const SESSION_TIMEOUT_LIMIT_MS = 60_000;

function frameOf(...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(4);
  head.writeInt32BE(body.length);
  return Buffer.concat([head, body]);
}

function int(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function long(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(value);
  return buffer;
}

/** A reply: header (xid, zxid, error) and body. */
export function reply(xid: number, error: number, body: Buffer = Buffer.alloc(0), zxid = 7n): Buffer {
  return frameOf(int(xid), long(zxid), int(error), body);
}

export class FakeServer {
  readonly frames: Frame[] = [];
  readonly sockets: Socket[] = [];
  readonly #server: Server;
  readonly #script: (frame: Frame) => Answer;
  #sessions = 0n;

  private constructor(server: Server, script: (frame: Frame) => Answer) {
    this.#server = server;
    this.#script = script;
    server.on("connection", (socket) => this.#accept(socket));
  }

  static async start(script: (frame: Frame) => Answer = () => "normal"): Promise<FakeServer> {
    const server = createServer();
    const fake = new FakeServer(server, script);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return fake;
  }

  get address(): { readonly host: string; readonly port: number } {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the fake server has no port");
    return { host: "127.0.0.1", port: address.port };
  }

  /** Opcodes of the requests on one connection, in order, without probes and pings. */
  requests(connection: number): number[] {
    const noise: readonly number[] = [OPCODE.ping, OPCODE.exists];
    return this.frames
      .filter((frame) => frame.connection === connection && frame.kind === "request" && !noise.includes(frame.opcode))
      .map((frame) => frame.opcode);
  }

  connects(): Frame[] {
    return this.frames.filter((frame) => frame.kind === "connect");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }

  #accept(socket: Socket): void {
    const connection = this.sockets.push(socket);
    let buffered: Buffer = Buffer.alloc(0);
    let greeted = false;
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 4 && buffered.length >= 4 + buffered.readInt32BE(0)) {
        const body = buffered.subarray(4, 4 + buffered.readInt32BE(0));
        buffered = buffered.subarray(4 + body.length);
        this.#handle(socket, readFrame(connection, greeted, body), body);
        greeted = true;
      }
    });
  }

  #handle(socket: Socket, frame: Frame, body: Buffer): void {
    this.frames.push(frame);
    const answer = this.#script(frame);
    if (answer === "silence") return;
    if (answer === "drop") socket.destroy();
    else if (answer === "expired") socket.write(connectResponse(0, 0n));
    else if (typeof answer === "object" && "raw" in answer) {
      socket.write(answer.raw, () => {
        if (answer.thenClose) socket.destroy();
      });
    } else if (typeof answer === "object") socket.write(reply(frame.xid, answer.error));
    else socket.write(this.#normal(frame, body));
  }

  #normal(frame: Frame, body: Buffer): Buffer {
    if (frame.kind === "connect") {
      if (frame.sessionId === 0n) this.#sessions += 1n;
      const timeoutMs = Math.min(body.readInt32BE(12), SESSION_TIMEOUT_LIMIT_MS);
      return connectResponse(timeoutMs, frame.sessionId === 0n ? this.#sessions : frame.sessionId);
    }
    switch (frame.opcode) {
      case OPCODE.exists:
      case OPCODE.getData:
        return reply(frame.xid, -101);
      case OPCODE.create:
        return reply(frame.xid, 0, frameOf(Buffer.from("/created")));
      default:
        return reply(frame.xid, 0);
    }
  }
}

function connectResponse(timeoutMs: number, sessionId: bigint): Buffer {
  return frameOf(int(0), int(timeoutMs), long(sessionId), frameOf(Buffer.alloc(16, 1)), Buffer.from([0]));
}

function readFrame(connection: number, greeted: boolean, body: Buffer): Frame {
  if (greeted) {
    const [xid, opcode] = [body.readInt32BE(0), body.readInt32BE(4)];
    return { connection, kind: "request", xid, opcode, sessionId: 0n, zxid: 0n };
  }
  const [zxid, sessionId] = [body.readBigInt64BE(4), body.readBigInt64BE(16)];
  return { connection, kind: "connect", xid: 0, opcode: 0, sessionId, zxid };
}
