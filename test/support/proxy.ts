/**
 * A TCP proxy in front of one node's peer port that understands the frames which pass. Members dial their leader, so the
 * proxy of a leader sees everything that it says and hears; a link is named by the node that dialled.
 *
 * Guarantees: within one link and direction frames leave in the order in which they came, each exactly once; a held frame
 * and everything behind it stays until it is released or the link ends. It changes nothing and delays nothing by itself.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { PeerMessage } from "../../src/core/messages.ts";
import { decodeMessage, messageBytesMax } from "../../src/wire/codec.ts";
import { FrameParser, LENGTH_BYTES, writeLength } from "../../src/wire/frame.ts";
import { decodeHello, helloBytesMax } from "../../src/wire/hello.ts";
import { BULK_BYTES_MAX } from "../../src/wire/limits.ts";

/** "to-node": towards the node behind the proxy; "from-node": what it says. */
export type Direction = "to-node" | "from-node";

export interface PassingFrame {
  /** Node id of the other end of the link. */
  readonly peer: string;
  readonly direction: Direction;
  /** null for a frame of the handshake. */
  readonly message: PeerMessage | null;
}

/** Holds a direction of a link from its first matching frame on. */
export interface Hold extends Disposable {
  /** Resolves with the first frame that it held. */
  readonly begun: Promise<PassingFrame>;
  /** Frames that it holds now, in the order in which they came. */
  readonly held: readonly PassingFrame[];
  /** Lets everything go, in order. Idempotent. */
  release(): void;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

interface Flow {
  readonly direction: Direction;
  readonly to: Socket;
  readonly waiting: { readonly frame: PassingFrame; readonly bytes: Uint8Array }[];
  hold: ActiveHold | null;
}

interface ProxyLink {
  peer: string; // "" until its hello passed
  readonly sockets: readonly [Socket, Socket];
  readonly flows: readonly [Flow, Flow];
}

class ActiveHold implements Hold {
  readonly #began = Promise.withResolvers<PassingFrame>();
  readonly #matches: (frame: PassingFrame) => boolean;
  readonly #flows: () => Iterable<Flow>;
  #released = false;

  constructor(matches: (frame: PassingFrame) => boolean, flows: () => Iterable<Flow>) {
    this.#matches = matches;
    this.#flows = flows;
  }

  get begun(): Promise<PassingFrame> {
    return this.#began.promise;
  }

  get held(): PassingFrame[] {
    return [...this.#flows()]
      .filter((flow) => flow.hold === this)
      .flatMap((flow) => flow.waiting.map((each) => each.frame));
  }

  takes(frame: PassingFrame): boolean {
    if (this.#released || !this.#matches(frame)) return false;
    this.#began.resolve(frame);
    return true;
  }

  release(): void {
    this.#released = true;
    for (const flow of this.#flows()) {
      if (flow.hold !== this) continue;
      flow.hold = null;
      for (const { bytes } of flow.waiting.splice(0)) flow.to.write(bytes);
    }
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

export class PeerProxy implements AsyncDisposable {
  /** Sees every frame when it comes in, before it is passed on or held. */
  onFrame: ((frame: PassingFrame) => void) | null = null;
  readonly #server: Server;
  readonly #target: Address;
  readonly #links = new Set<ProxyLink>();
  readonly #holds: ActiveHold[] = [];
  #refusing = false;

  private constructor(target: Address) {
    this.#target = target;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Listens at once. @throws when the address cannot be bound. */
  static async start(listen: Address, target: Address): Promise<PeerProxy> {
    const proxy = new PeerProxy(target);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(listen.port, listen.host, resolve);
    });
    return proxy;
  }

  /** Node ids of the ends that are linked through it now. */
  get peers(): string[] {
    return [...this.#links].map((link) => link.peer).filter((peer) => peer !== "");
  }

  /** From the first frame that matches, its link keeps that frame and all behind it of the same direction. */
  hold(matches: (frame: PassingFrame) => boolean): Hold {
    const hold = new ActiveHold(matches, () => [...this.#links].flatMap((link) => link.flows));
    this.#holds.push(hold);
    return hold;
  }

  /** Everything of one direction stays from now on; of one peer, or of all. */
  stall(direction: Direction, peer: string | null = null): Hold {
    return this.hold((frame) => frame.direction === direction && (peer === null || frame.peer === peer));
  }

  /** Ends the links to this peer, or to all; what was held is gone. */
  cut(peer: string | null = null): void {
    for (const link of this.#links) if (peer === null || link.peer === peer) this.#end(link);
  }

  /** While true new links are not accepted; those that exist stay. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(dialler: Socket): void {
    if (this.#refusing) {
      dialler.destroy();
      return;
    }
    const target = connect(this.#target);
    const link: ProxyLink = {
      peer: "",
      sockets: [dialler, target],
      flows: [
        { direction: "to-node", to: target, waiting: [], hold: null },
        { direction: "from-node", to: dialler, waiting: [], hold: null },
      ],
    };
    this.#links.add(link);
    this.#pump(link, dialler, link.flows[0]);
    this.#pump(link, target, link.flows[1]);
  }

  #pump(link: ProxyLink, from: Socket, flow: Flow): void {
    const parser = new FrameParser((kind) => helloBytesMax(kind) || messageBytesMax(kind), BULK_BYTES_MAX);
    from.setNoDelay(true);
    from.on("data", (chunk: Buffer) => {
      parser.push(new Uint8Array(chunk), (kind, body) => {
        this.#pass(link, flow, kind, body);
        return true;
      });
    });
    from.on("error", () => this.#end(link));
    from.on("close", () => this.#end(link));
  }

  #pass(link: ProxyLink, flow: Flow, kind: number, body: Uint8Array): void {
    const isHello = helloBytesMax(kind) > 0;
    if (isHello && flow.direction === "to-node") {
      const frame = decodeHello(body);
      if (frame.type === "hello" && frame.hello !== null) link.peer = frame.hello.nodeId;
    }
    const bytes = new Uint8Array(LENGTH_BYTES + body.length);
    writeLength(bytes, 0, body.length);
    bytes.set(body, LENGTH_BYTES);
    const message = isHello ? null : decodeMessage(bytes.subarray(LENGTH_BYTES)).message;
    const frame: PassingFrame = { peer: link.peer, direction: flow.direction, message };
    this.onFrame?.(frame);
    flow.hold ??= this.#holds.find((hold) => hold.takes(frame)) ?? null;
    if (flow.hold === null) flow.to.write(bytes);
    else flow.waiting.push({ frame, bytes });
  }

  #end(link: ProxyLink): void {
    this.#links.delete(link);
    for (const socket of link.sockets) socket.destroy();
  }
}
