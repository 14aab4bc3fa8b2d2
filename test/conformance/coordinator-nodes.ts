/** Nodes for the coordinator's conformance suite: in this process (`TestNode`) and in one that can be killed (`ChildNode`). */
import { fileURLToPath } from "node:url";
import type {
  Coordinator,
  CoordinatorEvent,
  ElectionOutcome,
  LeaderInfo,
  MemberInfo,
  WriteOutcome,
} from "../../src/coordinator/coordinator.ts";
import { VouchError } from "../../src/errors.ts";
import {
  type ChildCall,
  type ChildReply,
  type ChildRequest,
  type CoordinatorSpec,
  type Standing,
  memberInfo,
  openFromSpec,
} from "./coordinator-spec.ts";

export const WAIT_MS = 20_000;

/** The code of the error that a call fails with, or "resolved". */
export async function codeOf(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
    return "resolved";
  } catch (error) {
    return error instanceof VouchError ? error.code : String(error);
  }
}

/** A node in a process that can be stopped and killed. */
export interface Child extends AsyncDisposable {
  readonly self: MemberInfo;
  compete(highestKnownEpoch: number): Promise<ElectionOutcome>;
  writeInSync(epoch: number, version: number, incarnations: string[]): Promise<WriteOutcome>;
  /** The deadline, and the session states reported so far, at one moment. */
  standing(): Promise<Standing>;
  stop(): void;
  resume(): void;
  kill(): Promise<void>;
}

/** One cell of the service under test, and the two ways to be a node of it. */
export interface CoordinatorCell {
  readonly cell: string;
  open(): Coordinator;
  startChild(nodeId: string): Promise<Child>;
}

export function cellOf(spec: CoordinatorSpec): CoordinatorCell {
  return { cell: spec.cell, open: () => openFromSpec(spec), startChild: (nodeId) => ChildNode.start(spec, nodeId) };
}

/** A coordinator with everything that it reported. */
export class TestNode {
  readonly coordinator: Coordinator;
  readonly self: MemberInfo;
  readonly events: CoordinatorEvent[] = [];

  constructor(cell: CoordinatorCell | CoordinatorSpec, nodeId: string) {
    this.coordinator = "open" in cell ? cell.open() : openFromSpec(cell);
    this.self = memberInfo(nodeId);
  }

  static async start(cell: CoordinatorCell | CoordinatorSpec, nodeId: string): Promise<TestNode> {
    const node = new TestNode(cell, nodeId);
    await node.start();
    return node;
  }

  start(): Promise<void> {
    return this.coordinator.start(this.self, (event) => this.events.push(event));
  }

  /** The members last reported, by name. */
  members(): string[] {
    const last = this.events.findLast((event) => event.type === "members");
    return last?.type === "members" ? last.members.map((member) => member.nodeId) : [];
  }

  /** The leader last reported; undefined when none was. */
  leader(): LeaderInfo | null | undefined {
    const last = this.events.findLast((event) => event.type === "leader");
    return last?.type === "leader" ? last.leader : undefined;
  }

  sessionStates(): string[] {
    return this.events.flatMap((event) => (event.type === "session" ? [event.state] : []));
  }

  warnings(): string[] {
    return this.events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
  }

  /** Competes until it wins. @returns the epoch. */
  async win(highestKnownEpoch = 0): Promise<number> {
    const startedMs = performance.now();
    for (;;) {
      const outcome = await this.coordinator.compete(highestKnownEpoch);
      if (outcome.outcome === "won") return outcome.epoch;
      if (performance.now() - startedMs > WAIT_MS) throw new Error(`${this.self.nodeId} never won: ${outcome.outcome}`);
      await Bun.sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.coordinator.close();
  }
}

/** The same in a process of its own. */
export class ChildNode implements Child {
  readonly self: MemberInfo;
  readonly #child: Bun.Subprocess;
  readonly #waiting = new Map<number, (reply: ChildReply) => void>();
  #nextId = 1;

  constructor(spec: CoordinatorSpec, nodeId: string) {
    this.self = memberInfo(nodeId);
    this.#child = Bun.spawn({
      cmd: [process.execPath, fileURLToPath(new URL("./coordinator-child.ts", import.meta.url)), JSON.stringify(spec)],
      stdio: ["ignore", "inherit", "inherit"],
      serialization: "json",
      ipc: (message: ChildReply) => {
        this.#waiting.get(message.id)?.(message);
        this.#waiting.delete(message.id);
      },
    });
  }

  static async start(spec: CoordinatorSpec, nodeId: string): Promise<ChildNode> {
    const node = new ChildNode(spec, nodeId);
    await node.#ask({ call: "start", self: node.self });
    return node;
  }

  compete(highestKnownEpoch: number): Promise<ElectionOutcome> {
    return this.#ask({ call: "compete", highestKnownEpoch }) as Promise<ElectionOutcome>;
  }

  writeInSync(epoch: number, version: number, incarnations: string[]): Promise<WriteOutcome> {
    return this.#ask({ call: "writeInSync", epoch, version, incarnations }) as Promise<WriteOutcome>;
  }

  standing(): Promise<Standing> {
    return this.#ask({ call: "standing" }) as Promise<Standing>;
  }

  stop(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }

  #ask(body: ChildCall): Promise<unknown> {
    const request: ChildRequest = { id: this.#nextId++, body };
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(request.id, (reply) => {
      if (reply.error === null) resolve(reply.result);
      else reject(new Error(`${this.self.nodeId}: ${reply.error}`));
    });
    this.#child.send(request);
    return promise;
  }
}
