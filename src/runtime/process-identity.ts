/** Who a process is, so that another one in the same kernel and pid name space can tell whether it still lives (R12 a). */
import { readFileSync, readlinkSync } from "node:fs";
import type { ProcessIdentity } from "../coordinator/coordinator.ts";

/** What `/proc/<pid>/stat` says; null: there is no such process; "unreadable": it cannot be told. */
export type ProcessState = { readonly startTime: string; readonly zombie: boolean } | null | "unreadable";

/** Fields after the command, which is in parentheses and may itself hold spaces and parentheses. */
const STATE_FIELD = 0;
const START_TIME_FIELD = 19;

export function parseStat(text: string): ProcessState {
  const fields = text
    .slice(text.lastIndexOf(")") + 1)
    .trim()
    .split(" ");
  const state = fields[STATE_FIELD];
  const startTime = fields[START_TIME_FIELD];
  if (state === undefined || startTime === undefined || !/^\d+$/.test(startTime)) return "unreadable";
  return { startTime, zombie: state === "Z" || state === "X" || state === "x" };
}

export function readProcess(pid: number): ProcessState {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch (error) {
    // ENOENT: no such process; ESRCH: it went while it was being read. Nothing else proves anything.
    const code = (error as NodeJS.ErrnoException).code;
    return code === "ENOENT" || code === "ESRCH" ? null : "unreadable";
  }
  return parseStat(text);
}

/** This process; fields that this platform cannot fill are "", and then nobody can prove this process's death. */
export function ownIdentity(): ProcessIdentity {
  const own = readProcess(process.pid);
  return {
    kernelBootId: textOr("", () => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()),
    pidNamespace: textOr("", () => readlinkSync("/proc/self/ns/pid")),
    pid: process.pid,
    startTime: own === null || own === "unreadable" ? "" : own.startTime,
  };
}

function textOr(fallback: string, read: () => string): string {
  try {
    return read();
  } catch (error) {
    // Not Linux, or a sandbox without /proc: said above.
    if (typeof (error as NodeJS.ErrnoException).code === "string") return fallback;
    throw error;
  }
}
