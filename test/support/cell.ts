/**
 * A whole cell in one process and in virtual time, for scenario scripts: real cores; a coordinator, a task log, links,
 * handlers and checks that are simulated with just the semantics that the scenarios need. Deterministic: no clock, no
 * randomness but a seeded one. The wide simulator with its swarm of faults is another thing; this one is driven by hand.
 */
import { Heap } from "./heap.ts";
import { NodeCore } from "../../src/core/node.ts";
import type { CoreEffect } from "../../src/core/effects.ts";
import { Outcome, type CheckAnswer, type CoreEvent } from "../../src/core/events.ts";
import { incarnationOf, nodeIdOf, type Incarnation } from "../../src/core/identity.ts";
import type { PeerMessage } from "../../src/core/messages.ts";
import type { CoreSettings, OnUnknown, TopicSettings } from "../../src/core/settings.ts";

export interface CellOptions {
  readonly nodes?: readonly string[];
  readonly partitions?: number;
  readonly handlerMs?: number;
  readonly hasCheck?: boolean;
  readonly onUnknown?: OnUnknown;
  readonly settings?: Partial<CoreSettings>;
  readonly topic?: Partial<TopicSettings>;
}

export interface Run {
  readonly node: string;
  readonly partition: number;
  readonly offset: number;
  readonly taskId: string;
  readonly token: readonly [number, number];
  readonly startedAt: number;
  readonly attempt: number;
  endedAt: number; // Infinity while it runs
  effect: boolean;
  outcome: "running" | "success" | "failure" | "unknown" | "died";
}

interface LogRecord {
  readonly id: string | null;
  readonly payload: number;
  readonly isGap: boolean; // never delivered: compacted away, or a marker of a transaction
}

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

interface SimulatedLink {
  readonly a: CellNode;
  readonly b: CellNode;
  open: boolean;
  closing: CellNode | null;
  lastArrivalAt: [number, number]; // at b, at a
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

const LATENCY_MS = 1;
const SESSION_MS = 6_000;

/** A 64-bit hash of a text as two words; good enough for a test, and the same for equal texts. */
export function hashOf(text: string): [number, number] {
  let hi = 0x811c9dc5;
  let lo = 0x9e3779b9;
  for (let i = 0; i < text.length; i++) {
    hi = Math.imul(hi ^ text.charCodeAt(i), 0x01000193) >>> 0;
    lo = Math.imul(lo ^ text.charCodeAt(i), 0x85ebca6b) >>> 0;
    lo = (lo ^ (lo >>> 13)) >>> 0;
  }
  return [hi, lo];
}

function reachesCoordinator(node: CellNode): boolean {
  return !node.cut && !node.cutFromCoordinator;
}

export class CellNode {
  readonly name: string;
  readonly core: NodeCore;
  readonly incarnation: Incarnation;
  alive = true;
  paused = false;
  cut = false; // from peers, coordinator and task log
  cutFromPeers = false;
  cutFromCoordinator = false;
  deaf = false; // the group's events (revoked, assigned) do not reach it; it goes on with what it had
  inGroup = false;
  kicked = false; // thrown out of the group: its client joins again when it can
  joinedGeneration = -1;
  ownerships = new Map<number, { ownership: number; position: number; paused: boolean; generation: number }>();
  readonly queue: CoreEvent[] = []; // events that wait while it is paused
  readonly alarms: string[] = [];
  readonly logs: string[] = [];
  stoppedReason = "";
  contactAt = 0;

  constructor(name: string, core: NodeCore) {
    this.name = name;
    this.core = core;
    this.incarnation = core.incarnation;
  }
}

export class Cell {
  now = 0;
  readonly options: CellOptions;
  readonly nodes = new Map<string, CellNode>();
  readonly runs: Run[] = [];
  readonly checks: { node: string; partition: number; offset: number; at: number }[] = [];
  readonly setAside: { kind: string; partition: number; offset: number; reason: string }[] = [];
  readonly log: LogRecord[][];
  readonly committed: (number | null)[];
  readonly metadata: string[];
  assignment: (string | null)[];
  groupGeneration = 0;
  /** What a run does; "hang" never ends. Default: succeeds after handlerMs. */
  handler: (run: Run) => { ms: number; outcome: "success" | "failure" | "unknown" | "hang" };
  /** What the check answers; default: the truth. */
  check: (taskId: string, node: string) => CheckAnswer;
  checkMs = 1;
  /** Drops a message when it returns true. */
  dropMessage: (from: string, to: string, message: PeerMessage) => boolean = () => false;
  /** How long a message travels; messages of one link and direction keep their order. */
  latencyMs: (from: string, to: string, message: PeerMessage) => number = () => LATENCY_MS;
  /** How long a link that one side let go of still delivers what is on its way. */
  closeMs = LATENCY_MS;
  /** Links that cannot exist: a partition between nodes that both sides survive. */
  isSplit: (a: string, b: string) => boolean = () => false;
  /** Who may win the next election; the others come too late. */
  mayLead: (node: string) => boolean = () => true;
  /** How the next election write ends; "unknown-applied" answers unknown although it was applied. */
  electionOutcome: () => "normal" | "unknown-applied" = () => "normal";
  /** The coordinator has lost its quorum: it answers nobody, and no session ends. */
  coordinatorDown = false;
  /** The first offset that the log still has, of all partitions. */
  logStart = 0;
  /** Of the log's partitions: lower than before means that the log was cut. */
  leaderEpoch = 0;
  /** A broker that takes commits from whoever sends them, as real ones do for a partition that has moved. */
  takesStaleCommits = false;
  /** When the group notices that a member is gone. */
  groupSessionMs = SESSION_MS;
  /** How the next commits end; default committed. */
  commitOutcome: (node: string) => "committed" | "refused" | "unknown" | "lost" | "fatal" = () => "committed";
  messages = 0;
  acknowledgeSetAside = true;
  suspectEverybody = false;

  readonly #timers = new Heap<Timer>(isBefore);
  #order = 0;
  #connection = 1;
  readonly #links = new Map<number, SimulatedLink>();
  #leader: { node: CellNode; epoch: number } | null = null;
  epoch = 0;
  inSync: { incarnations: readonly Incarnation[]; evicted?: readonly Incarnation[]; version: number } = {
    incarnations: [],
    version: 1,
  };
  watermarks = { clean: true, written: false, partitions: [] as { pid: number; from: number; watermark: number }[] };
  #seed = 1;
  #boots = 0;
  readonly #deliveredTo = new Map<string, number>();

  constructor(options: CellOptions = {}) {
    this.options = options;
    const partitions = options.partitions ?? 1;
    this.log = Array.from({ length: partitions }, () => []);
    this.committed = Array.from({ length: partitions }, () => null);
    this.metadata = Array.from({ length: partitions }, () => "");
    this.assignment = Array.from({ length: partitions }, () => null);
    this.handler = () => ({ ms: options.handlerMs ?? 5, outcome: "success" });
    this.check = (taskId) => (this.effects(taskId) > 0 ? "executed" : "not-executed");
    for (const name of options.nodes ?? ["a", "b", "c"]) this.start(name);
  }

  random = (): number => {
    this.#seed = (Math.imul(this.#seed, 1_103_515_245) + 12_345) >>> 0;
    return (this.#seed >>> 8) / 2 ** 24;
  };

  settings(name: string): CoreSettings {
    const { settings, topic } = this.options;
    return {
      clusterUuid: "cell",
      dedupEpoch: 1,
      nodeId: name,
      bootId: `boot${++this.#boots}`,
      topics: [
        {
          name: "tasks",
          generation: 1,
          partitions: this.options.partitions ?? 1,
          onUnknown: this.options.onUnknown ?? "park",
          hasCheck: this.options.hasCheck ?? true,
          effectSettleMs: 2_000,
          attemptsMax: 3,
          retryBackoffMs: 100,
          retryBackoffMaxMs: 5_000,
          ...topic,
        },
      ],
      startAt: "earliest",
      minInSync: 2,
      heartbeatMs: 500,
      leaseMs: 3_000,
      isolationGraceMs: 12_000,
      quarantineMarginMs: 1_000,
      inSyncEvictionMs: 3_000,
      checkQuorumMs: 6_000,
      isolateAfterMs: 15_000,
      uncleanStartAfterMs: 16_000,
      syncMaxMs: 1_500,
      electionBackoffMs: 200,
      watermarkPersistMs: 10_000,
      drainTimeoutMs: 30_000,
      concurrency: 100,
      checkConcurrency: 16,
      checkAttemptsMax: 3,
      checkBackoffMs: 200,
      unknownMax: 3,
      claimBatchMax: 2_048,
      reportsInFlightMax: 4,
      batchDelayMs: 2,
      commitIntervalMs: 100,
      uncommittedSpanMax: 20_000,
      tableSlotsMax: 200_000,
      doubtfulMax: 10_000,
      doubtPageMax: 1_024,
      doubtIntervalMs: 250,
      deltaLogMax: 1_000,
      filter: { generations: 4, capacityPerGeneration: 10_000, falsePositiveRate: 1e-3, seed: 7 },
      ...settings,
    };
  }

  // --- controls

  start(name: string): CellNode {
    const core = new NodeCore(this.settings(name), this.random, this.now);
    const node = new CellNode(name, core);
    node.contactAt = this.now;
    this.nodes.set(name, node);
    this.#tick(node);
    this.#event(node, { type: "session", state: "connected" });
    this.#coordinatorContact(node);
    this.#membersChanged();
    this.#event(node, { type: "leader", leader: this.#leaderInfo() });
    return node;
  }

  node(name: string): CellNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** kill -9. `effect`: whether the effects of its running handlers had happened. */
  crash(name: string, options: { effect?: boolean } = {}): void {
    const node = this.node(name);
    node.alive = false;
    for (const run of this.runs) {
      if (run.node !== name || run.endedAt !== Infinity) continue;
      run.endedAt = this.now;
      run.outcome = "died";
      run.effect = options.effect ?? false;
    }
    this.#closeLinks(node);
    const gone = node.incarnation;
    this.after(SESSION_MS, () => this.#sessionOver(gone));
    this.after(this.groupSessionMs, () => {
      if (this.node(name) === node) this.rebalanceWithout(name);
      else this.rebalance(); // started again meanwhile: the group loses the old member only
    });
  }

  /** The other nodes see that the process is gone (same kernel). */
  proveDeath(name: string): void {
    const { incarnation } = this.node(name);
    for (const node of this.nodes.values()) if (node.alive) this.#event(node, { type: "death-proven", incarnation });
  }

  pause(name: string): void {
    const node = this.node(name);
    node.paused = true;
    const pausedAt = this.now;
    this.after(SESSION_MS, () => {
      if (node.paused && node.contactAt <= pausedAt && !this.coordinatorDown) this.#sessionOver(node.incarnation);
    });
  }

  resume(name: string): void {
    const node = this.node(name);
    node.paused = false;
    const events = node.queue.splice(0);
    for (const event of events) this.#event(node, event);
  }

  /** Cuts a node from its peers, the coordinator and the group. */
  cut(name: string): void {
    const node = this.node(name);
    node.cut = true;
    const since = this.now;
    this.#closeLinks(node);
    this.after(SESSION_MS, () => {
      if (!node.cut || node.contactAt > since) return;
      this.#sessionOver(node.incarnation);
      this.#event(node, { type: "session", state: "suspended" });
    });
    this.after(this.groupSessionMs, () => {
      if (node.cut) this.rebalanceWithout(name);
    });
  }

  /** The coordinator cannot be reached from this node; peers and the task log can. */
  cutCoordinator(name: string): void {
    const node = this.node(name);
    node.cutFromCoordinator = true;
    const since = this.now;
    this.after(SESSION_MS, () => {
      if (node.cutFromCoordinator && node.alive && node.contactAt <= since) this.#sessionOver(node.incarnation);
    });
  }

  healCoordinator(name: string): void {
    const node = this.node(name);
    node.cutFromCoordinator = false;
    this.#coordinatorContact(node);
  }

  /** The coordinator ends a node's session at once; the node hears of it and begins a new one. */
  expireSession(name: string): void {
    const node = this.node(name);
    this.#sessionOver(node.incarnation);
    this.#coordinatorContact(node);
  }

  /** One event of the shell that the simulated parts do not bring about by themselves ("drain", "clock-jump"). */
  tell(name: string, event: CoreEvent): void {
    this.#event(this.node(name), event);
  }

  /** Every link of a node breaks at once; it may dial again. */
  dropLinks(name: string): void {
    this.#closeLinks(this.node(name));
  }

  heal(name: string): void {
    const node = this.node(name);
    node.cut = false;
    this.#expired.delete(node.incarnation);
    this.#event(node, { type: "session", state: "lost" });
    this.#event(node, { type: "session", state: "connected" });
    this.#coordinatorContact(node);
    this.#membersChanged();
    this.#event(node, { type: "leader", leader: this.#leaderInfo() });
    if (node.inGroup) this.rebalance();
  }

  /** SIGTERM. */
  drainNode(name: string): void {
    this.#event(this.node(name), { type: "drain" });
  }

  leaderName(): string | null {
    return this.#leader?.node.name ?? null;
  }

  /** Which node leads and votes now. */
  activeLeader(): CellNode | null {
    for (const node of this.nodes.values())
      if (node.alive && !node.paused && node.core.leader?.state.active === true) return node;
    return null;
  }

  produce(partition: number, id: string | null = null, payload = 1): number {
    this.log[partition]!.push({ id, payload, isGap: false });
    return this.log[partition]!.length - 1;
  }

  produceGap(partition: number, count: number): void {
    for (let i = 0; i < count; i++) this.log[partition]!.push({ id: null, payload: 0, isGap: true });
  }

  produceMany(partition: number, count: number): void {
    for (let i = 0; i < count; i++) this.produce(partition);
  }

  /** Gives a partition to a node by an ordinary rebalance: eager, so every member rejoins. */
  move(partition: number, to: string): void {
    this.assignment[partition] = to;
    this.rebalance(true);
  }

  rebalanceWithout(name: string): void {
    const node = this.nodes.get(name);
    if (node !== undefined && node.inGroup) {
      node.inGroup = false;
      node.kicked = true;
      node.joinedGeneration = -1; // it joins as a stranger: what it commits until then is fenced
    }
    this.rebalance();
  }

  // --- time

  after(ms: number, run: () => void): void {
    const timer = { at: this.now + ms, order: this.#order++, run };
    this.#timers.push(timer);
  }

  /** Runs until the time is over. */
  advance(ms: number): void {
    const end = this.now + ms;
    while ((this.#timers.first?.at ?? Infinity) <= end) {
      const next = this.#timers.take();
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
  }

  /** Runs until the condition holds; fails after the limit. */
  until(what: string, condition: () => boolean, limitMs = 120_000): void {
    const end = this.now + limitMs;
    while (!condition()) {
      if (this.now >= end) throw new Error(`not reached in ${limitMs} ms: ${what}\n${this.describe()}`);
      this.advance(1);
    }
  }

  /** Until every record is committed. */
  drain(limitMs = 120_000): void {
    this.until(
      "everything committed",
      () => this.log.every((records, p) => (this.committed[p] ?? 0) >= records.length),
      limitMs,
    );
  }

  describe(): string {
    const lines = [...this.nodes.values()].map((node) => {
      const status = node.core.status(this.now);
      return `${node.incarnation} alive=${node.alive} ${status.role} e${status.epoch} member=${status.member} doubtful=${status.doubtful} running=${status.running} wait="${node.core.waitingFor}" ${JSON.stringify(status.partitions)}`;
    });
    return [
      `t=${this.now} leader=${this.#leader?.node.name} inSync=${this.inSync.incarnations.join(",")} committed=${this.committed.join(",")} of ${this.log.map((l) => l.length).join(",")}`,
      ...lines,
    ].join("\n");
  }

  // --- the judge

  taskIdOf(partition: number, offset: number): string {
    return this.log[partition]![offset]!.id ?? `tasks@1:${partition}:${offset}`;
  }

  effects(taskId: string): number {
    return this.runs.filter((run) => run.taskId === taskId && run.effect).length;
  }

  runsOf(partition: number, offset: number): Run[] {
    return this.runs.filter((run) => run.partition === partition && run.offset === offset);
  }

  /** Every task that was produced: exactly one effect; nothing runs twice. Throws with the story otherwise. */
  verifyOnce(): void {
    const ids = new Set<string>();
    this.log.forEach((records, partition) =>
      records.forEach(({ isGap }, offset) => {
        if (!isGap) ids.add(this.taskIdOf(partition, offset));
      }),
    );
    for (const id of ids) {
      const effects = this.effects(id);
      if (effects !== 1)
        throw new Error(
          `task ${id} has ${effects} effects\n${this.runs
            .filter((run) => run.taskId === id)
            .map((run) => JSON.stringify(run))
            .join("\n")}\n${this.describe()}`,
        );
    }
  }

  settled(): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const node of this.nodes.values()) {
      for (const [key, value] of Object.entries(node.core.ctx.settled)) sum[key] = (sum[key] ?? 0) + value;
    }
    return sum;
  }

  // --- simulated parts

  #tick(node: CellNode): void {
    if (!node.alive) return;
    if (!node.paused) {
      this.#coordinatorContact(node);
      this.#event(node, { type: "watchdog", healthyUntil: this.now + 1_000 });
      this.#event(node, { type: "tick" });
      this.#joinAgain(node);
      this.#fetch(node);
    }
    this.after(20, () => this.#tick(node));
  }

  #coordinatorContact(node: CellNode): void {
    if (!node.alive || this.coordinatorDown || !reachesCoordinator(node)) return;
    node.contactAt = this.now;
    if (this.#expired.delete(node.incarnation)) this.#newSession(node);
    this.#event(node, { type: "coordinator-deadline", at: this.now + (2 * SESSION_MS) / 3 });
  }

  /** A process whose session is over hears of it with its next contact and begins another, as the same incarnation. */
  #newSession(node: CellNode): void {
    this.#event(node, { type: "session", state: "lost" });
    this.#event(node, { type: "session", state: "connected" });
    this.#membersChanged();
    this.#event(node, { type: "leader", leader: this.#leaderInfo() });
  }

  #event(node: CellNode, event: CoreEvent): void {
    if (!node.alive) return;
    if (node.paused) {
      node.queue.push(event);
      return;
    }
    for (const effect of node.core.step(event, this.now)) this.#effect(node, effect);
  }

  #leaderInfo(): { incarnation: Incarnation; epoch: number } | null {
    return this.#leader === null ? null : { incarnation: this.#leader.node.incarnation, epoch: this.#leader.epoch };
  }

  #toAll(event: CoreEvent): void {
    for (const node of this.nodes.values()) if (reachesCoordinator(node)) this.#event(node, event);
  }

  readonly #expired = new Set<Incarnation>();

  #membersChanged(): void {
    const members = [...this.nodes.values()]
      .filter((node) => node.alive && !this.#expired.has(node.incarnation))
      .map((node) => node.incarnation);
    this.#toAll({ type: "members", members });
  }

  #sessionOver(incarnation: Incarnation): void {
    this.#expired.add(incarnation);
    this.#membersChanged();
    if (this.#leader?.node.incarnation !== incarnation) return;
    this.#leader = null;
    this.#toAll({ type: "leader", leader: null });
  }

  #closeLinks(node: CellNode): void {
    for (const [connection, link] of this.#links) {
      if (!link.open || (link.a !== node && link.b !== node)) continue;
      link.open = false;
      this.#event(link.a, { type: "disconnected", connection });
      this.#event(link.b, { type: "disconnected", connection });
    }
  }

  #effect(node: CellNode, effect: CoreEffect): void {
    switch (effect.type) {
      case "dial":
        this.after(LATENCY_MS, () => this.#dial(node, effect.peer));
        return;
      case "send":
        this.#send(node, effect.connection, effect.to, effect.message);
        return;
      case "disconnect": {
        const link = this.#links.get(effect.connection);
        if (link === undefined || !link.open || link.closing !== null) return;
        link.closing = node;
        this.after(this.closeMs, () => {
          if (!link.open) return;
          link.open = false;
          this.#event(link.a, { type: "disconnected", connection: effect.connection });
          this.#event(link.b, { type: "disconnected", connection: effect.connection });
        });
        return;
      }
      case "compete":
        this.after(LATENCY_MS, () => this.#compete(node, effect.highestKnownEpoch));
        return;
      case "resign":
        this.after(LATENCY_MS, () => {
          if (!this.#answers(node) || this.#leader?.node !== node || this.#leader.epoch !== effect.epoch) return;
          this.#leader = null;
          this.#toAll({ type: "leader", leader: null });
        });
        return;
      case "write-in-sync":
        this.after(LATENCY_MS, () => this.#writeInSync(node, effect));
        return;
      case "read-in-sync":
        this.after(LATENCY_MS, () =>
          this.#event(node, {
            type: "in-sync-read",
            epoch: effect.epoch,
            inSync: this.#answers(node) ? this.inSync : null,
          }),
        );
        return;
      case "write-watermarks":
        this.after(LATENCY_MS, () => {
          const outcome = !this.#answers(node)
            ? ("unknown" as const)
            : effect.epoch < this.epoch
              ? ("fenced" as const)
              : ("written" as const);
          if (outcome === "written")
            this.watermarks = { clean: effect.clean, written: true, partitions: [...effect.partitions] };
          this.#event(node, { type: "watermarks-written", epoch: effect.epoch, outcome });
        });
        return;
      case "join-group":
        node.inGroup = true;
        this.after(LATENCY_MS, () => this.rebalance());
        return;
      case "leave-group":
        this.#leaveGroup(node);
        return;
      case "revoke-done":
        this.#revoked(node);
        return;
      case "positions":
        for (const partition of effect.partitions) {
          node.ownerships.set(partition.pid, {
            ownership: partition.ownership,
            position: partition.position,
            paused: partition.paused,
            generation: node.joinedGeneration,
          });
        }
        return;
      case "pause":
      case "resume": {
        const owned = node.ownerships.get(effect.pid);
        if (owned !== undefined) owned.paused = effect.type === "pause";
        return;
      }
      case "seek": {
        const owned = node.ownerships.get(effect.pid);
        if (owned !== undefined) owned.position = effect.position;
        return;
      }
      case "commit":
        this.after(2, () => this.#commit(node, effect));
        return;
      case "execute":
        this.#execute(node, effect);
        return;
      case "check":
        this.#check(node, effect);
        return;
      case "set-aside":
        this.after(2, () => {
          if (!node.alive) return;
          if (this.acknowledgeSetAside)
            this.setAside.push({
              kind: effect.kind,
              partition: effect.pid,
              offset: effect.offset,
              reason: effect.reason,
            });
          this.#event(node, {
            type: "set-aside-result",
            pid: effect.pid,
            offset: effect.offset,
            acknowledged: this.acknowledgeSetAside,
          });
        });
        return;
      case "abort-all":
        for (const run of this.runs) {
          if (run.node === node.name && run.endedAt === Infinity) this.#end(node, run, "unknown", false);
        }
        return;
      case "alarm":
        node.alarms.push(`${effect.code}: ${effect.message}`);
        return;
      case "log":
        node.logs.push(`${this.now} ${effect.message}`);
        return;
      case "stopped":
        node.stoppedReason = effect.reason;
        node.alive = false;
        this.after(LATENCY_MS, () => this.#closeLinks(node)); // what was handed to the links is flushed
        this.#sessionOver(node.incarnation);
        if (node.inGroup) this.rebalanceWithout(node.name);
        return;
      case "release-records":
      case "role":
        return;
      default:
        effect satisfies never;
    }
  }

  #dial(node: CellNode, peer: Incarnation): void {
    const other = this.nodes.get(nodeIdOf(peer));
    const blocked =
      other === undefined ||
      !other.alive ||
      other.incarnation !== peer ||
      node.cut ||
      other.cut ||
      node.cutFromPeers ||
      other.cutFromPeers ||
      this.isSplit(node.name, other.name);
    if (blocked) {
      this.#event(node, { type: "dial-failed", peer });
      return;
    }
    const connection = this.#connection++;
    this.#links.set(connection, { a: node, b: other, open: true, closing: null, lastArrivalAt: [0, 0] });
    this.#event(other, { type: "connected", connection, peer: node.incarnation, outgoing: false });
    this.#event(node, { type: "connected", connection, peer, outgoing: true });
  }

  cutPeers(name: string): void {
    const node = this.node(name);
    node.cutFromPeers = true;
    this.#closeLinks(node);
  }

  healPeers(name: string): void {
    this.node(name).cutFromPeers = false;
  }

  #send(node: CellNode, connection: number, to: Incarnation, message: PeerMessage): void {
    const link = this.#links.get(connection);
    if (link === undefined || !link.open || link.closing === node) return;
    const other = link.a === node ? link.b : link.a;
    this.messages++;
    if (this.dropMessage(node.name, other.name, message)) return;
    const direction = link.a === node ? 0 : 1;
    const at = Math.max(this.now + this.latencyMs(node.name, other.name, message), link.lastArrivalAt[direction]);
    link.lastArrivalAt[direction] = at;
    this.after(at - this.now, () => {
      if (link.open) this.#event(other, { type: "message", connection, to, message });
    });
  }

  #answers(node: CellNode): boolean {
    return !this.coordinatorDown && reachesCoordinator(node);
  }

  #compete(node: CellNode, highestKnown: number): void {
    if (!node.alive || !this.#answers(node) || this.#expired.has(node.incarnation)) {
      this.#event(node, { type: "election", outcome: "unknown" });
      return;
    }
    if ((this.#leader !== null && this.#leader.node !== node) || !this.mayLead(node.name)) {
      this.#event(node, { type: "election", outcome: "lost" });
      return;
    }
    if (this.#leader === null) {
      this.epoch = Math.max(this.epoch, highestKnown) + 1;
      this.#leader = { node, epoch: this.epoch };
      if (this.electionOutcome() === "unknown-applied") {
        this.#event(node, { type: "election", outcome: "unknown" });
        this.#toAll({ type: "leader", leader: this.#leaderInfo() });
        return;
      }
    }
    this.#event(node, {
      type: "election",
      outcome: "won",
      epoch: this.#leader.epoch,
      inSync: this.inSync,
      watermarks: this.watermarks,
    });
    this.#toAll({ type: "leader", leader: this.#leaderInfo() });
  }

  /** How the next in-sync write ends; "unknown-applied" answers unknown although it was applied. */
  inSyncOutcome: () => "normal" | "unknown-applied" | "unknown-lost" = () => "normal";

  #writeInSync(node: CellNode, effect: Extract<CoreEffect, { type: "write-in-sync" }>): void {
    const { epoch, incarnations, evicted, version } = effect;
    const how = this.inSyncOutcome();
    if (!this.#answers(node) || how === "unknown-lost") {
      this.#event(node, { type: "in-sync-written", epoch, outcome: "unknown", version: 0 });
    } else if (epoch < this.epoch) {
      this.#event(node, { type: "in-sync-written", epoch, outcome: "fenced", version: 0 });
    } else if (version !== this.inSync.version) {
      this.#event(node, { type: "in-sync-written", epoch, outcome: "conflict", version: 0 });
    } else {
      this.inSync = { incarnations, evicted, version: version + 1 };
      if (how === "unknown-applied")
        this.#event(node, { type: "in-sync-written", epoch, outcome: "unknown", version: 0 });
      else this.#event(node, { type: "in-sync-written", epoch, outcome: "written", version: version + 1 });
    }
  }

  // --- the task log

  /** A rebalance: every member runs its barrier, then partitions are dealt (sticky unless told otherwise). */
  rebalance(keepAssignment = false): void {
    const members = [...this.nodes.values()].filter((node) => node.alive && node.inGroup && !node.cut);
    this.groupGeneration++;
    const generation = this.groupGeneration;
    if (!keepAssignment) this.#deal(members.map((node) => node.name));
    this.#joining.clear();
    const told = members.filter((node) => !node.deaf);
    for (const node of told) this.#joining.add(node.name);
    this.#joinGeneration = generation;
    for (const node of told) {
      node.ownerships.clear();
      this.#event(node, { type: "revoked" });
    }
    // A member that does not finish its barrier (paused) is thrown out of the group after its session.
    this.after(SESSION_MS, () => {
      if (this.#joinGeneration !== generation || this.#joining.size === 0) return;
      for (const name of this.#joining) {
        this.node(name).inGroup = false;
        this.node(name).kicked = true;
        this.node(name).joinedGeneration = -1;
      }
      this.#joining.clear();
      this.rebalance();
    });
  }

  #joinAgain(node: CellNode): void {
    if (!node.kicked || node.cut || node.deaf) return;
    node.kicked = false;
    if (node.core.member.state.group !== "in") return;
    node.inGroup = true;
    this.rebalance();
  }

  readonly #joining = new Set<string>();
  #joinGeneration = -1;

  #deal(names: readonly string[]): void {
    if (names.length === 0) {
      this.assignment = this.assignment.map(() => null);
      return;
    }
    const quota = Math.ceil(this.assignment.length / names.length);
    const counts = new Map<string, number>();
    this.assignment = this.assignment.map((owner) => {
      if (owner === null || !names.includes(owner) || (counts.get(owner) ?? 0) >= quota) return null;
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
      return owner;
    });
    this.assignment = this.assignment.map((owner) => {
      if (owner !== null) return owner;
      const next = [...names].sort((x, y) => (counts.get(x) ?? 0) - (counts.get(y) ?? 0))[0]!;
      counts.set(next, (counts.get(next) ?? 0) + 1);
      return next;
    });
  }

  #revoked(node: CellNode): void {
    this.#joining.delete(node.name);
    if (this.#joining.size > 0) return;
    const generation = this.#joinGeneration;
    this.after(2, () => {
      for (const member of this.nodes.values()) this.#assign(member, generation);
    });
  }

  /** The end of the join at one member; who is stopped just now takes it when it wakes, if it still counts. */
  #assign(member: CellNode, generation: number): void {
    if (generation !== this.#joinGeneration) return;
    if (!member.alive || !member.inGroup || member.cut || member.deaf) return;
    if (member.paused) {
      this.after(10, () => this.#assign(member, generation));
      return;
    }
    member.joinedGeneration = generation;
    const partitions = this.assignment.flatMap((owner, pid) =>
      owner === member.name
        ? [
            {
              pid,
              committed: this.committed[pid]!,
              metadata: this.metadata[pid]!,
              logStart: this.logStart,
              logEnd: this.log[pid]!.length,
            },
          ]
        : [],
    );
    this.#event(member, { type: "assigned", generation, partitions });
  }

  #leaveGroup(node: CellNode): void {
    if (!node.inGroup) {
      this.#event(node, { type: "group-left" });
      return;
    }
    this.#event(node, { type: "revoked" });
    this.after(5, () => {
      node.inGroup = false;
      node.ownerships.clear();
      this.#event(node, { type: "group-left" });
      this.rebalance();
    });
  }

  #fetch(node: CellNode): void {
    if (node.cut || !node.inGroup) return;
    for (const [pid, owned] of node.ownerships) {
      const records = this.log[pid]!;
      if (owned.paused || owned.position >= records.length) continue;
      const begin = owned.position;
      const end = Math.min(records.length, begin + 500);
      const offsets = Float64Array.from({ length: end - begin }, (_, i) => begin + i).filter(
        (offset) => !records[offset]!.isGap,
      );
      const count = offsets.length;
      const hashes = new Uint32Array(2 * count);
      const payloads = new Uint32Array(2 * count);
      const ids: (string | null)[] = [];
      offsets.forEach((offset, i) => {
        const record = records[offset]!;
        ids.push(record.id);
        const prefix = record.id === null ? "k:" : "t:";
        hashes.set(hashOf(prefix + this.taskIdOf(pid, offset)), 2 * i);
        payloads.set([record.payload, record.payload], 2 * i);
      });
      owned.position = end;
      this.#deliveredTo.set(`${node.name}:${pid}`, end);
      this.#event(node, {
        type: "delivered",
        batch: {
          pid,
          ownership: owned.ownership,
          fetchedFrom: begin,
          nextPosition: end,
          offsets,
          hashes,
          ids,
          payloads,
          leaderEpoch: this.leaderEpoch,
          logEnd: records.length,
        },
      });
    }
  }

  #commit(node: CellNode, effect: Extract<CoreEffect, { type: "commit" }>): void {
    if (!node.alive) return;
    const how = this.commitOutcome(node.name);
    if (how === "lost" || node.cut) {
      this.after(1_000, () =>
        this.#event(node, { type: "commit-result", number: effect.number, outcome: "unknown", reason: "timed out" }),
      );
      return;
    }
    // A member's commits count for its generation until it has joined the next one; a member thrown out commits nothing.
    const current = effect.generation === this.groupGeneration || this.#joining.has(node.name);
    const stale = !node.inGroup || effect.generation !== node.joinedGeneration || !current;
    if ((stale && !this.takesStaleCommits) || how === "refused") {
      this.#event(node, {
        type: "commit-result",
        number: effect.number,
        outcome: "refused",
        reason: "ILLEGAL_GENERATION",
      });
      return;
    }
    if (how === "fatal") {
      this.#event(node, { type: "commit-result", number: effect.number, outcome: how, reason: "not authorized" });
      return;
    }
    for (const { pid, position, metadata } of effect.commits) {
      this.committed[pid] = position;
      this.metadata[pid] = metadata;
    }
    this.#event(node, { type: "commit-result", number: effect.number, outcome: how, reason: how });
  }

  // --- execution

  #execute(node: CellNode, effect: Extract<CoreEffect, { type: "execute" }>): void {
    for (let i = 0; i < effect.offsets.length; i++) {
      const offset = effect.offsets[i]!;
      if (this.now >= effect.validUntil)
        throw new Error(`started after its lease: ${node.name} ${effect.pid}:${offset}`);
      const taskId = this.taskIdOf(effect.pid, offset);
      const overlap = this.runs.find(
        (run) => run.taskId === taskId && run.endedAt === Infinity && !this.node(run.node).paused,
      );
      const run: Run = {
        node: node.name,
        partition: effect.pid,
        offset,
        taskId,
        token: [effect.epoch, effect.stamps[i]!],
        startedAt: this.now,
        attempt: effect.attempts[i]!,
        endedAt: Infinity,
        effect: false,
        outcome: "running",
      };
      this.runs.push(run);
      if (overlap !== undefined)
        throw new Error(
          `two handlers run ${taskId}: ${JSON.stringify(overlap)} and ${JSON.stringify(run)}\n${this.describe()}`,
        );
      const { ms, outcome } = this.handler(run);
      if (outcome === "hang") continue;
      this.after(ms, () => this.#endWhenAwake(node, run, outcome));
    }
  }

  #endWhenAwake(node: CellNode, run: Run, outcome: "success" | "failure" | "unknown"): void {
    if (node.paused && node.alive) this.after(10, () => this.#endWhenAwake(node, run, outcome));
    else this.#end(node, run, outcome, outcome === "success");
  }

  /** Ends a run; a run that hangs is ended by a test this way. */
  end(run: Run, outcome: "success" | "failure" | "unknown", effect = outcome === "success"): void {
    this.#end(this.node(run.node), run, outcome, effect);
  }

  #end(node: CellNode, run: Run, outcome: "success" | "failure" | "unknown", effect: boolean): void {
    if (run.endedAt !== Infinity) return;
    run.endedAt = this.now;
    run.outcome = outcome;
    run.effect = effect;
    const code = outcome === "success" ? Outcome.success : outcome === "failure" ? Outcome.failure : Outcome.unknown;
    this.#event(node, {
      type: "results",
      pid: run.partition,
      offsets: Float64Array.of(run.offset),
      outcomes: Uint8Array.of(code),
    });
  }

  #check(node: CellNode, effect: Extract<CoreEffect, { type: "check" }>): void {
    const taskId = this.taskIdOf(effect.pid, effect.offset);
    this.checks.push({ node: node.name, partition: effect.pid, offset: effect.offset, at: this.now });
    const answer = this.check(taskId, node.name);
    this.after(this.checkMs, () =>
      this.#event(node, {
        type: "check-result",
        pid: effect.pid,
        offset: effect.offset,
        epoch: effect.epoch,
        stamp: effect.stamp,
        answer,
      }),
    );
  }
}

export { incarnationOf };
