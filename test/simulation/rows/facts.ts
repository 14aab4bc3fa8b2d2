/**
 * Longer than most files: all that the counters share enters through the two switches over events and effects.
 *
 * What all coverage counters share: who died, stopped, led and owned, what was under way, and the story of a record since a trigger.
 * Derived from steps and history as they come; where a task stands is read from the cores at the moment of a trigger only.
 */
import { State } from "../../../src/core/member/window.ts";
import type { CoreEffect } from "../../../src/core/effects.ts";
import type { CoreEvent } from "../../../src/core/events.ts";
import { partitionOf, type Incarnation, type PartitionId } from "../../../src/core/identity.ts";
import { Phase, Verdict, type PeerMessage, type VerdictsMessage } from "../../../src/core/messages.ts";
import { offsetAt } from "../../../src/core/offsets.ts";
import type { HistoryEvent, HistoryEventOf } from "../history.ts";
import type { Observer, Run, SimulatedNode, World } from "../observer.ts";
import { forget, keep, NodeFacts } from "./records.ts";
import { SignalHub } from "./signal-hub.ts";
import { Stories } from "./stories.ts";
import type { Judge, Tracker } from "./tracker.ts";

/** How often conditions are looked at, virtual ms. */
const POLL_MS = 40;
/** So many doubts at once are a flood. */
export const FLOOD = 20;

export class Facts extends SignalHub implements Observer {
  readonly world: World;
  readonly byIncarnation = new Map<Incarnation, NodeFacts>();
  readonly byProcess = new Map<number, NodeFacts>();
  /** The latest start of each node that has a core. */
  readonly byName = new Map<string, NodeFacts>();
  /** Who was elected, by epoch. */
  readonly leaders = new Map<number, NodeFacts>();
  /** Faults that last, by kind: how many of them. */
  readonly lasting = new Map<string, number>();
  /** The highest epoch with an active leader, and who leads it; null once that one is gone. */
  topEpoch = 0;
  leading: NodeFacts | null = null;
  readonly #stories: Stories;
  #nextPoll = 0;
  /** Whose step came last within this event: when it dies now, what it wanted in that step never happens. */
  #stepped: NodeFacts | null = null;
  #step = 0;

  constructor(world: World) {
    super(() => world.now);
    this.world = world;
    this.#stories = new Stories(this);
  }

  // --- for trackers

  follow(tracker: Tracker, pid: PartitionId, offset: number, judge: Judge): void {
    this.#stories.follow(tracker, partitionOf(pid), offset, judge);
  }

  /** The active leader of the highest epoch, alive, and what it knows. */
  activeLeader(): NodeFacts | null {
    const { leading } = this;
    return leading !== null && leading.alive && leading.active ? leading : null;
  }

  /** Starts of nodes that are alive, stopped ones included. */
  *living(): Generator<NodeFacts, void, undefined> {
    for (const node of this.byName.values()) if (node.alive) yield node;
  }

  /** The run of this task that is not over at this process. */
  runningAt(processId: number, taskId: string): Run | undefined {
    return this.world.runsByTask.get(taskId)?.findLast((run) => run.pid === processId && run.endedAt === Infinity);
  }

  isLasting(kind: string): boolean {
    return (this.lasting.get(kind) ?? 0) > 0;
  }

  // --- steps

  onStep(node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[]): void {
    const facts = this.#factsOf(node);
    this.#stepped = facts;
    this.#step++;
    this.#event(facts, event, effects);
    for (const effect of effects) this.#effect(facts, effect);
    this.#changes(facts);
  }

  #factsOf(node: SimulatedNode): NodeFacts {
    const known = this.byProcess.get(node.process.pid);
    if (known !== undefined) return known;
    const facts = new NodeFacts(node, node.core!, this.world.now);
    this.byProcess.set(facts.processId, facts);
    this.byIncarnation.set(facts.incarnation, facts);
    this.byName.set(facts.name, facts);
    return facts;
  }

  #event(node: NodeFacts, event: CoreEvent, effects: readonly CoreEffect[]): void {
    switch (event.type) {
      case "tick":
      case "results":
      case "watchdog":
      case "members":
      case "coordinator-deadline":
        return;
      case "message":
        this.#received(node, node.connections.get(event.connection) ?? "", event.message, effects);
        return;
      case "connected":
        node.connections.set(event.connection, event.peer);
        return;
      case "disconnected":
        this.#disconnected(node, event.connection);
        return;
      case "assigned":
      case "group-left":
        if (node.windows.size > 0) this.emit("revoked", node, node.windows);
        node.windows = new Map(node.core.member.state.windows);
        if (event.type === "assigned") this.emit("assigned", node);
        else this.emit("leftGroup", node);
        return;
      case "commit-result": {
        const { commit } = node;
        node.commit = null;
        if (event.outcome !== "committed") node.commitFailedAt = this.world.now;
        if (commit !== null) this.emit("commitResult", node, commit, event.outcome, event.reason);
        return;
      }
      default:
        this.emit("event", node, event);
    }
  }

  #disconnected(node: NodeFacts, connection: number): void {
    const peer = node.connections.get(connection);
    if (peer === undefined) return;
    node.connections.delete(connection);
    for (let i = node.flights.length - 1; i >= 0; i--) {
      if (node.flights[i]!.from !== peer) continue;
      const [flight] = node.flights.splice(i, 1);
      this.emit("verdictLost", node, flight!);
    }
  }

  #received(node: NodeFacts, from: Incarnation, message: PeerMessage, effects: readonly CoreEffect[]): void {
    switch (message.kind) {
      case "ack":
        return;
      case "report": {
        const teller = this.byIncarnation.get(from);
        if (teller === undefined) return;
        forget(teller.told, (told) => told.to === node.incarnation && told.number <= message.number);
        const { claims, doubts, finished, commits } = message;
        if (claims.length + doubts.length + finished.length + commits.length > 0)
          this.emit("report", node, teller, message);
        return;
      }
      case "verdicts":
        for (const { number } of message.batches) forget(node.flights, (flight) => flight.number === number);
        break;
      case "answer": {
        const teller = this.byIncarnation.get(from);
        if (teller === undefined) return;
        for (const said of teller.said)
          if (said.to === node.incarnation && said.number === message.number) said.taken = true;
        break;
      }
      case "welcome":
        node.leaderOf = from;
        break;
      case "partitions":
        node.windows = new Map(node.core.member.state.windows); // a window may have begun anew (R15c)
        break;
      default:
    }
    if (this.wants("received")) this.emit("received", node, from, message, effects);
  }

  #effect(node: NodeFacts, effect: CoreEffect): void {
    switch (effect.type) {
      case "send":
        this.#sent(node, effect.to, effect.message);
        return;
      case "disconnect":
        this.#disconnected(node, effect.connection);
        return;
      case "revoke-done":
        this.emit("revoked", node, node.windows);
        node.windows = new Map();
        return;
      case "commit":
        node.commit = effect;
        this.emit("commitSent", node, effect);
        return;
      case "role":
        node.role = effect.role;
        this.emit("role", node, effect.role);
        return;
      case "alarm":
        this.emit("alarm", node, effect.code, effect.pid);
        return;
      default:
    }
  }

  #sent(node: NodeFacts, to: Incarnation, message: PeerMessage): void {
    switch (message.kind) {
      case "ack":
        return;
      case "report": {
        const fact = message.finished.find((batch) => batch.phase === Phase.executed);
        const note = message.commits[0];
        const pid = fact?.pid ?? note?.pid;
        if (pid === undefined) return;
        const { epoch, number } = message;
        const committed = note?.pid === pid ? note.position : -1;
        keep(node.told, { to, epoch, number, pid, executed: fact?.offsets.base ?? -1, committed });
        return;
      }
      case "delta":
        if (message.delta.rotateTo !== 0) this.emit("sent", node, to, message);
        return;
      case "verdicts":
        node.releases++;
        this.#verdicts(node, to, message);
        return;
      case "watermarks":
      case "partitions":
        node.releases++;
        return;
      case "answer":
        for (const { pid, offset, status } of message.items) {
          const { epoch, number } = message;
          const said = { to, epoch, number, pid, offset, status, at: this.world.now, taken: false };
          keep(node.said, said);
          this.emit("said", node, said);
        }
        return;
      default:
        this.emit("sent", node, to, message);
    }
  }

  #verdicts(node: NodeFacts, to: Incarnation, { epoch, batches }: VerdictsMessage): void {
    const asker = this.byIncarnation.get(to);
    if (asker === undefined) return;
    for (const { number, pid, results } of batches) {
      const question = asker.core.member.state.claims.get(number);
      if (question === undefined) continue;
      const at = (verdict: number): number => {
        const index = results.indexOf(verdict);
        return index < 0 || index >= question.offsets.count ? -1 : offsetAt(question.offsets, index);
      };
      const from = node.incarnation;
      const granted = at(Verdict.granted);
      keep(asker.flights, { from, epoch, number, pid, granted, doubtful: at(Verdict.doubtful), step: this.#step });
    }
  }

  #changes(node: NodeFacts): void {
    const { core } = node;
    const { leader } = core;
    if (leader !== node.leader) {
      const before = node.leader;
      node.leader = leader;
      node.active = false;
      if (before !== null) this.emit("deposed", node, before);
      if (leader !== null) {
        node.lastLeader = leader;
        this.leaders.set(leader.state.epoch, node);
        this.emit("elected", node, leader);
      }
    }
    if (core.epoch !== node.epoch) {
      const before = node.epoch;
      node.epoch = core.epoch;
      this.emit("epoch", node, before);
    }
    if (leader !== null && !node.active && leader.state.active) {
      node.active = true;
      if (leader.state.epoch > this.topEpoch) {
        this.topEpoch = leader.state.epoch;
        this.leading = node;
      }
      this.emit("active", node, leader);
    }
    const { admitted, doubtCount } = core.member.state;
    if (admitted !== node.admitted) {
      node.admitted = admitted;
      if (admitted) this.emit("admitted", node);
    }
    if (doubtCount >= FLOOD && this.wants("doubtful")) this.emit("doubtful", node);
  }

  // --- history

  onHistory(event: HistoryEvent): void {
    switch (event.type) {
      case "process":
        this.#process(event);
        return;
      case "fault":
        this.#fault(event);
        return;
      case "heal":
        this.lasting.set(event.kind, Math.max(0, (this.lasting.get(event.kind) ?? 0) - 1));
        this.emit("heal", event);
        return;
      case "handler-start": {
        const { node, pid, at, epoch, stamp, attempt, run, partition, offset, taskId } = event;
        const start = { node, process: pid, at, epoch, stamp, attempt, run };
        this.#stories.started(partition, offset, start);
        this.emit("start", start, partition, offset, taskId);
        return;
      }
      case "handler-end":
        this.emit("ended", event);
        return;
      case "check-start":
        this.#stories.checked(event);
        this.emit("checkStarted", event);
        return;
      case "check-end":
        this.#stories.checkEnded(event);
        this.emit("checkEnded", event);
        return;
      case "set-aside":
        this.#stories.setAside(event);
        return;
      case "committed":
        this.emit("committed", event);
        this.#stories.committed(event);
        return;
      default:
    }
  }

  #fault(event: HistoryEventOf<"fault">): void {
    this.lasting.set(event.kind, (this.lasting.get(event.kind) ?? 0) + 1);
    this.emit("fault", event);
    if (event.kind !== "block" && event.kind !== "stop-before-handler") return;
    const node = this.byName.get(event.node);
    if (node !== undefined) this.#stopped(node, event.kind);
  }

  #process(event: HistoryEventOf<"process">): void {
    if (event.what === "started") {
      this.emit("started", event.node, event.pid);
      return;
    }
    const node = this.byProcess.get(event.pid);
    if (node === undefined) return; // it had no core yet
    if (event.what === "stopped") this.#stopped(node, "stop");
    if (event.what === "continued") this.#continued(node, "stop");
    if (event.what !== "killed" && event.what !== "exited") return;
    if (event.what === "exited" && node.core.role === "stopped") {
      node.diedAt = event.at;
      this.emit("exit", node, event.detail);
      return;
    }
    // It died in its step: what it wanted to send then is never sent.
    if (this.#stepped === node)
      for (const asker of this.byName.values())
        forget(asker.flights, (flight) => flight.step === this.#step && flight.from === node.incarnation);
    this.emit("death", node);
    node.diedAt = event.at;
  }

  #stopped(node: NodeFacts, why: "stop" | "block" | "stop-before-handler"): void {
    node.stoppedAt = this.world.now;
    node.stoppedWhy = why;
    this.emit("stop", node, why);
  }

  #continued(node: NodeFacts, why: "stop" | "block" | "stop-before-handler"): void {
    const since = node.stoppedAt;
    node.stoppedAt = Infinity;
    this.emit("continue", node, since, why);
  }

  // --- time

  afterEvent(): void {
    this.#stepped = null;
    if (this.world.now < this.#nextPoll) return;
    this.#nextPoll = this.world.now + POLL_MS;
    for (const node of this.byName.values()) {
      // Blocked, or stopped at a handler's beginning: nobody says when it goes on.
      if (node.stoppedAt !== Infinity && node.stoppedWhy !== "stop" && node.runs && node.stoppedAt < this.world.now)
        this.#continued(node, node.stoppedWhy);
    }
    this.poll();
  }

  /** The state of a task at a node, in its window or kept after a join. */
  stateAt(node: NodeFacts, pid: PartitionId, offset: number): number {
    const { state } = node.core.member;
    return state.windows.get(pid)?.stateOf(offset) || state.retained.get(pid)?.get(offset)?.state || State.absent;
  }
}
