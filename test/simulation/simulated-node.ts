/** One start of a node: the real `RunningNode` in a simulated process, with its core watched. */
import type { NodeConfig } from "../../src/config/option-table.ts";
import type { Coordinator } from "../../src/coordinator/coordinator.ts";
import type { CoreEffect } from "../../src/core/effects.ts";
import type { CoreEvent } from "../../src/core/events.ts";
import { incarnationOf } from "../../src/core/identity.ts";
import { NodeCore } from "../../src/core/node.ts";
import { describeError } from "../../src/errors.ts";
import type { TaskType } from "../../src/execution/define.ts";
import { aboutCore, assemble } from "../../src/runtime/assemble.ts";
import type { ProcessState } from "../../src/runtime/process-identity.ts";
import { startRuntime, type RunningNode } from "../../src/runtime/running-node.ts";
import type { TaskLog } from "../../src/task-log/task-log.ts";
import type { SimulatedNode } from "./observer.ts";
import type { SimulatedProcess } from "./virtual-time.ts";

export interface NodeSurroundings {
  readonly config: NodeConfig;
  readonly tasks: readonly TaskType[];
  readonly coordinator: Coordinator;
  readonly taskLog: TaskLog;
  readonly readProcess: (pid: number, host: string) => ProcessState;
  readonly onStep: (node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[], now: number) => void;
  readonly onNote: (node: SimulatedNode, message: string) => void;
  readonly onExit: (node: SimulatedNode, reason: string) => void;
  /** Whatever the product throws: in a real process it would be the end of it. */
  readonly onCrash: (node: SimulatedNode, error: unknown) => void;
}

function hexOf(process: SimulatedProcess): string {
  return Array.from({ length: 4 }, () => process.random.uint32().toString(16).padStart(8, "0")).join("");
}

export class NodeInProcess implements SimulatedNode {
  readonly name: string;
  readonly process: SimulatedProcess;
  readonly incarnation: string;
  core: NodeCore | null = null;
  running: RunningNode | null = null;
  readonly #stopping = new AbortController();

  constructor(process: SimulatedProcess) {
    this.name = process.name;
    this.process = process;
    this.#bootId = hexOf(process);
    this.incarnation = incarnationOf(this.name, this.#bootId);
  }

  readonly #bootId: string;

  start(around: NodeSurroundings): void {
    this.process.enter(() => void this.#start(around));
  }

  /** SIGTERM. */
  drain(): void {
    this.process.enter(() => {
      if (this.running === null) this.#stopping.abort();
      else void this.running.stop();
    });
  }

  async #start(around: NodeSurroundings): Promise<void> {
    const { process } = this;
    const host = process.host;
    const options = assemble(around.config, around.tasks, (_level, message) => around.onNote(this, message), {
      self: {
        bootId: this.#bootId,
        process: { kernelBootId: host, pidNamespace: host, pid: process.pid, startTime: String(process.pid) },
        readProcess: (pid) => around.readProcess(pid, host),
      },
      coordinator: around.coordinator,
      taskLog: around.taskLog,
    });
    try {
      const running = await startRuntime({
        ...options,
        signal: this.#stopping.signal,
        core: (settings, random, now) => this.#watch(new NodeCore(settings, random, now), around),
      });
      this.running = running;
      if (this.#stopping.signal.aborted) void running.stop(); // told after its start had asked for the last time
      const end = await running.ended;
      around.onExit(this, end.error === null ? end.reason : describeError(end.error));
    } catch (error) {
      around.onExit(this, describeError(error));
    }
  }

  #isDead(): boolean {
    return this.process.state === "dead";
  }

  #watch(core: NodeCore, around: NodeSurroundings): ReturnType<ReturnType<typeof assemble>["core"]> {
    this.core = core;
    return {
      step: (event, now, more) => {
        if (this.#isDead()) return [];
        let effects: readonly CoreEffect[];
        try {
          effects = core.step(event, now, more);
        } catch (error) {
          around.onCrash(this, error);
          throw error;
        }
        around.onStep(this, event, effects, now);
        // Killed in this very step: nothing that it wanted happens any more.
        return this.#isDead() ? [] : effects;
      },
      ...aboutCore(core),
    };
  }
}
