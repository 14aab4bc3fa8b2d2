/** The main thread's side of the watchdog (R12). (Signature first; the body follows.) */
export interface WatchdogApi extends AsyncDisposable {
  /** Milliseconds until no handler of this node may run any more (lease + grace); Infinity while nothing is guarded. Call it at each tick. */
  lease(remainingMs: number): void;
  work(running: number, remainingMs: number): void;
  healthyUntil(): number;
}
