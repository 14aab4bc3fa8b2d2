/**
 * Milliseconds since this machine started: one time line for all processes of the machine, which no step of the wall clock
 * moves and which goes on while the machine is suspended. A process's own monotonic clock starts with the process, and
 * may stand still during a suspend.
 *
 * Exact to about 10 ms (the resolution of `/proc/uptime`); never goes backwards. Not for processes whose `/proc/uptime` is
 * made up for their container (lxcfs): those do not share a time line.
 */
import { readFileSync } from "node:fs";
import { uptime } from "node:os";

/** How long the offset between the two clocks is believed: a suspend is noticed at most this much later. */
const OFFSET_AGE_MAX_MS = 50;

function readUptimeMs(): number {
  let text: string;
  try {
    text = readFileSync("/proc/uptime", "latin1");
  } catch {
    return uptime() * 1_000; // not Linux: the same quantity from the operating system's call
  }
  const seconds = Number.parseFloat(text);
  return Number.isFinite(seconds) ? seconds * 1_000 : uptime() * 1_000;
}

export class BootClock {
  #offsetMs = Number.NEGATIVE_INFINITY;
  #offsetReadAtMs = Number.NEGATIVE_INFINITY;

  /** Milliseconds since the machine started: the monotonic clock plus the offset last seen. Usually no system call. */
  nowMs(): number {
    if (performance.now() - this.#offsetReadAtMs >= OFFSET_AGE_MAX_MS) {
      const uptimeMs = readUptimeMs();
      // Read after it: whatever delay lies between the two makes the offset too small, never too large (a clock that ran ahead
      // would take other nodes' sessions from them). So of several offsets the largest is the best.
      this.#offsetReadAtMs = performance.now();
      this.#offsetMs = Math.max(this.#offsetMs, uptimeMs - this.#offsetReadAtMs);
    }
    return performance.now() + this.#offsetMs;
  }
}

/** Names the time line: times that were written before a reboot mean nothing after it. "" when unknown. */
export function bootClockId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return ""; // not Linux
  }
}
