/**
 * The time that the processes of one machine share. Monotonic clocks begin with each process, so a deadline that is
 * written into a file for other processes is in milliseconds since the machine started (`/proc/uptime`, 10 ms fine). It
 * means nothing after a restart of the machine, so it is always written together with the machine's boot id.
 *
 * Where there is no `/proc`, the wall clock is used: then a clock that is set back delays expiries by as much.
 */

import { readFileSync } from "node:fs";

export interface MachineClock {
  /** Changes with every start of the machine; "" where it is not known. */
  readonly bootId: string;
  nowMs(): number;
}

export function machineClock(): MachineClock {
  if (readFileOrNull("/proc/uptime") === null) return { bootId: "", nowMs: () => Date.now() };
  return { bootId: (readFileOrNull("/proc/sys/kernel/random/boot_id") ?? "").trim(), nowMs: uptimeMs };
}

function uptimeMs(): number {
  const text = readFileSync("/proc/uptime", "latin1");
  return Math.round(Number.parseFloat(text) * 1_000);
}

function readFileOrNull(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (error instanceof Error && "code" in error) return null; // no such file on this system
    throw error;
  }
}
