/**
 * The processes of a chaos run: nodes as users start them, through `node.ts run`. Each is ended by its own pid; where the
 * system offers it they also end with this process.
 */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { childEnvironment, freePorts } from "../../src/cli/demo/cell.ts";
import type { NodeStatus } from "../../src/ops/node-status.ts";
import { askUrl } from "../../src/ops/status.ts";
import { Environment } from "./names.ts";

const ROOT = join(import.meta.dir, "..", "..");
const ASK_TIMEOUT_MS = 1_000;

export interface ChaosFiles {
  readonly folder: string;
  readonly record: string; // of effects
  readonly checks: string; // a line a check
}

export interface ChaosCellOptions {
  readonly files: ChaosFiles;
  /** Options of every node: servers, group, concurrency. */
  readonly argv: readonly string[];
}

/** One life of one node. */
export class ChaosNode {
  readonly name: string;
  readonly url: string;
  readonly log: string; // file, one for all lives of this name
  readonly ports: readonly [peer: number, http: number];
  readonly #child: Bun.Subprocess;
  /** Somebody here ended it. */
  #isMeant = false;

  constructor(name: string, ports: readonly [number, number], log: string, child: Bun.Subprocess) {
    this.name = name;
    this.ports = ports;
    this.url = `http://127.0.0.1:${ports[1]}`;
    this.log = log;
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid;
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Ended, and not by us: "" or how. */
  get unexpectedEnd(): string {
    if (this.alive || this.#isMeant) return "";
    return `${this.name} (pid ${this.pid}) ended by itself: ${this.#child.signalCode ?? `exit code ${this.#child.exitCode}`}; see ${this.log}`;
  }

  async kill(): Promise<void> {
    this.#isMeant = true;
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  stop(): void {
    this.#child.kill("SIGSTOP");
  }

  continue(): void {
    this.#child.kill("SIGCONT");
  }

  /** Asks it to drain. @returns its exit code, null when it did not end in time */
  async drain(timeoutMs: number): Promise<number | null> {
    this.#isMeant = true;
    this.continue(); // a run that failed may have left it stopped
    this.#child.kill("SIGTERM");
    const late = new AbortController();
    const timer = sleep(timeoutMs, null, { signal: late.signal }).catch(() => null);
    const code = await Promise.race([this.#child.exited, timer]);
    late.abort();
    return code;
  }
}

export class ChaosCell implements AsyncDisposable {
  readonly #options: ChaosCellOptions;
  readonly #nodes: ChaosNode[] = [];

  constructor(options: ChaosCellOptions) {
    this.#options = options;
  }

  /** Starts a node; `again` is the earlier life whose name and addresses it takes. */
  start(name: string, again?: ChaosNode): ChaosNode {
    const { files, argv } = this.#options;
    const [peer = 0, http = 0] = again?.ports ?? freePorts(2);
    const log = join(files.folder, `${name}.log`);
    const file = openSync(log, "a");
    const guard = Bun.which("setpriv");
    const command = [
      ...(guard === null ? [] : [guard, "--pdeathsig", "KILL"]),
      process.execPath,
      join(ROOT, "node.ts"),
      "run",
      join(import.meta.dir, "tasks.ts"),
      `--node-id=${name}`,
      `--peer-listen=127.0.0.1:${peer}`,
      `--http-listen=127.0.0.1:${http}`,
      ...argv,
    ];
    const child = Bun.spawn(command, {
      cwd: ROOT,
      stdio: ["ignore", file, file],
      env: childEnvironment({
        [Environment.node]: name,
        [Environment.record]: files.record,
        [Environment.checks]: files.checks,
      }),
    });
    closeSync(file);
    const node = new ChaosNode(name, [peer, http], log, child);
    this.#nodes.push(node);
    return node;
  }

  get alive(): readonly ChaosNode[] {
    return this.#nodes.filter((node) => node.alive);
  }

  /** @throws Error when a node ended that nobody here ended. */
  assertNobodyEnded(): void {
    for (const { unexpectedEnd } of this.#nodes) if (unexpectedEnd !== "") throw new Error(unexpectedEnd);
  }

  /** What the living nodes answer on /status, by name; without those that do not answer. */
  async sample(): Promise<ReadonlyMap<string, NodeStatus>> {
    const answers = await Promise.all(this.alive.map((node) => askUrl(node.url, ASK_TIMEOUT_MS)));
    return new Map(answers.flatMap(({ status }) => (status === null ? [] : [[status.nodeId, status] as const])));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.alive.map((node) => node.kill()));
  }
}
