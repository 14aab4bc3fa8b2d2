/** Records on their way to the dead-letter or parked topic; final only when the write is acknowledged (R23). */
import type { PayloadConflict } from "../effects.ts";
import { CONFLICT_WORDS } from "../messages.ts";
import type { MemberState } from "./state.ts";
import { State, type Aside, type PartitionWindow } from "./window.ts";

export function setAside(
  state: MemberState,
  window: PartitionWindow,
  offset: number,
  kind: Aside["kind"],
  reason: string,
  conflict: PayloadConflict | null = null,
): void {
  const aside = { kind, reason, conflict };
  state.endDoubt(window, offset);
  window.set(offset, State.writing);
  window.setAside.set(offset, { ...aside, retryAt: Infinity });
  writeAside(state, window, offset, aside);
}

/** Asks for the write, also again after one that was refused. */
export function writeAside(state: MemberState, window: PartitionWindow, offset: number, aside: Aside): void {
  const { kind, reason, conflict } = aside;
  const attempts = window.attempts[window.slot(offset)]!;
  state.ctx.emit({ type: "set-aside", kind, pid: window.pid, offset, reason, attempts, conflict });
}

/** The conflict that an answer tells of, for the headers of the parked record; `index` counts the conflicts of the answer. */
export function conflictOf(
  window: PartitionWindow,
  offset: number,
  words: Float64Array,
  index: number,
): PayloadConflict | null {
  const at = CONFLICT_WORDS * index;
  if (words.length < at + CONFLICT_WORDS || window.payloads.length === 0) return null;
  const slot = window.slot(offset);
  return {
    pid: words[at]!,
    offset: words[at + 1]!,
    payloadHi: words[at + 2]!,
    payloadLo: words[at + 3]!,
    ownHi: window.payloads[2 * slot]!,
    ownLo: window.payloads[2 * slot + 1]!,
  };
}
