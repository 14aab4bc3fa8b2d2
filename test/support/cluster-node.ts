/** One node process of a test cluster: `node.ts run …`, its signals, its status over HTTP, its log. */
import { join } from "node:path";
import type { NodeStatus } from "../../src/ops/node-status.ts";
import { askUrl } from "../../src/ops/status.ts";
import type { PeerProxy } from "./proxy.ts";
import { type ChildProcess, startProcess } from "./servers/processes.ts";

export const ROOT = join(import.meta.dir, "../..");

const STATUS_TIMEOUT_MS = 1_000;
const LOG_TAIL_CHARS = 5_000;

export interface NodeSpec {
  readonly name: string;
  readonly argv: readonly string[]; // behind `bun run`
  readonly environment: Readonly<Record<string, string>>;
  readonly httpPort: number;
  readonly peerPort: number;
  /** In front of its peer port; null when peers reach it directly. */
  readonly proxy: PeerProxy | null;
}

/** A node by name; `restart` gives it another process with the same name, ports and options. */
export class TestNode {
  readonly spec: NodeSpec;
  /** The last status of each process that had this name, by incarnation. */
  readonly samples = new Map<string, NodeStatus>();
  #process: ChildProcess;
  #earlier = ""; // log of the processes before
  #expectedToEnd = false;

  constructor(spec: NodeSpec) {
    this.spec = spec;
    this.#process = this.#start();
  }

  get name(): string {
    return this.spec.name;
  }

  get url(): string {
    return `http://127.0.0.1:${this.spec.httpPort}`;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Exit code of the process that runs now, -1 when a signal ended it. */
  get exited(): Promise<number> {
    return this.#process.exited;
  }

  alive(): boolean {
    return this.#process.alive();
  }

  /** Whether it ended and nobody told it to. */
  get endedByItself(): boolean {
    return !this.#process.alive() && !this.#expectedToEnd;
  }

  /** The proxy in front of it. @throws when it was started without one. */
  get proxy(): PeerProxy {
    if (this.spec.proxy === null) throw new Error(`${this.name} has no proxy`);
    return this.spec.proxy;
  }

  log(): string {
    return this.#earlier + this.#process.output();
  }

  logTail(): string {
    return `--- ${this.name} (pid ${this.pid}, ${this.alive() ? "alive" : "ended"})\n${this.log().slice(-LOG_TAIL_CHARS)}`;
  }

  /** null when it does not answer. */
  async status(): Promise<NodeStatus | null> {
    if (!this.alive()) return null;
    const { status } = await askUrl(this.url, STATUS_TIMEOUT_MS);
    if (status !== null) this.samples.set(status.core.incarnation, status);
    return status;
  }

  /** Resolves when the process is gone. */
  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    this.expectEnd();
    this.#process.kill(signal);
    await this.#process.exited;
  }

  /** From now on its end is no failure of the test. */
  expectEnd(): void {
    this.#expectedToEnd = true;
  }

  /** SIGSTOP: it holds its sockets and does nothing. */
  pause(): void {
    this.#process.kill("SIGSTOP");
  }

  continue(): void {
    this.#process.kill("SIGCONT");
  }

  /** SIGTERM, and its exit code: 0 when it drained. */
  async drain(): Promise<number> {
    this.expectEnd();
    this.#process.kill("SIGTERM");
    return this.#process.exited;
  }

  /** Ends the process if it still runs, and starts another. */
  async restart(): Promise<void> {
    await this.stop();
    this.#earlier += `${this.#process.output()}\n--- restarted\n`;
    this.#expectedToEnd = false;
    this.#process = this.#start();
  }

  async stop(): Promise<void> {
    this.expectEnd();
    await this.#process.stop();
  }

  #start(): ChildProcess {
    const { name, argv, environment } = this.spec;
    // Not "test", which `bun test` sets: a node runs as its users run it.
    const env = { ...environment, NODE_ENV: "production" };
    return startProcess(`node ${name}`, [process.execPath, "run", ...argv], { cwd: ROOT, env });
  }
}
