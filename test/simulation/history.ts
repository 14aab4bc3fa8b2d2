/**
 * The event log of a simulation: what an outside observer of the cell could write down. The independent checker, the time line and the
 * log's hash read only this. Times are ms of true (virtual) time; a node is named by its id, one start of it by its pid.
 */

/** Kinds of faults; the summary counts them. */
export type FaultKind =
  | "kill" // SIGKILL, the effect of running handlers happened or not
  | "power-loss" // every process of the cell at once
  | "stop" // SIGSTOP, continued later
  | "stop-before-handler" // SIGSTOP between the start check and the handler's first instruction (C7)
  | "drain" // SIGTERM
  | "cut-peers"
  | "cut-peers-one-way"
  | "split" // the peer network in two halves
  | "cut-coordinator"
  | "cut-log"
  | "cut-all"
  | "drop-links"
  | "slow-link"
  | "half-open"
  | "corrupt-link" // a byte is changed: the connection must end
  | "clock-drift"
  | "clock-jump" // the wall clock of one node, or of all
  | "block" // a handler blocks the event loop
  | "coordinator-quorum"
  | "session-expiry"
  | "lost-answers" // the coordinator applies and does not answer, or neither
  | "stale-reads"
  | "slow-watches"
  | "coordinator-wipe"
  | "move" // a rebalance that moves partitions
  | "rebalance-storm"
  | "lost-revocation"
  | "commit-trouble" // refused, unknown, lost
  | "stale-commit-accepted"
  | "fatal-commit"
  | "foreign-commit" // another client moves the group's offset
  | "offsets-lost"
  | "truncation"
  | "retention" // the log start moves up
  | "topic-recreated"
  | "slow-log"
  | "check-trouble"
  | "set-aside-trouble"
  | "slow-handlers"
  | "other" // named in `detail`
  | "parameter-mismatch"
  | "replay"; // the operator asks for all tasks again: a new dedup epoch

interface At {
  readonly at: number;
}
interface Where {
  readonly partition: number;
  readonly offset: number;
}
interface Who {
  readonly node: string;
  readonly pid: number;
}

export type HistoryEvent = At &
  (
    | ({ readonly type: "produced"; readonly taskId: string; readonly payload: number } & Where)
    | { readonly type: "fault"; readonly kind: FaultKind; readonly node: string; readonly detail: string } // node "" for none
    | { readonly type: "heal"; readonly kind: FaultKind; readonly node: string; readonly detail: string }
    | { readonly type: "quiet" } // no fault from here on: the cell must come to rest
    | ({
        readonly type: "process";
        readonly what: "started" | "killed" | "stopped" | "continued" | "exited";
        readonly detail: string;
      } & Who)
    /** The first instruction of the handler. Its grant's epoch and stamp are the fencing token. */
    | ({
        readonly type: "handler-start";
        readonly run: number; // of this simulation, from 1
        readonly taskId: string;
        readonly epoch: number;
        readonly stamp: number;
        readonly attempt: number;
      } & Where &
        Who)
    | { readonly type: "effect"; readonly run: number; readonly taskId: string } // it happened, once, in the world
    | {
        readonly type: "handler-end";
        readonly run: number;
        readonly outcome: "success" | "failure" | "hang-ended" | "died";
      }
    | ({ readonly type: "check-start"; readonly check: number; readonly taskId: string } & Where & Who)
    | {
        readonly type: "check-end";
        readonly check: number;
        readonly answer: "executed" | "not-executed" | "unknown" | "threw";
        readonly truth: boolean; // whether an effect of the task had happened at that moment
      }
    | ({
        readonly type: "set-aside";
        readonly kind: "dead" | "parked";
        readonly reason: string;
        readonly taskId: string;
      } & Where &
        Who)
    /** What the group's coordinator stored; node "" for a foreign client. */
    | {
        readonly type: "committed";
        readonly node: string;
        readonly partition: number;
        readonly position: number;
        readonly before: number | null;
      }
    | ({ readonly type: "alarm"; readonly code: string; readonly message: string; readonly partition: number } & Who)
    | ({ readonly type: "role"; readonly role: string; readonly epoch: number } & Who)
    | ({ readonly type: "leads"; readonly epoch: number } & Who) // an active leader: it votes from here on
    | ({ readonly type: "note"; readonly message: string } & Who) // a line of the node's own log
    | { readonly type: "violation"; readonly invariant: string; readonly message: string }
  );

export type HistoryEventOf<T extends HistoryEvent["type"]> = Extract<HistoryEvent, { type: T }>;

/** A violated invariant: the run ends with it. */
export class Violation extends Error {
  readonly invariant: string; // "I1".."I25", "V1".."V5", "X1".."X4", "H1".. of the history checker, "crash"
  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.name = "Violation";
    this.invariant = invariant;
  }
}

export class History {
  readonly events: HistoryEvent[] = [];
  readonly #listeners: ((event: HistoryEvent) => void)[] = [];

  add(event: HistoryEvent): void {
    this.events.push(event);
    for (const listener of this.#listeners) listener(event);
  }

  onEvent(listener: (event: HistoryEvent) => void): void {
    this.#listeners.push(listener);
  }

  /** 16 hex digits over every event, in order (X4). */
  hash(): string {
    let hash = 0n;
    for (const event of this.events) hash = BigInt(Bun.hash.xxHash64(JSON.stringify(event), hash));
    return hash.toString(16).padStart(16, "0");
  }
}
