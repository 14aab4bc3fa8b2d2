/**
 * The second judge (SIM7): it reads the finished event log and the settings, and nothing else: no core, no world, no code of `src`. So a
 * mistake that the product and the online checkers share is still seen. It says what an outside observer could: which records were
 * finished, which ran twice and why that was allowed, in which order tokens were used, and who led.
 *
 * It knows less than the online checkers and excuses a little more, and each excuse names what it stands for. What it cannot see at
 * all: leases (it takes them from the timing settings) and the filter's real content (it counts grants instead).
 *
 * Longer than most files: it is to be read alone, from the first event to the verdict.
 */
import type { HistoryEvent, HistoryEventOf } from "./history.ts";
import {
  countRecovered,
  DRIFT,
  isOutsideWindow,
  STOPS,
  tellRun as tell,
  type HistoryReport,
  type HistoryViolation,
  type Produced,
  type SeenCheck,
  type SeenRun,
  namesTask,
} from "./history-report.ts";
import type { SimulationSettings } from "./observer.ts";

export type { HistoryReport, HistoryViolation } from "./history-report.ts";

/** @returns what the history shows; violations in the order in which they were found, empty when there is none. */
export function checkHistory(settings: SimulationSettings, events: readonly HistoryEvent[]): HistoryReport {
  return new HistoryChecker(settings, events).run();
}

class HistoryChecker {
  readonly #settings: SimulationSettings;
  readonly #events: readonly HistoryEvent[];
  readonly #violations: HistoryViolation[] = [];
  readonly #excused: Record<string, number> = {};

  readonly #produced: Map<number, Produced>[] = []; // by partition and offset
  readonly #producedIds = new Set<string>();
  readonly #runs = new Map<number, SeenRun>();
  readonly #byTask = new Map<string, SeenRun[]>();
  readonly #effects = new Map<string, SeenRun[]>();
  readonly #checks = new Map<number, SeenCheck>();
  readonly #lastCheck = new Map<string, SeenCheck>(); // by record
  readonly #checkedAs = new Set<string>(); // task ids that a check called executed
  readonly #aside = new Set<string>(); // records
  readonly #stopped = new Set<number>(); // partitions
  readonly #passed: number[] = []; // committed by the cell, by partition
  readonly #skipped: number[] = []; // by another client
  readonly #sleeping = new Map<number, number>(); // process -> since
  /** What a process was about to start begins in the moment in which it wakes (C7). */
  readonly #woke = new Map<number, { readonly since: number; readonly at: number }>(); // by process: its last wake
  readonly #deadProcesses = new Map<number, number>();
  readonly #latestProcess = new Map<string, number>();
  readonly #forgotAt: number[] = [];
  readonly #replayedAt: number[] = [];
  readonly #cutOff = new Set<string>(); // nodes that were ever out of reach, slept, or were slow
  readonly #leaders = new Map<number, number>(); // epoch -> process
  #highestEpoch = 0;
  #leads = 0;
  #unexpected = 0;
  #handlersRunning = new Map<string, Set<SeenRun>>();

  constructor(settings: SimulationSettings, events: readonly HistoryEvent[]) {
    this.#settings = settings;
    this.#events = events;
  }

  run(): HistoryReport {
    for (const event of this.#events) this.#read(event);
    return this.#report();
  }

  #found(invariant: HistoryViolation["invariant"], at: number, message: string): void {
    this.#violations.push({ invariant, at, message });
  }

  #read(event: HistoryEvent): void {
    switch (event.type) {
      case "produced":
        (this.#produced[event.partition] ??= new Map()).set(event.offset, {
          taskId: event.taskId,
          offset: event.offset,
        });
        this.#producedIds.add(event.taskId);
        return;
      case "process":
        return this.#process(event);
      case "fault":
        return this.#fault(event);
      case "handler-start":
        return this.#started(event);
      case "effect":
        return this.#effect(event);
      case "handler-end":
        return this.#ended(event);
      case "check-start":
        return this.#checkStarted(event);
      case "check-end":
        return this.#checkEnded(event);
      case "set-aside":
        this.#aside.add(`${event.partition}:${event.offset}`);
        return;
      case "committed":
        return this.#committed(event);
      case "alarm":
        if (STOPS.has(event.code)) this.#stopped.add(event.partition);
        if (event.code === "filter-window") this.#forgotAt.push(event.at);
        return;
      case "leads":
        return this.#led(event);
      case "heal":
      case "quiet":
      case "role":
      case "note":
      case "violation":
        return;
      default:
        event satisfies never;
    }
  }

  #process(event: HistoryEventOf<"process">): void {
    const { node, pid, what, at } = event;
    if (what === "started") this.#latestProcess.set(node, pid);
    else if (what === "stopped") this.#sleeping.set(pid, at);
    else if (what === "continued") this.#wake(pid, at);
    else this.#deadProcesses.set(pid, at);
    if (what === "stopped") this.#cutOff.add(node);
  }

  #fault({ kind, node, at }: HistoryEventOf<"fault">): void {
    if (kind === "replay") this.#replayedAt.push(at);
    if (kind === "stop-before-handler") {
      const pid = this.#latestProcess.get(node);
      if (pid !== undefined) this.#sleeping.set(pid, at);
    }
    // Which nodes a fault without a name touches is not told: all of them.
    for (const name of node === "" ? this.#latestProcess.keys() : [node]) this.#cutOff.add(name);
  }

  /** Runs that are still open when their process wakes past its isolation deadline: nobody could guard them (C8). */
  #wake(pid: number, at: number): void {
    const since = this.#sleeping.get(pid);
    if (since === undefined) return;
    this.#sleeping.delete(pid);
    this.#woke.set(pid, { since, at });
    for (const run of this.#runs.values())
      if (run.pid === pid && run.endedAt === Infinity && this.#isPastGuard(Math.min(run.startedAt, since), at))
        run.slept = true;
  }

  /** It started with a lease that was valid then, so the deadline is no earlier than the grace after that. */
  #isPastGuard(start: number, wokeAt: number): boolean {
    return wokeAt - start >= this.#settings.timing.isolationGraceMs * DRIFT;
  }

  #started(event: HistoryEventOf<"handler-start">): void {
    const woke = this.#woke.get(event.pid);
    const asleep = this.#sleeping.get(event.pid);
    const since = asleep ?? (woke?.at === event.at ? woke.since : undefined);
    const run: SeenRun = {
      number: event.run,
      taskId: event.taskId,
      partition: event.partition,
      offset: event.offset,
      node: event.node,
      pid: event.pid,
      epoch: event.epoch,
      stamp: event.stamp,
      attempt: event.attempt,
      startedAt: event.at,
      endedAt: Infinity,
      effectAt: Infinity,
      outcome: "running",
      slept: since !== undefined && this.#isPastGuard(since, event.at), // C7
    };
    // The others of its batch start at the moment at which it is stopped, before it feels that.
    if (asleep !== undefined && event.at > asleep) this.#wake(event.pid, event.at);
    this.#runs.set(event.run, run);
    this.#overlaps(run, event.at);
    this.#tokens(run);
    const runs = this.#byTask.get(run.taskId);
    if (runs === undefined) this.#byTask.set(run.taskId, [run]);
    else runs.push(run);
    const running = this.#handlersRunning.get(run.taskId);
    if (running === undefined) this.#handlersRunning.set(run.taskId, new Set([run]));
    else running.add(run);
  }

  /** H3: a handler of the task runs already, in a process that is awake. */
  #overlaps(run: SeenRun, at: number): void {
    for (const other of this.#handlersRunning.get(run.taskId) ?? []) {
      if (this.#sleeping.has(other.pid) || other.slept || run.slept || this.#isReplay(other, run)) continue;
      this.#found("H3", at, `two handlers of ${run.taskId} run at ${at}: ${tell(other)}; ${tell(run)}`);
    }
  }

  /** H4: the token of a task is larger at each start; attempts of one grant share theirs. */
  #tokens(run: SeenRun): void {
    const before = (this.#byTask.get(run.taskId) ?? []).at(-1);
    if (before === undefined || run.slept || before.slept) return; // C7: the start check was long ago
    const order = run.epoch - before.epoch || run.stamp - before.stamp;
    const isRetry =
      order === 0 && run.pid === before.pid && run.offset === before.offset && run.attempt > before.attempt;
    if (order > 0 || isRetry) return;
    this.#found("H4", run.startedAt, `the token of ${run.taskId} did not rise: ${tell(before)}; ${tell(run)}`);
  }

  #effect(event: HistoryEventOf<"effect">): void {
    if (!this.#producedIds.has(event.taskId)) {
      this.#unexpected++;
      this.#found("H5", event.at, `run ${event.run} had an effect for ${event.taskId}, which nobody produced`);
    }
    const run = this.#runs.get(event.run);
    if (run === undefined) return this.#found("H5", event.at, `the effect of run ${event.run}, which never started`);
    run.effectAt = event.at;
    const runs = this.#effects.get(event.taskId);
    if (runs === undefined) this.#effects.set(event.taskId, [run]);
    else this.#double(runs, run, event.at);
  }

  /** H2: an effect more, judged against those that started right before and after it. */
  #double(runs: SeenRun[], run: SeenRun, at: number): void {
    runs.push(run);
    runs.sort((a, b) => a.startedAt - b.startedAt || a.number - b.number);
    const index = runs.indexOf(run);
    for (const other of [runs[index - 1], runs[index + 1]]) {
      if (other === undefined) continue;
      const [first, second] = runs.indexOf(other) < index ? [other, run] : [run, other];
      const why = this.#excuse(first, second);
      if (why === null) this.#found("H2", at, `${run.taskId} has effects of ${tell(first)} and of ${tell(second)}`);
      else this.#excused[why] = (this.#excused[why] ?? 0) + 1;
    }
  }

  #isReplay(first: SeenRun, second: SeenRun): boolean {
    return this.#replayedAt.some((at) => at >= first.startedAt && at <= second.startedAt);
  }

  #excuse(first: SeenRun, second: SeenRun): string | null {
    if (first.outcome === "failure" && first.endedAt <= second.startedAt) return "the first reported failure";
    if (first.slept || second.slept) return "stopped past the quarantine";
    if (this.#isReplay(first, second)) return "replay";
    const sameRecord = first.partition === second.partition && first.offset === second.offset;
    if (!sameRecord) {
      const isCommitted = first.offset < (this.#passed[first.partition] ?? 0);
      if (isCommitted && this.#forgotAt.some((at) => at >= first.startedAt && at <= second.startedAt))
        return "unclean start";
      if (isCommitted && isOutsideWindow(this.#settings, this.#events, this.#runs, first, second))
        return "filter window";
    }
    return this.#excuseDecision(first, second, sameRecord);
  }

  /** The end of the first was in doubt, and the user's check was wrong, or did not know where the policy is to execute. */
  #excuseDecision(first: SeenRun, second: SeenRun, sameRecord: boolean): string | null {
    const { onUnknown, hasCheck, checkIsTruthful } = this.#settings;
    const diedAt = this.#deadProcesses.get(first.pid) ?? Infinity;
    const inDoubt =
      !sameRecord ||
      first.outcome === "died" ||
      first.outcome === "hang-ended" ||
      diedAt <= second.startedAt ||
      this.#cutOff.has(first.node);
    if (!inDoubt) return null;
    const check = this.#lastCheck.get(`${second.partition}:${second.offset}`);
    if (check?.answer === "not-executed" && check.truth && !checkIsTruthful) return "the check was wrong";
    const knows = check?.answer === "executed" || check?.answer === "not-executed";
    return onUnknown === "execute" && (!hasCheck || !knows) ? "onUnknown is execute" : null;
  }

  #ended(event: HistoryEventOf<"handler-end">): void {
    const run = this.#runs.get(event.run);
    if (run === undefined) return; // died between the start check and its first instruction
    run.endedAt = event.at;
    run.outcome = event.outcome;
    this.#handlersRunning.get(run.taskId)?.delete(run);
  }

  /** H7: no run of the task is possible any more, and what one left behind has settled. */
  #checkStarted(event: HistoryEventOf<"check-start">): void {
    const { taskId, at } = event;
    const record = `${event.partition}:${event.offset}`;
    const check: SeenCheck = { taskId, record, at, answer: "none", truth: false };
    this.#checks.set(event.check, check);
    this.#lastCheck.set(record, check);
    for (const run of this.#byTask.get(taskId) ?? []) {
      if (run.slept) continue;
      const runs = run.endedAt === Infinity && !this.#sleeping.has(run.pid);
      const died = run.outcome === "died"; // in its sleep: it did nothing since it was stopped
      const acted = died ? Math.min(run.endedAt, this.#sleeping.get(run.pid) ?? Infinity) : run.endedAt;
      const settles = (died || run.outcome === "hang-ended") && at < acted + this.#settings.effectSettleMs * DRIFT;
      if (runs || settles)
        this.#found(
          "H7",
          at,
          `${taskId} is checked at ${at} on ${event.node}, and ${tell(run)} ${runs ? "runs" : "may still take effect"}`,
        );
    }
  }

  #checkEnded(event: HistoryEventOf<"check-end">): void {
    const check = this.#checks.get(event.check);
    if (check === undefined) return;
    check.answer = event.answer;
    check.truth = event.truth;
    if (event.answer === "executed") this.#checkedAs.add(check.taskId);
  }

  #committed(event: HistoryEventOf<"committed">): void {
    const { partition, position } = event;
    const before = this.#passed[partition] ?? 0;
    if (position <= before) return;
    this.#passed[partition] = position;
    if (event.node === "") {
      this.#skipped[partition] = Math.max(this.#skipped[partition] ?? 0, position);
      return;
    }
    for (let offset = before; offset < position; offset++) {
      const record = this.#produced[partition]?.get(offset);
      if (record === undefined || this.#end(partition, record) !== "") continue;
      this.#found(
        "H1",
        event.at,
        `${event.node} committed ${position} in partition ${partition} at ${event.at}, and ${partition}:${offset} (${record.taskId}) has no end`,
      );
    }
  }

  /** How a record ended; "" when it has no end. A policy that drops leaves nothing that could be seen here: only that it may. */
  #end(partition: number, { taskId, offset }: Produced): "executed" | "dropped" | "" {
    if (this.#effects.has(taskId)) return "executed";
    if (this.#aside.has(`${partition}:${offset}`) || this.#checkedAs.has(taskId)) return "dropped";
    return this.#mayBeDroppedByPolicy(taskId) ? "dropped" : "";
  }

  /** `drop` needs a task whose end is in doubt: a run of it that did not end well, or a process that died, slept or was cut off. */
  #mayBeDroppedByPolicy(taskId: string): boolean {
    if (this.#settings.onUnknown !== "drop") return false;
    const runs = this.#byTask.get(taskId) ?? [];
    return (
      runs.some((run) => run.outcome !== "success" && run.outcome !== "failure") ||
      this.#deadProcesses.size > 0 ||
      this.#cutOff.size > 0
    );
  }

  /** H6: one process an epoch, and epochs rise. */
  #led({ epoch, pid, node, at }: HistoryEventOf<"leads">): void {
    this.#leads++;
    const led = this.#leaders.get(epoch);
    if (led !== undefined && led !== pid)
      this.#found("H6", at, `processes ${led} and ${pid} (${node}) lead epoch ${epoch}`);
    if (led === undefined && epoch <= this.#highestEpoch)
      this.#found("H6", at, `${node} leads epoch ${epoch} at ${at}, after epoch ${this.#highestEpoch}`);
    this.#leaders.set(epoch, pid);
    this.#highestEpoch = Math.max(this.#highestEpoch, epoch);
  }

  #report(): HistoryReport {
    const counts = { produced: 0, executed: 0, dropped: 0, lost: 0 };
    const cameToRest = this.#events.some((event) => event.type === "quiet");
    const endedAt = this.#events.at(-1)?.at ?? 0;
    this.#produced.forEach((records, partition) => {
      for (const record of records.values()) {
        counts.produced++;
        const end = this.#end(partition, record);
        if (end === "executed") counts.executed++;
        else if (end === "dropped") counts.dropped++;
        else if (record.offset >= (this.#skipped[partition] ?? 0) && !this.#stopped.has(partition)) {
          counts.lost++;
          if (!cameToRest) continue; // cut short: what is open is not lost
          // After an unclean start header ids wait until a stopped partition has named its suspects (R15e), and
          // a duplicate waits for its task in a stopped partition.
          if (this.#stopped.size > 0 && this.#forgotAt.length > 0) continue;
          if (namesTask(this.#produced, this.#stopped, record.taskId)) continue;
          this.#found("H5", endedAt, `${partition}:${record.offset} (${record.taskId}) has no end`);
        }
      }
    });
    let duplicated = 0;
    for (const runs of this.#effects.values()) duplicated += runs.length - 1;
    const recovered = countRecovered(
      this.#byTask,
      (taskId) => this.#effects.has(taskId) || this.#checkedAs.has(taskId),
    );
    return {
      violations: this.#violations,
      ...counts,
      unexpected: this.#unexpected,
      duplicated,
      recovered,
      excused: this.#excused,
      leaders: this.#leads,
      checks: this.#checks.size,
    };
  }
}
