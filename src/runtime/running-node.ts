/**
 * One incarnation of a node, from its first socket to its last.
 *
 *   starting  sockets are bound, the coordinator is asked, topics are opened; nothing is consumed or decided
 *   running   the core decides; entered when everything is in place; leaves when the core says "stopped"
 *   ending    handlers end, the group is left, links are flushed, ports and sessions close
 *   ended     `ended` resolves
 *
 * Guarantees: whatever was opened is closed again, also when the start fails; the watchdog guards as long as any handler
 * may run (R12); nothing of this incarnation runs when `ended` resolves, so that another may begin in this process.
 */
import type { CoreEffect } from "../core/effects.ts";
import type { CoreEvent } from "../core/events.ts";
import { incarnationOf, nodeIdOf, type Incarnation } from "../core/identity.ts";
import type { CoreStatus } from "../core/status.ts";
import { describeError, toError } from "../errors.ts";
import { Health, type HealthNews } from "../ops/health.ts";
import { LoopLag } from "../ops/loop-lag.ts";
import { partitionName, type NodeStatus } from "../ops/node-status.ts";
import { nodeTaskAnswer, type NodeTaskAnswer } from "../ops/task.ts";
import { ClockWatch } from "./clock.ts";
import { Driver } from "./driver.ts";
import { carryOut, type Shell } from "./effects.ts";
import { killDelayMs } from "./execution-bridge.ts";
import type { RunningCore, RuntimeLog, RuntimeOptions } from "./options.ts";
import { PartitionNames } from "./partition-names.ts";
import type { Peers } from "./peers.ts";
import { openParts, type NodeParts } from "./start-up.ts";
import { taskQuery, withRunning } from "./task-query.ts";
import { WaitNotice } from "./wait-notice.ts";

/** How a node ended. */
export interface NodeEnd {
  /** Drained in order: handlers done, committed, left the group. */
  readonly clean: boolean;
  readonly reason: string;
  /** Why the node gave up by itself; null when it was told to stop. */
  readonly error: Error | null;
}

/**
 * Resolves when the node is registered and its core runs; it may still wait for other nodes.
 * @throws ConfigurationError, VouchError; everything is closed then.
 */
export async function startRuntime(options: RuntimeOptions): Promise<RunningNode> {
  const node = new RunningNode(options);
  await node.start();
  return node;
}

/** A status is plain data made anew: not to be asked for in every turn. */
const LOOK_MS = 500;

export class RunningNode implements AsyncDisposable {
  readonly incarnation: Incarnation;
  readonly #options: RuntimeOptions;
  readonly #write: RuntimeLog;
  readonly #startedAt = performance.now();
  readonly #names: PartitionNames;
  readonly #ended = Promise.withResolvers<NodeEnd>();
  /** What happens before the core runs. */
  readonly #early: CoreEvent[] = [];
  #stack = new AsyncDisposableStack();
  #parts: NodeParts | null = null;
  #core: RunningCore | null = null;
  #driver: Driver | null = null;
  #error: Error | null = null;
  #stopping = false;
  /** The last warning of a start that is still under way. */
  #startingOn = "";
  readonly #waits = new WaitNotice();
  readonly #health: Health;
  #looksAt = 0; // when to look next at what a person should be told

  /** Use `startRuntime`. */
  constructor(options: RuntimeOptions) {
    this.#options = { ...options, log: (level, message, fields) => this.#log(level, message, fields) };
    this.#write = options.log;
    this.#health = new Health(options.health);
    this.incarnation = incarnationOf(options.nodeId, options.self.bootId);
    this.#names = new PartitionNames(options.tasks.map((task) => task.topic));
  }

  /** Resolves when nothing of this node is left; never rejects. */
  get ended(): Promise<NodeEnd> {
    return this.#ended.promise;
  }

  /** `host:port` where peers reach this node. */
  get peerAddress(): string {
    return this.#parts?.self.peerAddress ?? "";
  }

  /** `host:port`, "" without HTTP. */
  get httpAddress(): string {
    return this.#parts?.self.httpAddress ?? "";
  }

  /** User code that runs now, in words: "the handler of payments:0:17 and 3 more"; "" for none. */
  busyWith(): string {
    return this.#parts?.watchdog.busyWith() ?? "";
  }

  /** null while the node is starting. */
  status(): NodeStatus | null {
    if (this.#core === null || this.#parts === null) return null;
    const core = this.#core.status(performance.now());
    return {
      nodeId: this.#options.nodeId,
      cell: this.#options.cell,
      version: this.#options.version,
      pid: process.pid,
      peerAddress: this.#parts.self.peerAddress,
      httpAddress: this.#parts.self.httpAddress,
      uptimeMs: performance.now() - this.#startedAt,
      groupJoined: this.#parts.consumption.joined,
      groupTrouble: this.#parts.consumption.trouble,
      setAsideTrouble: this.#parts.runner.setAsideTrouble(),
      topics: this.#names.topics,
      partitionCounts: this.#core.partitionCounts,
      core: { ...core, waitingFor: waitText(core, this.#parts.peers) },
      edges: this.#parts.edges(),
      alarms: this.#health.alarms(),
    };
  }

  /** What this node knows of a task, named by its id or as `topic:partition:offset`; null while the node is starting. */
  task(id: string): NodeTaskAnswer | null {
    const status = this.status();
    if (status === null || this.#core === null || this.#parts === null) return null;
    const { hasher, runner } = this.#parts;
    const view = this.#core.look(taskQuery(id, hasher, this.#names), performance.now());
    return nodeTaskAnswer(id, status, withRunning(view, runner), new Date());
  }

  /** Drains: finishes what runs, commits, leaves the group, closes everything. Idempotent. */
  async stop(): Promise<NodeEnd> {
    if (!this.#stopping) {
      this.#stopping = true;
      this.#post({ type: "drain" });
    }
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Called once, by `startRuntime`. */
  async start(): Promise<void> {
    await using stack = new AsyncDisposableStack();
    const lag = stack.use(new LoopLag((lagMs) => this.#tellHealth(this.#health.lagged(lagMs, performance.now()))));
    const parts = await openParts(
      this.#options,
      {
        names: this.#names,
        post: (event) => this.#post(event),
        fail: (error) => this.#fail(error),
        status: () => this.status(),
        task: (id) => this.task(id),
        vitals: { health: this.#health, takeLagMaxMs: () => lag.takeMaxMs() },
        startingOn: () => this.#startingOn,
        unhealthy: () => (this.#error === null ? "" : describeError(this.#error)),
      },
      stack,
    );
    this.#parts = parts;
    this.#run(parts, stack);
    parts.acceptPeers();
    this.#stack = stack.move();
  }

  #run(parts: NodeParts, stack: AsyncDisposableStack): void {
    const { settings, watchdog, coordination, deaths } = parts;
    const core = this.#options.core(settings, Math.random, performance.now());
    const delayMs = killDelayMs(this.#options.tasks, settings);
    const clock = new ClockWatch();
    const shell: Shell = {
      ...parts,
      onNote: (effect) => this.#note(effect),
      onStopped: ({ clean, reason }) => void this.#end(clean, reason),
    };
    const driver = new Driver({
      core,
      now: () => performance.now(),
      carryOut: (effect) => carryOut(effect, shell),
      senses: [(now) => coordination.sense(now), () => (clock.jumped() ? { type: "clock-jump" } : null)],
      onTick: (now) => {
        watchdog.lease(core.isolationDeadline() + delayMs - now);
        // Takes an answer that came, which then becomes an event.
        watchdog.healthyUntil();
        deaths.tick(now);
        this.#lookAround(now);
      },
    });
    stack.defer(() => driver.stop());
    this.#core = core;
    this.#driver = driver;
    for (const event of this.#early.splice(0)) driver.post(event);
    driver.start();
  }

  #post(event: CoreEvent): void {
    if (this.#driver === null) this.#early.push(event);
    else this.#driver.post(event);
  }

  #log(...[level, message, fields]: Parameters<RuntimeLog>): void {
    if (level === "warn" && this.#core === null) this.#startingOn = message;
    this.#write(level, message, fields);
  }

  /** What a person should be told: what this node waits for, and what is wrong with it. */
  #lookAround(now: number): void {
    if (now < this.#looksAt) return;
    this.#looksAt = now + LOOK_MS;
    const core = this.#core;
    if (core === null || this.#parts === null) return;
    for (const news of this.#health.look(core.verdicts(now), now, () => slowestMember(core.status(now)))) {
      this.#tellHealth(news);
    }
    const text = this.#waits.look(waitText(core.waits(), this.#parts.peers), now);
    if (text !== "") this.#log("info", text, {});
  }

  #tellHealth(news: HealthNews | null): void {
    if (news === null) return;
    const { log } = this.#options;
    if (news.raised) log("error", news.message, { alarm: news.alarm });
    else log("info", news.message, { alarm: news.alarm, over: true });
  }

  #note(effect: Extract<CoreEffect, { type: "role" | "alarm" | "log" }>): void {
    const { log } = this.#options;
    if (effect.type === "role") log("info", `now ${effect.role}`, { role: effect.role, epoch: effect.epoch });
    else if (effect.type === "log") log(effect.level, effect.message, {});
    else {
      const partition = effect.pid < 0 ? {} : { partition: partitionName(this.#names.topics, effect.pid) };
      log("error", effect.message, { alarm: effect.code, ...partition });
    }
  }

  #fail(error: Error): void {
    if (this.#error !== null) return;
    this.#error = error;
    this.#options.log("error", `the node gives up: ${describeError(error)}`, {});
    void this.stop();
  }

  async #end(clean: boolean, reason: string): Promise<void> {
    this.#driver?.stop();
    try {
      await this.#stack.disposeAsync();
    } catch (error) {
      // Every part was closed all the same; what went wrong is told.
      this.#error ??= toError(error);
      this.#options.log("error", `closing the node failed in part: ${describeError(error)}`, {});
    }
    this.#ended.resolve({ clean: clean && this.#error === null, reason, error: this.#error });
  }
}

/** Who is furthest behind, when this node leads; "" when nobody is, or when another node leads. */
function slowestMember({ leaderStatus }: CoreStatus): string {
  if (leaderStatus === null) return "";
  const here = new Set(leaderStatus.peers.map(({ incarnation }) => incarnation));
  const gone = leaderStatus.inSync.find((incarnation) => !here.has(incarnation));
  if (gone !== undefined) return `${nodeIdOf(gone)}, which is not connected`;
  const peers = leaderStatus.peers.filter(({ standing, lag }) => standing === "member" && lag > 0);
  const [slowest] = peers.toSorted((a, b) => b.lag - a.lag);
  if (slowest === undefined) return "";
  return `${nodeIdOf(slowest.incarnation)}, which is ${slowest.lag} ${slowest.lag === 1 ? "change" : "changes"} behind`;
}

/** "waiting for a link to the leader a: no link to a: …": with the reason, where the links know one. */
function waitText({ waitingFor, leader }: Pick<CoreStatus, "waitingFor" | "leader">, peers: Peers): string {
  if (waitingFor === "") return "";
  const text = waitingFor.startsWith("waiting for ") ? waitingFor : `waiting for ${waitingFor}`;
  const failure = leader === "" ? "" : peers.failureOf(leader);
  return failure === "" ? text : `${text}: ${failure}`;
}
