/** A simulated ensemble with processes that use it, for the tests of its semantics. */
import { drainMicrotasks } from "bun:jsc";
import type { CoordinatorEvent, MemberInfo } from "../../../src/coordinator/coordinator.ts";
import type { Connection, ConnectionOptions } from "../../../src/coordinator/zookeeper/connection-port.ts";
import type { SessionTicket } from "../../../src/coordinator/zookeeper/session-supervisor.ts";
import { openZooKeeperCoordinator } from "../../../src/coordinator/zookeeper/zookeeper-coordinator.ts";
import { withMachine } from "../globals.ts";
import { Random } from "../random.ts";
import { SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import { type EnsembleOptions, SimulatedZooKeeper } from "./ensemble.ts";

export const SESSION_MS = 3_000;
export const TICK_MS = 500;
const SERVERS = ["zk-1", "zk-2", "zk-3"] as const;

/** A connection as a test holds it: what its listener heard, and how to wait for it. */
export interface TestClient {
  readonly process: SimulatedProcess;
  readonly connection: Connection;
  readonly heard: string[]; // "handshake", "expired", "ended <reason>"
  readonly answeredAt: number[]; // `sentAtMs` of each answer
  ticket: SessionTicket | null;
}

export class TestWorld {
  readonly random: Random;
  readonly time: VirtualTime;
  readonly zookeeper: SimulatedZooKeeper;
  readonly processes: SimulatedProcess[] = [];
  #pids = 100;

  constructor(seed: number, options: EnsembleOptions = {}) {
    this.random = new Random(seed);
    this.time = new VirtualTime(this.random.split("time"));
    this.zookeeper = new SimulatedZooKeeper(this.time, this.random.split("zookeeper"), { tickMs: TICK_MS, ...options });
  }

  process(name: string): SimulatedProcess {
    const pid = this.#pids++;
    const process = new SimulatedProcess(this.time, { name, pid, host: name, random: this.random.split(`pid ${pid}`) });
    this.processes.push(process);
    return process;
  }

  /** Opens a connection and waits until it is answered or over. */
  connect(process: SimulatedProcess, server = 0, more: Partial<ConnectionOptions> = {}): TestClient {
    const client = this.open(process, server, more);
    this.until(() => client.heard.length > 0);
    return client;
  }

  open(process: SimulatedProcess, server = 0, more: Partial<ConnectionOptions> = {}): TestClient {
    const heard: string[] = [];
    const answeredAt: number[] = [];
    const options: ConnectionOptions = {
      server: { host: SERVERS[server]!, port: 2181 },
      sessionMs: SESSION_MS,
      resume: null,
      zxid: 0n,
      auth: null,
      nowMs: () => process.monotonicMs(),
      ...more,
    };
    const connection = this.zookeeper.connectionOf(process)(options, {
      handshake: (ticket) => {
        client.ticket = ticket;
        heard.push("handshake");
      },
      expired: () => heard.push("expired"),
      answered: (sentAtMs) => answeredAt.push(sentAtMs),
      ended: (reason) => heard.push(`ended ${reason}`),
    });
    const client: TestClient = { process, connection, heard, answeredAt, ticket: null };
    return client;
  }

  /** Makes a call in a process and runs the world until it has its outcome. */
  ask<T>(process: SimulatedProcess, call: () => Promise<T>): T {
    const outcome = this.start(process, call);
    this.until(() => outcome.value !== undefined);
    return outcome.value!;
  }

  /** Makes a call in a process; its outcome stands in `value` when it has come. */
  start<T>(process: SimulatedProcess, call: () => Promise<T>): { value: T | undefined } {
    const outcome: { value: T | undefined; error: unknown } = { value: undefined, error: null };
    process.enter(() => {
      call().then(
        (value) => (outcome.value = value),
        (error: unknown) => (outcome.error = error),
      );
    });
    return outcome;
  }

  /** @throws Error when it does not come true within a minute. */
  until(isTrue: () => boolean, withinMs = 60_000): void {
    const end = this.time.now + withinMs;
    while (!isTrue()) {
      if (!this.time.step(end)) throw new Error(`not within ${withinMs} ms of virtual time`);
    }
  }
}

/** Runs a test in virtual time, with the machine replaced. */
export function inWorld(seed: number, run: (world: TestWorld) => void, options: EnsembleOptions = {}): void {
  const world = new TestWorld(seed, options);
  const refuse = (): never => {
    throw new Error("no sockets and threads here");
  };
  withMachine({ time: world.time, listen: refuse, connect: refuse, Worker: refuse }, () => {
    run(world);
    for (const process of world.processes) process.kill();
    drainMicrotasks();
  });
}

/** A real coordinator in a simulated process. */
export class TestCoordinator {
  readonly world: TestWorld;
  readonly process: SimulatedProcess;
  readonly coordinator: ReturnType<typeof openZooKeeperCoordinator>;
  readonly self: MemberInfo;
  readonly events: CoordinatorEvent[] = [];

  constructor(world: TestWorld, name: string) {
    this.world = world;
    this.process = world.process(name);
    this.coordinator = openZooKeeperCoordinator({
      connectString: SERVERS.map((host) => `${host}:2181`).join(),
      root: "/vouch",
      cell: "cell",
      sessionMs: SESSION_MS,
      machine: world.zookeeper.machineOf(this.process),
    });
    this.self = {
      nodeId: name,
      bootId: this.process.pid.toString(16).padStart(32, "0"),
      peerAddress: `${name}:7400`,
      httpAddress: "",
      protocolVersion: 1,
      process: { kernelBootId: "kernel", pidNamespace: "pid:[1]", pid: this.process.pid, startTime: "1" },
    };
    world.start(this.process, () => this.coordinator.start(this.self, (event) => this.events.push(event)));
  }

  static started(world: TestWorld, name: string): TestCoordinator {
    const node = new TestCoordinator(world, name);
    world.until(() => node.events.some((event) => event.type === "leader"));
    return node;
  }

  states(): string[] {
    return this.events.flatMap((event) => (event.type === "session" ? [event.state] : []));
  }

  members(): string {
    const last = this.events.findLast((event) => event.type === "members");
    return last?.type === "members" ? last.members.map((member) => member.nodeId).join() : "";
  }
}
