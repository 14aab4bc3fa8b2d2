/**
 * What `Bun.listen` and `Bun.connect` become in a simulation: TCP between simulated processes, with the troubles of a real network.
 * Who calls is `time.current`; troubles are named by node ids and hold for every start of a node.
 *
 * Bytes of a connection arrive in order, each once, in pieces of any size. A cut path loses what is on it; like TCP it brings that
 * again after a heal, unless the sender gave up before. Damage to bytes (`corruptNext`) is the one thing that TCP would not let pass;
 * it is done where any reader of frames must notice.
 */
import { defaultNetworkSettings, Path, type Medium, type NetworkSettings } from "./network-path.ts";
import { connectionReset, SimulatedSocket, systemError, type SocketHandlers } from "./network-socket.ts";
import type { Random } from "./random.ts";
import type { Scheduled, SimulatedProcess, VirtualTime } from "./virtual-time.ts";

export interface ListenOptions {
  readonly hostname: string;
  readonly port: number; // 0: any free one
  readonly socket: SocketHandlers;
}

export type ConnectOptions = ListenOptions;

/** What Bun.listen answers, as far as the peer links use it. */
export interface SimulatedListener {
  readonly hostname: string;
  readonly port: number;
  /** No more connections; with `closeActive` those that it accepted end too. */
  stop(closeActive?: boolean): void;
}

interface Listening {
  readonly process: SimulatedProcess;
  readonly handlers: SocketHandlers;
  readonly accepted: Set<SimulatedSocket>;
}

/** A connect that nobody answers, because of a cut. */
interface Hanging {
  readonly socket: SimulatedSocket;
  readonly knock: () => void;
  readonly giveUp: Scheduled;
}

const FIRST_PORT = 20_000;
const PORT_MAX = 65_535;

export class SimulatedNetwork {
  readonly settings: NetworkSettings = { ...defaultNetworkSettings };
  readonly #medium: Medium;
  readonly #time: VirtualTime;
  readonly #listeners = new Map<number, Listening>();
  /** Whose port it is or was: a dead node's machine still answers. */
  readonly #nodeOfPort = new Map<number, string>();
  /** Every end of which the other one may still hear. */
  readonly #sockets = new Set<SimulatedSocket>();
  readonly #hanging = new Set<Hanging>();
  readonly #paths = new Map<string, Map<string, Path>>();
  readonly #watched = new Set<SimulatedProcess>();
  #nextPort = FIRST_PORT;

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#medium = { time, random, settings: this.settings };
  }

  /** Ends of connections that are open now, of one node or of all. */
  openSockets(name?: string): number {
    let open = 0;
    for (const socket of this.#sockets) {
      if (!socket.isClosed && (name === undefined || socket.process.name === name)) open++;
    }
    return open;
  }

  /** Closed ends that the other one does not know of are among them; without any, nothing is left of the past. */
  get rememberedSockets(): number {
    return this.#sockets.size;
  }

  // In the place of Bun's functions.

  /** @throws Error with the code EADDRINUSE */
  readonly listen = (options: ListenOptions): SimulatedListener => {
    const process = this.#caller();
    const port = options.port === 0 ? this.#freePort() : options.port;
    if (this.#listeners.has(port)) throw systemError("EADDRINUSE", `Failed to listen at ${options.hostname}`);
    const listening: Listening = { process, handlers: options.socket, accepted: new Set() };
    this.#listeners.set(port, listening);
    this.#nodeOfPort.set(port, process.name);
    return {
      hostname: options.hostname,
      port,
      stop: (closeActive = false) => {
        if (this.#listeners.get(port) === listening) this.#listeners.delete(port);
        if (closeActive) for (const socket of listening.accepted) socket.end();
      },
    };
  };

  /** Settles in the caller's process: after `open`, or with the error that `connectError` got. */
  readonly connect = (options: ConnectOptions): Promise<SimulatedSocket> => {
    const process = this.#caller();
    const target = this.#nodeOfPort.get(options.port) ?? "";
    const out = this.#path(process.name, target);
    const paths = { out, in: this.#path(target, process.name) };
    const socket = new SimulatedSocket(this.#medium, process, options.socket, paths);
    this.#add(socket);
    const { promise, resolve, reject } = Promise.withResolvers<SimulatedSocket>();
    socket.onOpen = () => resolve(socket);
    socket.onFailure = reject;
    this.#knockAfter(out.latencyMs(), socket, options.port);
    return promise;
  };

  // Troubles.

  /** Nothing passes between the two, open connections go silent and new ones hang. */
  cut(a: string, b: string): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  cutOneWay(from: string, to: string): void {
    const path = this.#path(from, to);
    if (path.isCut) return;
    path.cutSince = this.#time.now;
    for (const socket of this.#sockets) {
      if (socket.inPath === path) socket.inPathCut();
      else if (socket.outPath === path) socket.outPathCut();
    }
  }

  heal(a: string, b: string): void {
    this.#healOneWay(this.#path(a, b));
    this.#healOneWay(this.#path(b, a));
  }

  /** Ends every cut, slowness, clog and damage that was not done yet. */
  healAll(): void {
    for (const targets of this.#paths.values()) {
      for (const path of targets.values()) {
        path.clear();
        path.corrupts = false;
        this.#hurry(path);
        this.#healOneWay(path);
      }
    }
  }

  /** True when bytes pass both ways. */
  isOpen(a: string, b: string): boolean {
    return !this.#path(a, b).isCut && !this.#path(b, a).isCut;
  }

  /** Both ends of every connection of this node find it reset. */
  dropConnections(name: string): void {
    for (const socket of this.#sockets) {
      if (socket.process.name !== name && socket.peer?.process.name !== name) continue;
      socket.fail(connectionReset(), this.#time.now + socket.inPath.latencyMs());
    }
  }

  /** Everything between the two takes that much longer, each way; 0 ends it. */
  slow(a: string, b: string, ms: number): void {
    for (const path of [this.#path(a, b), this.#path(b, a)]) {
      path.slowMs = ms;
      this.#hurry(path);
    }
  }

  /** One way takes no more than that; who sends more finds its buffer full. Infinity ends it. */
  clog(from: string, to: string, bytesPerMs: number): void {
    const path = this.#path(from, to);
    path.bytesPerMs = bytesPerMs;
    if (bytesPerMs === Infinity) this.#hurry(path);
  }

  /**
   * Whatever becomes of the sockets that this node has now, and of those that died with its process and were not heard of yet: the
   * other ends are never told.
   */
  halfOpen(name: string): void {
    for (const socket of this.#sockets) if (socket.process.name === name) socket.silence();
  }

  /** Changes one bit in the head of the next frame that goes this way. */
  corruptNext(from: string, to: string): void {
    this.#path(from, to).corrupts = true;
  }

  // Connecting.

  #knockAfter(ms: number, socket: SimulatedSocket, port: number): void {
    this.#time.after(ms, () => this.#knock(socket, port));
  }

  /** A connect has reached its target's machine. The kernel accepts, also for a process that is stopped. */
  #knock(client: SimulatedSocket, port: number): void {
    if (client.isClosed) return;
    const { outPath, inPath } = client;
    if (outPath.isCut || inPath.isCut) {
      this.#hang(client, port);
      return;
    }
    const listening = this.#listeners.get(port);
    const at = inPath.arrival();
    if (listening === undefined || listening.process.name !== outPath.to) {
      client.fail(systemError("ECONNREFUSED", "Failed to connect"), at);
      return;
    }
    const paths = { out: inPath, in: outPath };
    const server = new SimulatedSocket(this.#medium, listening.process, listening.handlers, paths);
    this.#add(server);
    listening.accepted.add(server);
    server.peer = client;
    client.peer = server;
    const over = (): void => {
      this.#sockets.delete(client);
      this.#sockets.delete(server);
      listening.accepted.delete(server);
    };
    client.onOver = over;
    server.onOver = over;
    server.willOpen(this.#time.now);
    client.willOpen(at);
  }

  #hang(socket: SimulatedSocket, port: number): void {
    const giveUp = this.#time.after(this.settings.connectTimeoutMs, () => {
      this.#hanging.delete(hanging);
      socket.fail(systemError("ETIMEDOUT", "Failed to connect"), this.#time.now);
    });
    const hanging: Hanging = { socket, giveUp, knock: () => this.#knock(socket, port) };
    this.#hanging.add(hanging);
  }

  #healOneWay(path: Path): void {
    if (path.cutSince === null) return;
    const cutMs = this.#time.now - path.cutSince;
    path.cutSince = null;
    for (const socket of this.#sockets) {
      if (socket.inPath === path) socket.inPathHealed(this.#backOffMs(cutMs));
      else if (socket.outPath === path) socket.outPathHealed();
    }
    for (const hanging of this.#hanging) {
      if (hanging.socket.outPath !== path && hanging.socket.inPath !== path) continue;
      this.#hanging.delete(hanging);
      this.#time.cancel(hanging.giveUp);
      this.#time.after(this.#backOffMs(cutMs), hanging.knock);
    }
  }

  #hurry(path: Path): void {
    for (const socket of this.#sockets) if (socket.inPath === path) socket.inPathHurries();
  }

  /** TCP tries again in growing intervals, so after a heal it may take as long again. */
  #backOffMs(cutMs: number): number {
    return this.#medium.random.next() * Math.min(cutMs, this.settings.retransmitMsMax);
  }

  // Who is there.

  #caller(): SimulatedProcess {
    const process = this.#time.current;
    if (process === null) throw new Error("a socket outside of a simulated process: nobody owns it");
    if (!this.#watched.has(process)) {
      this.#watched.add(process);
      process.onDeath.push(() => this.#died(process));
    }
    return process;
  }

  #died(process: SimulatedProcess): void {
    this.#watched.delete(process);
    for (const [port, listening] of this.#listeners) if (listening.process === process) this.#listeners.delete(port);
    for (const socket of this.#sockets) if (socket.process === process) socket.died();
  }

  #add(socket: SimulatedSocket): void {
    this.#sockets.add(socket);
    socket.onOver = () => this.#sockets.delete(socket);
  }

  #freePort(): number {
    for (let tried = FIRST_PORT; tried <= PORT_MAX; tried++) {
      const port = this.#nextPort++;
      if (this.#nextPort > PORT_MAX) this.#nextPort = FIRST_PORT;
      if (!this.#listeners.has(port)) return port;
    }
    throw systemError("EADDRINUSE", "every port is taken");
  }

  #path(from: string, to: string): Path {
    let targets = this.#paths.get(from);
    if (targets === undefined) this.#paths.set(from, (targets = new Map()));
    let path = targets.get(to);
    if (path === undefined) targets.set(to, (path = new Path(this.#medium, from, to)));
    return path;
  }
}
