/** What the facts tell the counters: the few moments at which a row may begin. */
import type { AlarmCode, CoreEffect, Role } from "../../../src/core/effects.ts";
import type { CoreEvent } from "../../../src/core/events.ts";
import type { Incarnation, PartitionId } from "../../../src/core/identity.ts";
import type { Leader } from "../../../src/core/leader/leader.ts";
import type { PartitionWindow } from "../../../src/core/member/window.ts";
import type { PeerMessage, ReportMessage } from "../../../src/core/messages.ts";
import type { HistoryEventOf } from "../history.ts";
import type { CommitEffect, Flight, NodeFacts, Said } from "./records.ts";
import type { Start } from "./tracker.ts";

export interface Signals {
  /** Killed, or ended by its watchdog. Its core is as it was. */
  death: (victim: NodeFacts) => void;
  /** Came to its own end. */
  exit: (node: NodeFacts, detail: string) => void;
  started: (name: string, processId: number) => void;
  /** Stopped, or its loop blocked; and going on again. */
  stop: (node: NodeFacts, why: "stop" | "block" | "stop-before-handler") => void;
  continue: (node: NodeFacts, stoppedAt: number, why: "stop" | "block" | "stop-before-handler") => void;
  fault: (event: HistoryEventOf<"fault">) => void;
  heal: (event: HistoryEventOf<"heal">) => void;
  /** It accepted a higher epoch. */
  epoch: (node: NodeFacts, before: number) => void;
  elected: (node: NodeFacts, leader: Leader) => void;
  active: (node: NodeFacts, leader: Leader) => void;
  deposed: (node: NodeFacts, leader: Leader) => void;
  admitted: (node: NodeFacts) => void;
  role: (node: NodeFacts, role: Role) => void;
  alarm: (node: NodeFacts, code: AlarmCode, pid: PartitionId) => void;
  /** A join takes its partitions; the windows are as they were. */
  revoked: (node: NodeFacts, windows: ReadonlyMap<PartitionId, PartitionWindow>) => void;
  assigned: (node: NodeFacts) => void;
  leftGroup: (node: NodeFacts) => void;
  commitSent: (node: NodeFacts, commit: CommitEffect) => void;
  commitResult: (node: NodeFacts, commit: CommitEffect, outcome: string, reason: string) => void;
  /** A leader (or who is taken for one) gets a report. Before this, what the core decided in that step is in the effects. */
  report: (node: NodeFacts, from: NodeFacts, report: ReportMessage) => void;
  /** Every other message that came in, but for acknowledgements. */
  received: (node: NodeFacts, from: Incarnation, message: PeerMessage, effects: readonly CoreEffect[]) => void;
  /** Messages that are not the everyday ones: state chunks, refusals, welcomes, questions, answers, deltas with a new filter generation. */
  sent: (node: NodeFacts, to: Incarnation, message: PeerMessage) => void;
  /** The link broke while a verdict was on it. */
  verdictLost: (node: NodeFacts, flight: Flight) => void;
  said: (node: NodeFacts, said: Said) => void;
  /** Events of a core that are rare: elections, clock jumps, drains, deliveries and checks' answers. */
  event: (node: NodeFacts, event: CoreEvent) => void;
  start: (start: Start, partition: number, offset: number, taskId: string) => void;
  ended: (event: HistoryEventOf<"handler-end">) => void;
  checkEnded: (event: HistoryEventOf<"check-end">) => void;
  checkStarted: (event: HistoryEventOf<"check-start">) => void;
  committed: (event: HistoryEventOf<"committed">) => void;
  doubtful: (node: NodeFacts) => void; // it holds many doubts at once
}

export type SignalName = keyof Signals;
