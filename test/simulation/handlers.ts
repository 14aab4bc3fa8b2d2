/**
 * The user's side of a simulation: handlers with effects in the world, and checks that read them. What each does is the
 * workload's decision; what happened is known here and nowhere else.
 */
import type { CheckAnswer } from "../../src/core/events.ts";
import { defineTasks, type Task, type TaskContext, type TaskDefinition } from "../../src/execution/define.ts";
import { FailedForGood, OutcomeUnknown } from "../../src/execution/outcome-errors.ts";
import type { History } from "./history.ts";
import type { Run, SimulationSettings } from "./observer.ts";
import type { SimulatedProcess, VirtualTime } from "./virtual-time.ts";

export const TOPIC = "tasks";

/** What one attempt does. */
export interface RunPlan {
  /** From the first instruction to the effect's request, and from the effect to the handler's end. */
  readonly beforeMs: number;
  readonly afterMs: number;
  /** From the request until the effect is there, also when the process is gone: less than `effectSettleMs`. */
  readonly landMs: number;
  /**
   * failure: throws before any effect; failed-for-good: and says that no attempt will succeed. unsure: requests the effect and throws
   * that it does not know, before it is there. hang: never requests an effect and waits for its signal; deaf: as that, and ignores it.
   */
  readonly outcome: "success" | "failure" | "failed-for-good" | "unsure" | "hang" | "deaf";
  /** The process is stopped so long between the start check and the handler's first instruction; 0: not. */
  readonly stoppedMs: number;
  /** The handler keeps the event loop busy so long at its beginning; 0: not. */
  readonly blockMs: number;
}

export interface CheckPlan {
  readonly ms: number;
  /** lie: says the opposite (only where the settings say that checks lie). */
  readonly answer: "truth" | "unknown" | "throw" | "hang" | "lie";
}

export interface Behaviour {
  runPlan(run: Run): RunPlan;
  checkPlan(taskId: string): CheckPlan;
}

export class Handlers {
  readonly runs: Run[] = [];
  readonly runsByTask = new Map<string, Run[]>();
  behaviour: Behaviour;
  readonly #time: VirtualTime;
  readonly #history: History;
  readonly #settings: SimulationSettings;
  readonly #effects = new Map<string, number>();
  /** Largest token that the sink took, by task id, where it looks at tokens. */
  readonly #tokens = new Map<string, readonly [number, number]>();
  #checks = 0;

  constructor(time: VirtualTime, history: History, settings: SimulationSettings, behaviour: Behaviour) {
    this.#time = time;
    this.#history = history;
    this.#settings = settings;
    this.behaviour = behaviour;
  }

  effects(taskId: string): number {
    return this.#effects.get(taskId) ?? 0;
  }

  /** The task module that every node of the cell has. */
  definition(): TaskDefinition {
    const { onUnknown, hasCheck, attemptsMax, effectSettleMs, timing } = this.#settings;
    return defineTasks({
      topic: TOPIC,
      onUnknown,
      attemptsMax,
      effectSettleMs,
      retryBackoffMs: timing.retryBackoffMs,
      retryBackoffMaxMs: timing.retryBackoffMaxMs,
      handlerTimeoutMs: timing.handlerTimeoutMs,
      abortGraceMs: timing.abortGraceMs,
      checkTimeoutMs: timing.checkTimeoutMs,
      execute: (task, context) => this.#execute(task, context),
      ...(hasCheck ? { check: (task: Task<unknown>, context: TaskContext) => this.#check(task, context) } : {}),
    });
  }

  /** A process is gone: its handlers with it. */
  died(process: SimulatedProcess): void {
    for (const run of this.runs) {
      if (run.pid !== process.pid || run.endedAt !== Infinity) continue;
      run.endedAt = this.#time.now;
      run.outcome = "died";
      this.#history.add({ type: "handler-end", at: this.#time.now, run: run.number, outcome: "died" });
    }
  }

  async #execute(task: Task<unknown>, context: TaskContext): Promise<void> {
    const process = this.#time.current!;
    const run = this.#newRun(process, task, context);
    const plan = this.behaviour.runPlan(run);
    if (plan.stoppedMs > 0) await this.#stopFirst(process, plan.stoppedMs);
    this.#begin(run);
    if (plan.blockMs > 0) await this.#block(process, plan.blockMs);
    if (plan.outcome === "hang" || plan.outcome === "deaf") {
      await this.#hang(context.signal, plan.outcome === "deaf");
      this.#end(run, "unknown");
      throw new Error("aborted");
    }
    if (plan.beforeMs > 0) await Bun.sleep(plan.beforeMs);
    if (plan.outcome === "failure" || plan.outcome === "failed-for-good") {
      this.#end(run, context.signal.aborted ? "unknown" : "failure");
      throw plan.outcome === "failure" ? new Error("the handler reports failure") : new FailedForGood("it never will");
    }
    if (context.signal.aborted) {
      this.#end(run, "unknown");
      throw new Error("aborted");
    }
    if (plan.outcome === "unsure") {
      this.#request(run, plan.landMs, unheard, unheard);
      this.#end(run, "unknown");
      throw new OutcomeUnknown("no answer");
    }
    await this.#land(run, process, plan.landMs);
    if (plan.afterMs > 0) await Bun.sleep(plan.afterMs);
    this.#end(run, "success");
  }

  #newRun(process: SimulatedProcess, task: Task<unknown>, { token, attempt }: TaskContext): Run {
    const run: Run = {
      number: this.runs.length + 1,
      node: process.name,
      pid: process.pid,
      partition: task.partition,
      offset: task.offset,
      taskId: task.id,
      epoch: token.epoch,
      stamp: token.sequence,
      attempt,
      startedAt: Infinity,
      endedAt: Infinity,
      effectAt: Infinity,
      outcome: "running",
    };
    this.runs.push(run);
    const ofTask = this.runsByTask.get(run.taskId);
    if (ofTask === undefined) this.runsByTask.set(run.taskId, [run]);
    else ofTask.push(run);
    return run;
  }

  #begin(run: Run): void {
    run.startedAt = this.#time.now;
    this.#history.add({
      type: "handler-start",
      at: this.#time.now,
      run: run.number,
      node: run.node,
      pid: run.pid,
      partition: run.partition,
      offset: run.offset,
      taskId: run.taskId,
      epoch: run.epoch,
      stamp: run.stamp,
      attempt: run.attempt,
    });
  }

  #end(run: Run, outcome: "success" | "failure" | "unknown"): void {
    run.endedAt = this.#time.now;
    run.outcome = outcome;
    const told = outcome === "unknown" ? "hang-ended" : outcome;
    this.#history.add({ type: "handler-end", at: this.#time.now, run: run.number, outcome: told });
  }

  /** C7: between the start check and the handler the process is stopped; it goes on much later. */
  #stopFirst(process: SimulatedProcess, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const time = this.#time;
    this.#history.add({
      type: "fault",
      at: time.now,
      kind: "stop-before-handler",
      node: process.name,
      detail: `${ms} ms`,
    });
    process.stop();
    process.enter(resolve);
    time.after(ms, () => process.continue());
    return promise;
  }

  #block(process: SimulatedProcess, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#history.add({ type: "fault", at: this.#time.now, kind: "block", node: process.name, detail: `${ms} ms` });
    process.block(ms);
    process.enter(resolve);
    return promise;
  }

  #hang(signal: AbortSignal, deaf: boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (deaf) return promise;
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
    return promise;
  }

  /** The request is out: the effect lands whatever becomes of the process. */
  #land(run: Run, process: SimulatedProcess, ms: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const refused = (): void => process.enter(() => reject(new Error("the sink refuses an old token")));
    this.#request(run, ms, () => process.enter(resolve), refused);
    return promise.catch((error: unknown) => {
      this.#end(run, "failure");
      throw error;
    });
  }

  #request(run: Run, ms: number, landed: () => void, refused: () => void): void {
    this.#time.after(ms, () => {
      if (this.#settings.sinkChecksTokens && !this.#takesToken(run)) {
        refused();
        return;
      }
      run.effectAt = this.#time.now;
      this.#effects.set(run.taskId, this.effects(run.taskId) + 1);
      this.#history.add({ type: "effect", at: this.#time.now, run: run.number, taskId: run.taskId });
      landed();
    });
  }

  #takesToken(run: Run): boolean {
    const [epoch, stamp] = this.#tokens.get(run.taskId) ?? [0, 0];
    if (run.epoch < epoch || (run.epoch === epoch && run.stamp < stamp)) return false;
    this.#tokens.set(run.taskId, [run.epoch, run.stamp]);
    return true;
  }

  async #check(task: Task<unknown>, _context: TaskContext): Promise<CheckAnswer> {
    const process = this.#time.current!;
    const check = ++this.#checks;
    const plan = this.behaviour.checkPlan(task.id);
    this.#history.add({
      type: "check-start",
      at: this.#time.now,
      check,
      node: process.name,
      pid: process.pid,
      partition: task.partition,
      offset: task.offset,
      taskId: task.id,
    });
    if (plan.answer === "hang") return Promise.withResolvers<CheckAnswer>().promise;
    // The world is read at some moment of the check.
    const truth = this.effects(task.id) > 0;
    if (plan.ms > 0) await Bun.sleep(plan.ms);
    const answer =
      plan.answer === "unknown" || plan.answer === "throw"
        ? "unknown"
        : truth === (plan.answer === "truth")
          ? "executed"
          : "not-executed";
    this.#history.add({
      type: "check-end",
      at: this.#time.now,
      check,
      answer: plan.answer === "throw" ? "threw" : answer,
      truth,
    });
    if (plan.answer === "throw") throw new Error("the check throws");
    return answer;
  }
}

function unheard(): void {
  // The handler is gone when its effect lands.
}
