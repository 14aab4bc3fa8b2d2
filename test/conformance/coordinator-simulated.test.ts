/**
 * The conformance suite on the simulated ZooKeeper (SIM12): what a simulation believes of ZooKeeper must hold for the real one too.
 *
 * The suite runs in real time, the ensemble in virtual time: a timer moves that along, as fast as real time goes. Every coordinator
 * has a simulated process of its own. What is called on it is called in the next turn of that timer, with the machine replaced, and its
 * outcome is told when the machine is the real one again: so nothing of the suite ever runs in virtual time.
 */
import { drainMicrotasks } from "bun:jsc";
import type { Coordinator, CoordinatorEvent, MemberInfo } from "../../src/coordinator/coordinator.ts";
import { openZooKeeperCoordinator } from "../../src/coordinator/zookeeper/zookeeper-coordinator.ts";
import { withMachine } from "../simulation/globals.ts";
import { Random } from "../simulation/random.ts";
import { SimulatedProcess, VirtualTime } from "../simulation/virtual-time.ts";
import { SimulatedZooKeeper } from "../simulation/zookeeper/ensemble.ts";
import { type CoordinatorService, coordinatorConformance } from "./coordinator.ts";
import type { Child, CoordinatorCell } from "./coordinator-nodes.ts";
import { memberInfo } from "./coordinator-spec.ts";

const SESSION_MS = 900;
const TICK_MS = 100;
const TURN_MS = 2;
const ROOT = "/vouch-test/cells";

function refuse(): never {
  throw new Error("a coordinator opens no socket and no thread here");
}

class World {
  readonly random = new Random(7);
  readonly time = new VirtualTime(this.random.split("time"));
  readonly zookeeper = new SimulatedZooKeeper(this.time, this.random.split("zookeeper"), { tickMs: TICK_MS });
  readonly #calls: (() => void)[] = [];
  readonly #outcomes: (() => void)[] = [];
  readonly #startedMs = performance.now();
  readonly #turns: ReturnType<typeof setInterval>;
  #processes = 0;

  constructor() {
    this.#turns = setInterval(() => this.#turn(), TURN_MS);
  }

  process(): SimulatedProcess {
    const pid = ++this.#processes;
    const random = this.random.split(`process ${pid}`);
    return new SimulatedProcess(this.time, { name: `process-${pid}`, pid, host: "host", random });
  }

  /** Runs at the next turn, in the order of the calls. */
  later(run: () => void): void {
    this.#calls.push(run);
  }

  call<T>(process: SimulatedProcess, run: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const made = (): void => {
      run().then(
        (value) => this.#outcomes.push(() => resolve(value)),
        (error: unknown) => this.#outcomes.push(() => reject(error)),
      );
    };
    this.later(() => process.enter(made));
    return promise;
  }

  /** What needs no waiting: in the machine, but without anything that waits there. */
  look<T>(run: () => T): T {
    return withMachine({ time: this.time, listen: refuse, connect: refuse, Worker: refuse }, run);
  }

  #turn(): void {
    drainMicrotasks(); // of the suite: they must not find the machine replaced
    const dueMs = performance.now() - this.#startedMs;
    this.look(() => {
      this.time.advance(Math.max(0, dueMs - this.time.now));
      for (const call of this.#calls.splice(0)) call();
    });
    for (const tell of this.#outcomes.splice(0)) tell();
  }

  async stop(): Promise<void> {
    clearInterval(this.#turns);
  }
}

/** A coordinator of the product in a simulated process, for callers in real time. */
function inProcess(world: World, process: SimulatedProcess, cell: string): Coordinator & AsyncDisposable {
  const inner = openZooKeeperCoordinator({
    connectString: "zk-1,zk-2,zk-3",
    root: ROOT,
    cell,
    sessionMs: SESSION_MS,
    machine: world.zookeeper.machineOf(process),
  });
  const call = <T>(run: () => Promise<T>): Promise<T> => world.call(process, run);
  return {
    start: (self: MemberInfo, onEvent: (event: CoordinatorEvent) => void) => call(() => inner.start(self, onEvent)),
    clusterUuid: () => inner.clusterUuid(),
    remainingMs: () => world.look(() => inner.remainingMs()),
    compete: (highestKnownEpoch) => call(() => inner.compete(highestKnownEpoch)),
    resign: (epoch) => call(() => inner.resign(epoch)),
    readInSync: () => call(() => inner.readInSync()),
    readWatermarks: () => call(() => inner.readWatermarks()),
    writeInSync: (epoch, record, version) => call(() => inner.writeInSync(epoch, record, version)),
    writeWatermarks: (epoch, record) => call(() => inner.writeWatermarks(epoch, record)),
    ensureTopic: (topic, initial) => call(() => inner.ensureTopic(topic, initial)),
    replaceTopic: (topic, record) => call(() => inner.replaceTopic(topic, record)),
    observe: () => call(() => inner.observe()),
    close: () => call(() => inner.close()),
    [Symbol.asyncDispose]: () => call(() => inner.close()),
  };
}

async function startChild(world: World, cell: string, nodeId: string): Promise<Child> {
  const process = world.process();
  const coordinator = inProcess(world, process, cell);
  const self = memberInfo(nodeId);
  const states: string[] = [];
  const kill = async (): Promise<void> => world.later(() => process.kill());
  await coordinator.start(self, (event) => {
    if (event.type === "session") states.push(event.state);
  });
  return {
    self,
    compete: (highestKnownEpoch) => coordinator.compete(highestKnownEpoch),
    writeInSync: (epoch, version, incarnations) => coordinator.writeInSync(epoch, { epoch, incarnations }, version),
    standing: () => world.call(process, async () => ({ remainingMs: coordinator.remainingMs(), states: [...states] })),
    stop: () => world.later(() => process.stop()),
    resume: () => world.later(() => process.continue()),
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

async function simulatedService(): Promise<CoordinatorService> {
  const world = new World();
  return {
    sessionMs: SESSION_MS,
    cell: (cell): CoordinatorCell => ({
      cell,
      open: () => inProcess(world, world.process(), cell),
      startChild: (nodeId) => startChild(world, cell, nodeId),
    }),
    pause: async () => world.later(() => world.zookeeper.setQuorum(false)),
    resume: async () => world.later(() => world.zookeeper.setQuorum(true)),
    removeLeader: async (cell) =>
      world.later(() => world.zookeeper.operate({ type: "remove", path: `${ROOT}/${cell}/leader`, version: "any" })),
    [Symbol.asyncDispose]: () => world.stop(),
  };
}

coordinatorConformance("simulated ZooKeeper", simulatedService);
