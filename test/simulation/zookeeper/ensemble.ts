/**
 * A simulated ZooKeeper ensemble, under the real session, supervisor, presence and recipes of the product: what it promises, what it
 * does not promise, and what a simulation may do to it. Everything happens in virtual time; it uses no global timer or clock.
 *
 * A connect string names its servers; each exists from the first connection to it.
 */
import type { ConnectionFactory, ZooKeeperMachine } from "../../../src/coordinator/zookeeper/connection-port.ts";
import type { Random } from "../random.ts";
import type { SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import { SimulatedConnection } from "./connection.ts";
import { Leader } from "./leader.ts";
import { type EnsembleTroubles, SimulatedServer } from "./server.ts";
import type { TreeNode, TreeOperation } from "./tree.ts";
import { Wire } from "./wire.ts";

export interface EnsembleOptions {
  /** How often sessions are looked at; default: a third of the first session's time. */
  readonly tickMs?: number;
  /** Least and most from a process to a server, one way. */
  readonly latencyMs?: readonly [low: number, high: number];
  /** Least and most from a server to the leader. */
  readonly forwardMs?: readonly [low: number, high: number];
}

export class SimulatedZooKeeper implements EnsembleTroubles {
  troubleChance = { answerLost: 0, requestLost: 0 };
  watchDelayMs = 0;
  staleReads = false;
  lagMaxMs = 500;
  /** Can this process and the ensemble exchange anything now? */
  reaches: (process: SimulatedProcess) => boolean = () => true;
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #latencyMs: readonly [number, number];
  readonly #forwardMs: readonly [number, number];
  readonly #leader: Leader;
  readonly #servers = new Map<string, SimulatedServer>();

  constructor(time: VirtualTime, random: Random, options: EnsembleOptions = {}) {
    this.#time = time;
    this.#random = random;
    this.#latencyMs = options.latencyMs ?? [0.3, 3];
    this.#forwardMs = options.forwardMs ?? [0.3, 4];
    const tickMs = options.tickMs ?? null;
    const onEntry = (): void => {
      for (const server of this.#servers.values()) server.onEntry();
    };
    this.#leader = new Leader({ time, random, tickMs, onEntry });
  }

  /** What a coordinator of this process gets instead of the real machine. */
  machineOf(process: SimulatedProcess): ZooKeeperMachine {
    return {
      connect: this.connectionOf(process),
      nowMs: () => process.monotonicMs(),
      drawUuid: () => Array.from({ length: 4 }, () => process.random.uint32().toString(16).padStart(8, "0")).join(""),
    };
  }

  connectionOf(process: SimulatedProcess): ConnectionFactory {
    const wireOptions = {
      time: this.#time,
      random: this.#random,
      process,
      reaches: (asking: SimulatedProcess) => this.reaches(asking),
      latencyMs: this.#latencyMs,
    };
    return (options, listener) => {
      const server = this.#server(`${options.server.host}:${options.server.port}`);
      return new SimulatedConnection({ time: this.#time, wire: new Wire(wireOptions), server }, options, listener);
    };
  }

  #server(address: string): SimulatedServer {
    const there = this.#servers.get(address);
    if (there !== undefined) return there;
    const server = new SimulatedServer({
      index: this.#servers.size,
      time: this.#time,
      random: this.#random,
      leader: this.#leader,
      troubles: this,
      forwardMs: this.#forwardMs,
    });
    this.#servers.set(address, server);
    return server;
  }

  /** Addresses, in the order in which they were first connected to. */
  get servers(): readonly string[] {
    return [...this.#servers.keys()];
  }

  get hasQuorum(): boolean {
    return this.#leader.hasQuorum;
  }

  /** Without a quorum no server keeps a connection, nothing is written, and no session ends. */
  setQuorum(up: boolean): void {
    if (up) {
      this.#leader.regainQuorum();
      return;
    }
    this.#leader.loseQuorum();
    for (const server of this.#servers.values()) server.dropAll("the connection was closed");
  }

  /** One server is gone for a while; the quorum is another matter. */
  crashServer(address: string): void {
    this.#servers.get(address)?.crash();
  }

  restartServer(address: string): void {
    this.#servers.get(address)?.restart();
  }

  /** All connections of this node's processes end; its sessions live on. */
  dropConnectionsOf(name: string): void {
    for (const server of this.#servers.values()) {
      for (const connection of server.connections) {
        if (connection.session?.process.name === name) connection.drop("the connection was reset");
      }
    }
  }

  /** The ensemble takes the sessions of this node for over, those of its earlier processes too. @returns how many. */
  expireSessionOf(name: string): number {
    const sessions = [...this.#leader.sessions.values()].filter((session) => session.process.name === name);
    for (const session of sessions) this.#leader.end(session);
    return sessions.length;
  }

  /** Everything is gone, sessions and transaction numbers too, as after a set-up from nothing. */
  wipe(): void {
    this.#leader.wipe();
    for (const server of this.#servers.values()) server.reset();
  }

  /** The text of a node as the leader has it; null: there is none. */
  read(path: string): string | null {
    return this.#leader.tree.get(path)?.text ?? null;
  }

  node(path: string): TreeNode | null {
    return this.#leader.tree.get(path);
  }

  /** 0 also when there is none. */
  versionOf(path: string): number {
    return this.node(path)?.version ?? 0;
  }

  children(path: string): readonly string[] {
    return this.#leader.tree.children(path);
  }

  /** The newest session of this process that has not ended. */
  sessionOf(pid: number): string | null {
    let newest: string | null = null;
    for (const session of this.#leader.sessions.values()) if (session.process.pid === pid) newest = session.ticket.id;
    return newest;
  }

  /** When this session ends if nothing more is heard of it; null when it has ended. */
  expiresAt(session: string): number | null {
    return this.#leader.sessions.get(session)?.expiresAt ?? null;
  }

  /** Sessions that have not ended, ghosts included. */
  get sessionCount(): number {
    return this.#leader.sessions.size;
  }

  /** The newest transaction's number. */
  get zxid(): number {
    return this.#leader.zxid;
  }

  /** What a person with a client does. @throws Error when it is refused. */
  operate(...operations: readonly TreeOperation[]): void {
    const result = this.#leader.execute(operations);
    if (result.type !== "written") throw new Error(`refused: ${JSON.stringify(result)}`);
  }
}
