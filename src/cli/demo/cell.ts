/**
 * The demo's processes: starts them, kills them, waits for them, and asks each for its /status. The parent shares nothing
 * with them but the data directory and loopback sockets.
 */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { environmentName } from "../../config/option.ts";
import { nodeOptions } from "../../config/option-table.ts";
import type { Incarnation } from "../../core/identity.ts";
import type { DoubtsSettled } from "../../core/status.ts";
import type { NodeStatus } from "../../ops/node-status.ts";
import { askUrl } from "../../ops/status.ts";
import { selfCommand } from "../self.ts";
import { NODE_ENVIRONMENT, RECORD_ENVIRONMENT } from "./tasks.ts";

/** What the demo's processes have in common. */
export interface CellFiles {
  readonly dataDir: string;
  readonly config: string; // file for --config
  readonly record: string; // of effects
}

/** The name under which `run` finds the demo's tasks, also inside the compiled executable. */
export const DEMO_MODULE = "vouch:demo";

const ASK_TIMEOUT_MS = 1_000;

export interface DemoNode {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
  readonly log: string; // file
  readonly exited: Promise<number>;
  readonly exitCode: number | null;
  readonly signalCode: unknown; // null while it was not ended by a signal
  kill(signal: NodeJS.Signals): void;
}

/** The environment without anything that configures a node: a demo must not meet the user's brokers. */
export function childEnvironment(own: Readonly<Record<string, string>>): Record<string, string> {
  const names = new Set(Object.entries(nodeOptions).map(([key, entry]) => environmentName(key, entry)));
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("VOUCH_") && !names.has(name.replace(/_FILE$/, "")),
  );
  return { ...(Object.fromEntries(kept) as Record<string, string>), ...own };
}

/** Ports that are free now, and that this process was not given before: a node that was just begun may not have bound its. */
export function freePorts(count: number): number[] {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } }).stop(true);
      if (givenPorts.has(port)) continue;
      givenPorts.add(port);
      ports.push(port);
    } catch (error) {
      if (tries > PORT_TRIES + count) throw error; // somebody has the port: another one
    }
  }
  return ports;
}

const givenPorts = new Set<number>();

/** Below the range from which the kernel gives ports to outgoing connections: nobody takes one before a node listens on it. */
const PORT_MIN = 22_000;
const PORT_MAX = 32_000;
const PORT_TRIES = 100;

/** Runs one command of this program to its end; standard error goes to a file. @returns the exit code */
export async function runSelf(argv: readonly string[], log: string): Promise<number> {
  const file = openSync(log, "a");
  try {
    const child = Bun.spawn([...selfCommand(), ...argv], {
      stdio: ["ignore", "ignore", file],
      env: childEnvironment({}),
    });
    return await child.exited;
  } finally {
    closeSync(file);
  }
}

export class DemoCell implements AsyncDisposable {
  readonly #files: CellFiles;
  readonly #nodes: DemoNode[] = [];
  readonly #samples = new Map<Incarnation, NodeStatus>();

  constructor(files: CellFiles) {
    this.#files = files;
  }

  /** Starts one more node. */
  start(): DemoNode {
    const name = `n${this.#nodes.length + 1}`;
    const [peerPort = 0, httpPort = 0] = freePorts(2);
    const log = join(this.#files.dataDir, `${name}.log`);
    const file = openSync(log, "a");
    const url = `http://127.0.0.1:${httpPort}`;
    const argv = ["run", DEMO_MODULE, "--config", this.#files.config, "--node-id", name];
    const listen = ["--peer-listen", `127.0.0.1:${peerPort}`, "--http-listen", `127.0.0.1:${httpPort}`];
    const child = Bun.spawn([...selfCommand(), ...argv, ...listen], {
      stdio: ["ignore", "ignore", file],
      env: childEnvironment({ [RECORD_ENVIRONMENT]: this.#files.record, [NODE_ENVIRONMENT]: name }),
    });
    closeSync(file);
    const node: DemoNode = {
      name,
      url,
      log,
      pid: child.pid,
      exited: child.exited,
      get exitCode() {
        return child.exitCode;
      },
      get signalCode() {
        return child.signalCode;
      },
      kill: (signal) => child.kill(signal),
    };
    this.#nodes.push(node);
    return node;
  }

  get nodes(): readonly DemoNode[] {
    return this.#nodes;
  }

  alive(): DemoNode[] {
    return this.#nodes.filter((node) => node.exitCode === null && node.signalCode === null);
  }

  /**
   * Asks all living nodes and keeps the last answer of each incarnation, since the counters of a node that is killed die
   * with it. @returns the answers, by node name; without those that did not answer
   */
  async sample(): Promise<ReadonlyMap<string, NodeStatus>> {
    const answers = await Promise.all(this.alive().map((node) => askUrl(node.url, ASK_TIMEOUT_MS)));
    const found = new Map<string, NodeStatus>();
    for (const { status } of answers) {
      if (status === null) continue;
      this.#samples.set(status.core.incarnation, status);
      found.set(status.nodeId, status);
    }
    return found;
  }

  /** Doubts by how they were settled, summed over the last answers of all incarnations. */
  doubts(): DoubtsSettled {
    const sum: DoubtsSettled = {
      attestedExecuted: 0,
      waitedForHolder: 0,
      checkedExecuted: 0,
      checkedNotExecuted: 0,
      falsePositive: 0,
      committed: 0,
      regranted: 0,
      byPolicy: 0,
    };
    for (const { core } of this.#samples.values()) {
      for (const key of Object.keys(sum) as (keyof DoubtsSettled)[]) sum[key] += core.doubtsSettled[key] ?? 0;
    }
    return sum;
  }

  /** Asks all living nodes to drain. @returns the names of those that did not end with exit code 0 in time */
  async drain(timeoutMs: number): Promise<string[]> {
    const draining = this.alive();
    for (const node of draining) node.kill("SIGTERM");
    const late = new AbortController();
    const all = Promise.all(draining.map((node) => node.exited)).finally(() => late.abort());
    await Promise.race([all, sleep(timeoutMs, undefined, { signal: late.signal }).catch(() => undefined)]);
    return draining.filter((node) => node.exitCode !== 0).map((node) => node.name);
  }

  /** Ends whatever still runs, at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    const left = this.alive();
    for (const node of left) node.kill("SIGKILL");
    await Promise.all(left.map((node) => node.exited));
  }
}
