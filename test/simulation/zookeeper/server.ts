/**
 * One server of a simulated ensemble: its own copy of the tree, which may lag behind, the watches set at it, and its connections.
 *
 * - A read is answered from its own copy; a write goes to the leader, and is answered when this copy has it.
 * - A watch is told when this copy changes, on the connection's one way to the client: so before any later answer.
 * - It tells the leader twice a tick which sessions it has heard of; a server that crashes has forgotten the last ones.
 * - It refuses a client that has seen more than itself.
 */
import type { Random } from "../random.ts";
import type { SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import type { Leader, SimulatedSession } from "./leader.ts";
import type { Hello, Request, Result, WatchEvent } from "./protocol.ts";
import { type Change, Tree, parentOf } from "./tree.ts";
import type { SessionTicket } from "../../../src/coordinator/zookeeper/session-supervisor.ts";
import type { Wire } from "./wire.ts";

/** What may go wrong, and how slowly things go. The ensemble owns it; whoever runs the simulation changes it. */
export interface EnsembleTroubles {
  /** Chances that a connection ends with the request applied and not answered, or without the request. */
  troubleChance: { answerLost: number; requestLost: number };
  /** Watches are told up to so much later, and with them whatever follows on their connection. */
  watchDelayMs: number;
  /** Servers learn of transactions up to `lagMaxMs` late. */
  staleReads: boolean;
  lagMaxMs: number;
}

export interface ServerOptions {
  readonly index: number;
  readonly time: VirtualTime;
  readonly random: Random;
  readonly leader: Leader;
  readonly troubles: EnsembleTroubles;
  /** Least and most from a server to the leader. */
  readonly forwardMs: readonly [low: number, high: number];
}

/** The client's side, as the server speaks to it; called in the client's process. */
export interface ClientEnd {
  readonly isDisposed: boolean;
  welcomed(ticket: SessionTicket): void;
  expired(): void;
  fired(event: WatchEvent, path: string): void;
  closed(reason: string): void;
}

interface Waiting {
  readonly request: Request;
  readonly reply: (result: Result, zxid: number) => void;
  readonly isAnswerLost: boolean;
}

export class SimulatedServer {
  readonly index: number;
  isUp = true;
  tree: Tree;
  /** The newest transaction that it has. */
  applied: number;
  readonly connections = new Set<ServerConnection>();
  readonly options: ServerOptions;
  readonly #heardOf = new Set<SimulatedSession>();
  #telling = false;
  #lastForwardAt = 0;

  constructor(options: ServerOptions) {
    this.options = options;
    this.index = options.index;
    this.tree = options.leader.tree.clone();
    this.applied = options.leader.zxid;
  }

  /** To the leader, in order. What is under way when the server crashes arrives all the same. */
  forward(run: () => void): void {
    const { time, random, leader, forwardMs } = this.options;
    const [low, high] = forwardMs;
    const at = Math.max(this.#lastForwardAt + 0.001, time.now + low + (high - low) * random.next());
    this.#lastForwardAt = at;
    const { generation } = leader;
    time.after(at - time.now, () => leader.order(generation, run));
  }

  /** The leader has a new transaction. */
  onEntry(): void {
    const { time, random, leader, troubles } = this.options;
    const { zxid, generation } = leader;
    const lagMs = troubles.staleReads ? troubles.lagMaxMs * random.next() ** 3 : 0;
    if (lagMs === 0) this.applyUpTo(zxid);
    else time.after(lagMs, () => (generation === leader.generation ? this.applyUpTo(zxid) : undefined));
  }

  applyUpTo(zxid: number): void {
    const { entries } = this.options.leader;
    if (!this.isUp) return;
    while (this.applied < zxid) {
      const entry = entries[this.applied++]!;
      for (const change of entry.changes) this.#apply(change);
      if (entry.ends !== null) this.connectionOf(entry.ends)?.drop("the connection was closed");
    }
  }

  #apply(change: Change): void {
    const { path } = change;
    const event = change.node === null ? "deleted" : this.tree.get(path) === null ? "created" : "changed";
    this.tree.apply(change);
    for (const connection of this.connections) connection.onChange(event, path);
  }

  connectionOf(session: SimulatedSession): ServerConnection | null {
    for (const connection of this.connections) if (connection.session === session) return connection;
    return null;
  }

  heardOf(session: SimulatedSession): void {
    const { time, leader } = this.options;
    this.#heardOf.add(session);
    if (this.#telling) return;
    this.#telling = true;
    const everyMs = leader.tickMs! / 2;
    const at = (Math.floor(time.now / everyMs) + 1) * everyMs;
    time.after(at - time.now, () => {
      this.#telling = false;
      if (leader.hasQuorum) for (const heard of this.#heardOf) leader.touch(heard);
      this.#heardOf.clear();
    });
  }

  dropAll(reason: string): void {
    for (const connection of this.connections) connection.drop(reason);
  }

  crash(): void {
    this.dropAll("the connection was reset");
    this.#heardOf.clear();
    this.isUp = false;
  }

  /** Runs again, with what the others have. */
  restart(): void {
    this.isUp = true;
    this.applyUpTo(this.options.leader.zxid);
  }

  /** Of an ensemble that was set up anew. */
  reset(): void {
    this.dropAll("the connection was reset");
    this.#heardOf.clear();
    this.tree = this.options.leader.tree.clone();
    this.applied = this.options.leader.zxid;
  }
}

/** The server's side of one connection. */
export class ServerConnection {
  session: SimulatedSession | null = null;
  #isOpen = true;
  #isWriting = false;
  readonly #queue: Waiting[] = [];
  readonly #watched = { node: new Set<string>(), children: new Set<string>() };
  readonly #server: SimulatedServer;
  readonly #wire: Wire;
  readonly #client: ClientEnd;

  constructor(server: SimulatedServer, wire: Wire, client: ClientEnd) {
    this.#server = server;
    this.#wire = wire;
    this.#client = client;
  }

  /** The first message of the client. */
  hello(hello: Hello, process: SimulatedProcess): void {
    const { leader, random, troubles } = this.#server.options;
    if (this.#client.isDisposed || process.state === "dead") return; // there is no socket that could be connected
    this.#server.connections.add(this);
    if (!this.#server.isUp) return this.drop("the connection was refused");
    if (!leader.hasQuorum) return this.drop("the connection was closed");
    if (hello.zxid > this.#server.applied) return this.drop("it knows less than this client has seen");
    if (random.chance(troubles.troubleChance.requestLost)) return this.drop("the connection was reset");
    const isAnswerLost = random.chance(troubles.troubleChance.answerLost);
    const known = hello.resume === null ? undefined : leader.sessions.get(hello.resume.id);
    if (known !== undefined) this.#server.connectionOf(known)?.drop("the client connected anew");
    this.#server.forward(() => {
      const { index } = this.#server;
      const session =
        hello.resume === null
          ? leader.createSession(process, hello.sessionMs, index)
          : leader.resume(hello.resume, index);
      if (hello.resume === null) this.#server.applyUpTo(leader.zxid);
      if (!this.#isOpen) return;
      if (isAnswerLost) return this.drop("the connection was reset");
      this.session = session;
      this.#wire.toClient(() => (session === null ? this.#client.expired() : this.#client.welcomed(session.ticket)));
    });
  }

  receive(request: Request, reply: (result: Result, zxid: number) => void): void {
    const { random, troubles } = this.#server.options;
    const { requestLost, answerLost } = troubles.troubleChance;
    if (!this.#isOpen || this.session === null) return;
    if (random.chance(requestLost)) return this.drop("the connection was reset");
    this.#server.heardOf(this.session);
    this.#queue.push({ request, reply, isAnswerLost: random.chance(answerLost) });
    this.#work();
  }

  /** One after the other: what comes after a write waits for it. */
  #work(): void {
    while (!this.#isWriting) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      if (next.request.type === "write" || next.request.type === "close") this.#forward(next, next.request);
      else this.#answer(next, this.#read(next.request));
    }
  }

  #forward(waiting: Waiting, request: Extract<Request, { type: "write" | "close" }>): void {
    const { leader, random } = this.#server.options;
    const session = this.session!;
    this.#isWriting = true;
    this.#server.forward(() => {
      let result: Result;
      if (request.type === "write") {
        result = leader.write(session, this.#server.index, request.operations(session.ticket.id));
      } else {
        leader.end(session);
        result = { type: "written", versions: [] };
      }
      // The leader knows that a session is over before it has written it down.
      if (result.type !== "expired") this.#server.applyUpTo(leader.zxid);
      this.#isWriting = false;
      this.#answer(waiting, result);
      this.#work();
    });
    // Half of the answers that get lost are lost before there is one.
    if (waiting.isAnswerLost && random.chance(0.5)) this.drop("the connection was reset");
  }

  #read(request: Exclude<Request, { type: "write" | "close" }>): Result {
    const { tree } = this.#server;
    const { path, type, watch } = request;
    const node = tree.get(path);
    if (watch && type === "children" && node !== null) this.#watched.children.add(path);
    if (watch && type !== "children") this.#watched.node.add(path);
    if (type !== "children") return { type: "node", node };
    if (node !== null) return { type: "children", names: tree.children(path) };
    return { type: "refused", refused: { refusal: "no-node", text: "NO_NODE", operation: -1 } };
  }

  #answer(waiting: Waiting, result: Result): void {
    if (!this.#isOpen) return;
    if (waiting.isAnswerLost) return this.drop("the connection was reset");
    const zxid = this.#server.applied;
    this.#wire.toClient(() => waiting.reply(result, zxid));
  }

  onChange(event: "created" | "changed" | "deleted", path: string): void {
    const { node, children } = this.#watched;
    const isNode = node.delete(path);
    const isFolder = event === "deleted" && children.delete(path);
    if (isNode || isFolder) this.#fire(event, path);
    const parent = parentOf(path);
    if (event !== "changed" && children.delete(parent)) this.#fire("children", parent);
  }

  #fire(event: WatchEvent, path: string): void {
    const { random, troubles } = this.#server.options;
    this.#wire.toClient(() => this.#client.fired(event, path), troubles.watchDelayMs * random.next());
  }

  /** The server ends the connection; what it has not begun is not done. */
  drop(reason: string): void {
    if (!this.#isOpen) return;
    this.onClosed();
    this.#queue.length = 0;
    this.#wire.toClient(() => this.#client.closed(reason));
  }

  /** The client has closed it; what arrived before that is done. */
  onClosed(): void {
    this.#isOpen = false;
    this.#server.connections.delete(this);
    this.#watched.node.clear();
    this.#watched.children.clear();
  }
}
