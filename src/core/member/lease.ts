/**
 * A node's right to start handlers without asking again (R9, R17). The leader gives it as time: every acknowledgement
 * names one report, and the lease runs from when that report was handed over. A renewal that arrives after the lease
 * ended begins a new lease number, so that a process that slept cannot find its old grants startable.
 */
export class Lease {
  number = 0;
  /** Absolute, on this process's clock; 0 when this epoch gave none yet. */
  until = 0;
  /** The latest end of any lease ever: isolation is counted from it, whatever the epoch. */
  lastUntil: number;
  /** Set when the clocks disagreed: over until a report sent after that look is answered. */
  #notBeforeSent = -1;
  readonly #inFlight = new Map<number, number>(); // by number, ascending
  #skipped = false;

  constructor(now: number) {
    this.lastUntil = now;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  valid(now: number): boolean {
    return now < this.until;
  }

  remaining(now: number): number {
    return Math.max(0, this.until - now);
  }

  /** Before the report is handed to the socket. */
  sent(report: number, now: number): void {
    this.#inFlight.set(report, now);
  }

  /**
   * Returns "renewed", "new" (a new lease number began: unstarted grants are void, R10) or "ignored" (not a report of
   * this connection and epoch, or one from before a clock jump).
   */
  acknowledged(report: number, leaseMs: number, now: number): "renewed" | "new" | "ignored" {
    const sentAt = this.#inFlight.get(report);
    if (sentAt === undefined) return "ignored";
    for (const number of this.#inFlight.keys()) {
      if (number > report) break;
      this.#inFlight.delete(number);
      if (number < report) this.#skipped = true;
    }
    if (sentAt <= this.#notBeforeSent) return "ignored";
    const until = sentAt + leaseMs;
    if (until <= now) return "ignored";
    const was = this.valid(now);
    this.until = Math.max(this.until, until);
    this.lastUntil = Math.max(this.lastUntil, this.until);
    if (was) return "renewed";
    this.number++;
    return "new";
  }

  /**
   * Whether reports were passed over since the last call: the link is in order, so what was not acknowledged before a later
   * one never will be. Its leader took nothing from it (R17: its own time was over).
   */
  takeSkipped(): boolean {
    const skipped = this.#skipped;
    this.#skipped = false;
    return skipped;
  }

  /** A new connection: acknowledgements of the old one's reports are void; what was given stays given. */
  forgetReports(): void {
    this.#inFlight.clear();
  }

  /** A higher epoch: nothing that the old leader gave may start anything. */
  end(): void {
    this.until = 0;
    this.#inFlight.clear();
  }

  clockJumped(now: number): void {
    this.until = 0;
    this.#notBeforeSent = now;
  }
}
