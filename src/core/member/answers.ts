/**
 * Attestation (S4) and revoke (R11): what this node says about tasks that the leader's table gives to it. One synchronous
 * step; whatever is not running here is refused, also what this node does not know, and stays refused.
 */
import type { Attestation, AnswerItem, QuestionItem } from "../messages.ts";
import type { MemberState } from "./state.ts";
import { State, type PartitionWindow, type Retained } from "./window.ts";

export function answer(state: MemberState, item: QuestionItem, now: number): AnswerItem {
  const window = state.windows.get(item.pid);
  if (window !== undefined && window.stateOf(item.offset) !== State.absent)
    return answerFromWindow(state, window, item, now);
  const task = state.retained.get(item.pid)?.get(item.offset);
  if (task !== undefined) return answerFromRetained(state, task, item);
  if (item.revoke) refuse(state, item);
  return { ...blank(item), status: item.revoke ? "refused" : "absent" };
}

function blank(item: QuestionItem): AnswerItem {
  return {
    pid: item.pid,
    offset: item.offset,
    stamp: item.stamp,
    status: "absent",
    attempts: 0,
    taskId: "",
    idKnown: false,
    payloadHi: 0,
    payloadLo: 0,
  };
}

/** Verdicts of this partition up to this sequence are ignored from now on. */
function refuse(state: MemberState, item: QuestionItem): void {
  const known = state.refusedThrough.get(item.pid) ?? 0;
  if (item.stamp > known) state.refusedThrough.set(item.pid, item.stamp);
}

function answerFromWindow(state: MemberState, window: PartitionWindow, item: QuestionItem, now: number): AnswerItem {
  const { offset } = item;
  const slot = window.slot(offset);
  const current = window.states[slot]!;
  const doubt = window.doubts.get(offset);
  const known = {
    ...blank(item),
    attempts: window.attempts[slot]!,
    taskId: window.idOf(offset) ?? "",
    idKnown: true,
    payloadHi: window.payloads.length === 0 ? 0 : window.payloads[2 * slot]!,
    payloadLo: window.payloads.length === 0 ? 0 : window.payloads[2 * slot + 1]!,
  };
  const status = settledStatus(current, doubt?.ranUnknown ?? false);
  // While its doubt is out the next adoption may be on its way: its end must not be settled from now, but from when it ends.
  if (status === "unknown" && !item.revoke && doubt?.asking !== 0) return { ...known, status: "absent" };
  if (status !== null) return { ...known, status };
  if (!item.revoke)
    return { ...known, status: current === State.granted || current === State.adopted ? "pending" : "absent" };
  refuse(state, item);
  if (current === State.granted) window.hold(offset);
  else if (current === State.adopted) state.doubt(window, offset, now, {});
  return { ...known, status: "refused" };
}

function answerFromRetained(state: MemberState, task: Retained, item: QuestionItem): AnswerItem {
  const known = {
    ...blank(item),
    attempts: task.attempts,
    taskId: task.id ?? "",
    idKnown: true,
    payloadHi: task.payloadHi,
    payloadLo: task.payloadLo,
  };
  const status = settledStatus(task.state, task.ranUnknown);
  if (status !== null) return { ...known, status };
  if (!item.revoke) return { ...known, status: "absent" };
  refuse(state, item);
  return { ...known, status: "refused" };
}

/** What is certain whatever was asked; null for a task that is unstarted here. */
function settledStatus(current: number, ranUnknown: boolean): Attestation | null {
  switch (current) {
    case State.executing:
    case State.writing:
      return "running";
    case State.executed:
      return "executed";
    case State.dropped:
      return "dropped";
    case State.dead:
      return "dead";
    case State.parked:
      return "parked";
    default:
      return ranUnknown ? "unknown" : null;
  }
}
