/**
 * Decides what becomes of a ZooKeeper session: which server to try, when a server counts as silent, when to give the session
 * up. Pure: events and the time go in, actions come out; it opens no socket, reads no clock and sets no timer (the caller
 * asks `wakeAtMs`). Randomness is a function given by the caller.
 *
 * Guarantees
 * - Z1: a server that leaves a probe unanswered for a third of the session is left for the next one. A probe goes out every
 *   sixth, and answers come in the order of the requests: so no request waits longer than half a session for its outcome.
 * - Z2: one deadline covers the TCP connection and the handshake.
 * - Z3: at (send time of the last answered request) + 2/3 of the session the session is given up, "lost", whatever the
 *   connection looks like; it is never taken up again.
 * - Z6: a handshake that answers with another session id than asked for is the loss of the old session.
 * - Z11: after a round of failures it waits, longer each time, with jitter.
 * - Events of a connection that is not the current one change nothing.
 *
 * Slightly over 300 lines, because events, actions and phases are read together with the decisions or not at all.
 */

export interface SessionTicket {
  readonly id: string; // 16 hex digits
  readonly password: string; // 32 hex digits
  readonly timeoutMs: number; // as negotiated
}

export type SupervisorEvent =
  | { readonly type: "open" }
  | { readonly type: "time" } // the moment of `wakeAtMs`, or any other
  | { readonly type: "handshake"; readonly connection: number; readonly ticket: SessionTicket }
  | { readonly type: "expired"; readonly connection: number } // the server does not know the session
  | { readonly type: "answered"; readonly connection: number; readonly sentAtMs: number }
  | { readonly type: "ended"; readonly connection: number; readonly reason: string }
  | { readonly type: "close" };

export type SupervisorAction =
  | {
      readonly type: "connect";
      readonly connection: number;
      readonly server: number;
      readonly resume: SessionTicket | null;
    }
  | { readonly type: "dispose"; readonly connection: number }
  | { readonly type: "end-session"; readonly connection: number }
  | { readonly type: "probe"; readonly connection: number }
  | {
      readonly type: "connected";
      readonly connection: number;
      readonly ticket: SessionTicket;
      readonly resumed: boolean;
    }
  | { readonly type: "suspended" }
  | { readonly type: "lost" }
  | { readonly type: "failed"; readonly server: number; readonly attempt: number; readonly reason: string };

export interface SupervisorOptions {
  readonly serverCount: number;
  readonly sessionMs: number; // to ask for
  readonly random: () => number; // in [0, 1)
}

const CONNECT_MIN_MS = 200;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 2_000;
const BACKOFF_DOUBLINGS_MAX = 10;

/**
 * - `idle`: before "open" and after "close"; nothing happens any more after the second.
 * - `waiting`: no connection; the next one is opened at `untilMs`.
 * - `connecting`: from the opening of the socket until the handshake is answered, or `untilMs`.
 * - `live`: the handshake was answered. `probeSentAtMs` is the oldest unanswered probe's, null when there is none.
 */
type Phase =
  | { readonly name: "idle" }
  | { readonly name: "waiting"; readonly untilMs: number }
  | {
      readonly name: "connecting";
      readonly connection: number;
      readonly server: number;
      readonly startedAtMs: number;
      readonly untilMs: number;
    }
  | {
      readonly name: "live";
      readonly connection: number;
      readonly server: number;
      nextProbeAtMs: number;
      probeSentAtMs: number | null;
      graceUntilMs: number;
    };

interface Session {
  ticket: SessionTicket;
  answeredSentAtMs: number; // send time of the last answered request
}

/** Z3. The last third is the margin between our giving up and the server's. */
function trustedUntilMs(session: Session): number {
  return session.answeredSentAtMs + (session.ticket.timeoutMs * 2) / 3;
}

export class SessionSupervisor {
  readonly #options: SupervisorOptions;
  #phase: Phase = { name: "idle" };
  #session: Session | null = null;
  #connections = 0;
  #nextServer: number;
  #failures = 0; // since the last answer: a server may take a connection and drop it again
  #closed = false;
  #lastStepMs = Number.NEGATIVE_INFINITY;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#nextServer = Math.floor(options.random() * options.serverCount);
  }

  /** When to send a "time" event at the latest; Infinity when nothing is due. */
  get wakeAtMs(): number {
    const deadlineMs = this.#session === null ? Number.POSITIVE_INFINITY : this.deadlineMs;
    const phase = this.#phase;
    switch (phase.name) {
      case "idle":
        return Number.POSITIVE_INFINITY;
      case "waiting":
      case "connecting":
        return Math.min(deadlineMs, phase.untilMs);
      case "live":
        return Math.min(deadlineMs, phase.nextProbeAtMs, this.#probeOverdueAtMs(phase));
      default:
        return phase satisfies never;
    }
  }

  /** Until when the session may be relied upon; -Infinity without one. */
  get deadlineMs(): number {
    return this.#session === null ? Number.NEGATIVE_INFINITY : trustedUntilMs(this.#session);
  }

  get ticket(): SessionTicket | null {
    return this.#session?.ticket ?? null;
  }

  step(event: SupervisorEvent, nowMs: number): SupervisorAction[] {
    const actions: SupervisorAction[] = [];
    if (this.#closed) return actions;
    // The deadline first: a process that slept must not take an old answer for a sign that all is well.
    this.#giveUpAtDeadline(nowMs, actions);
    switch (event.type) {
      case "open":
        if (this.#phase.name === "idle") this.#connect(nowMs, actions);
        break;
      case "time":
        this.#onTime(nowMs, actions);
        break;
      case "handshake":
        this.#onHandshake(event.connection, event.ticket, nowMs, actions);
        break;
      case "expired":
        if (this.#isCurrent(event.connection)) {
          this.#lose(actions);
          this.#leave(actions);
          this.#connect(nowMs, actions);
        }
        break;
      case "answered":
        this.#onAnswered(event.connection, event.sentAtMs);
        break;
      case "ended":
        if (this.#isCurrent(event.connection)) this.#fail(event.reason, nowMs, actions);
        break;
      case "close":
        this.#close(actions);
        break;
      default:
        return event satisfies never;
    }
    this.#lastStepMs = nowMs;
    return actions;
  }

  #isCurrent(connection: number): boolean {
    const phase = this.#phase;
    return (phase.name === "connecting" || phase.name === "live") && phase.connection === connection;
  }

  #timeoutMs(): number {
    return this.#session?.ticket.timeoutMs ?? this.#options.sessionMs;
  }

  #probeOverdueAtMs(phase: { probeSentAtMs: number | null; graceUntilMs: number }): number {
    if (phase.probeSentAtMs === null) return Number.POSITIVE_INFINITY;
    return Math.max(phase.probeSentAtMs + this.#timeoutMs() / 3, phase.graceUntilMs);
  }

  #giveUpAtDeadline(nowMs: number, actions: SupervisorAction[]): void {
    if (this.#session === null || nowMs < this.deadlineMs) return;
    this.#lose(actions);
    // Its connection goes too: what is still under way on it belongs to the lost session.
    this.#leave(actions);
    this.#connect(nowMs, actions);
  }

  #onTime(nowMs: number, actions: SupervisorAction[]): void {
    const phase = this.#phase;
    switch (phase.name) {
      case "idle":
        return;
      case "waiting":
        if (nowMs >= phase.untilMs) this.#connect(nowMs, actions);
        return;
      case "connecting":
        if (nowMs >= phase.untilMs) this.#fail("it does not answer the handshake", nowMs, actions);
        return;
      case "live": {
        // Late ourselves (a blocked event loop): the answer may lie unread in the socket, so look at that first.
        const stepEveryMs = this.#timeoutMs() / 6;
        if (nowMs - this.#lastStepMs > 1.5 * stepEveryMs) phase.graceUntilMs = nowMs + stepEveryMs / 2;
        if (nowMs >= this.#probeOverdueAtMs(phase)) {
          this.#fail("it fell silent", nowMs, actions);
          return;
        }
        if (nowMs < phase.nextProbeAtMs) return;
        phase.nextProbeAtMs = nowMs + stepEveryMs;
        phase.probeSentAtMs ??= nowMs;
        actions.push({ type: "probe", connection: phase.connection });
        return;
      }
      default:
        return phase satisfies never;
    }
  }

  #onHandshake(connection: number, ticket: SessionTicket, nowMs: number, actions: SupervisorAction[]): void {
    const phase = this.#phase;
    if (phase.name !== "connecting" || phase.connection !== connection) return;
    // Sent after the socket was opened, so this is early rather than late.
    const session: Session = { ticket, answeredSentAtMs: phase.startedAtMs };
    if (nowMs >= trustedUntilMs(session)) {
      this.#fail("its handshake came too late to rely on", nowMs, actions); // we slept meanwhile
      return;
    }
    const resumed = this.#session?.ticket.id === ticket.id;
    if (!resumed) this.#lose(actions);
    this.#session = session;
    this.#phase = {
      name: "live",
      connection,
      server: phase.server,
      nextProbeAtMs: nowMs,
      probeSentAtMs: null,
      graceUntilMs: Number.NEGATIVE_INFINITY,
    };
    actions.push({ type: "connected", connection, ticket, resumed });
  }

  #onAnswered(connection: number, sentAtMs: number): void {
    const phase = this.#phase;
    if (phase.name !== "live" || phase.connection !== connection || this.#session === null) return;
    this.#failures = 0;
    this.#session.answeredSentAtMs = Math.max(this.#session.answeredSentAtMs, sentAtMs);
    // Answers come in the order of the requests.
    if (phase.probeSentAtMs !== null && sentAtMs >= phase.probeSentAtMs) phase.probeSentAtMs = null;
  }

  /** The current connection is of no use: the next server, at once or after a back-off. */
  #fail(reason: string, nowMs: number, actions: SupervisorAction[]): void {
    const phase = this.#phase;
    if (phase.name !== "connecting" && phase.name !== "live") return;
    this.#failures += 1;
    actions.push({ type: "failed", server: phase.server, attempt: this.#failures, reason });
    this.#leave(actions);
    const { serverCount } = this.#options;
    const rounds = Math.floor(this.#failures / serverCount);
    if (rounds === 0 || (phase.name === "live" && this.#failures <= serverCount)) {
      this.#connect(nowMs, actions);
      return;
    }
    const doubled = BACKOFF_FIRST_MS * 2 ** Math.min(rounds - 1, BACKOFF_DOUBLINGS_MAX);
    // While a session waits to be taken up again, its time is dearer than the servers' peace.
    const maxMs = this.#session === null ? BACKOFF_MAX_MS : this.#timeoutMs() / 12;
    const untilMs = nowMs + Math.min(doubled, maxMs) * (0.5 + this.#options.random() / 2);
    this.#phase = { name: "waiting", untilMs };
  }

  #connect(nowMs: number, actions: SupervisorAction[]): void {
    const server = this.#nextServer % this.#options.serverCount;
    this.#nextServer = server + 1;
    this.#connections += 1;
    const connection = this.#connections;
    const untilMs = nowMs + Math.max(CONNECT_MIN_MS, this.#timeoutMs() / 6);
    this.#phase = { name: "connecting", connection, server, startedAtMs: nowMs, untilMs };
    actions.push({ type: "connect", connection, server, resume: this.ticket });
  }

  /** Drops the current connection, if there is one. */
  #leave(actions: SupervisorAction[]): void {
    const phase = this.#phase;
    if (phase.name !== "connecting" && phase.name !== "live") return;
    actions.push({ type: "dispose", connection: phase.connection });
    if (phase.name === "live" && this.#session !== null) actions.push({ type: "suspended" });
    this.#phase = { name: "waiting", untilMs: Number.POSITIVE_INFINITY };
  }

  #lose(actions: SupervisorAction[]): void {
    if (this.#session === null) return;
    this.#session = null;
    actions.push({ type: "lost" });
  }

  #close(actions: SupervisorAction[]): void {
    const phase = this.#phase;
    if (phase.name === "live") actions.push({ type: "end-session", connection: phase.connection });
    if (phase.name === "connecting") actions.push({ type: "dispose", connection: phase.connection });
    this.#phase = { name: "idle" };
    this.#session = null;
    this.#closed = true;
  }
}
