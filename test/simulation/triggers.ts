/**
 * Moments inside the protocol at which a fault may be made to happen: right when a core gets a certain event, or wants a certain
 * effect. Chance alone would hit a window of one round trip far too seldom.
 */
import type { CoreEffect } from "../../src/core/effects.ts";
import type { CoreEvent } from "../../src/core/events.ts";

export const MOMENTS = [
  "asks", // a node sends a claim
  "asks-doubts",
  "reports-facts",
  "reports-commit",
  "claim-arrives",
  "doubts-arrive",
  "facts-arrive",
  "delta-sent",
  "delta-arrives",
  "delta-acknowledged",
  "verdicts-sent",
  "verdicts-arrive",
  "starts",
  "ended",
  "check-begins",
  "check-ended",
  "commit-sent",
  "commit-answered",
  "commit-refused",
  "revoked",
  "assigned",
  "in-sync-write",
  "in-sync-written",
  "elected",
  "activating",
  "state-chunk-sent",
  "state-chunk-arrives",
  "admitted",
  "question-sent",
  "question-arrives",
  "answer-arrives",
  "set-aside-begins",
  "set-aside-acknowledged",
  "leaves-group",
  "watermarks-write",
] as const;
export type Moment = (typeof MOMENTS)[number];

function ofEvent(event: CoreEvent): Moment | null {
  switch (event.type) {
    case "message": {
      const { message } = event;
      if (message.kind === "report") {
        if (message.claims.length > 0) return "claim-arrives";
        if (message.doubts.length > 0) return "doubts-arrive";
        return message.finished.length > 0 ? "facts-arrive" : "delta-acknowledged";
      }
      if (message.kind === "delta") return "delta-arrives";
      if (message.kind === "verdicts") return "verdicts-arrive";
      if (message.kind === "state-chunk") return "state-chunk-arrives";
      if (message.kind === "admitted") return "admitted";
      if (message.kind === "question") return "question-arrives";
      return message.kind === "answer" ? "answer-arrives" : null;
    }
    case "results":
      return "ended";
    case "check-result":
      return "check-ended";
    case "commit-result":
      return event.outcome === "committed" ? "commit-answered" : "commit-refused";
    case "revoked":
    case "assigned":
      return event.type;
    case "in-sync-written":
      return "in-sync-written";
    case "election":
      return event.outcome === "won" ? "elected" : null;
    case "set-aside-result":
      return "set-aside-acknowledged";
    default:
      return null;
  }
}

function ofEffect(effect: CoreEffect): Moment | null {
  switch (effect.type) {
    case "send": {
      const { message } = effect;
      if (message.kind === "report") {
        if (message.claims.length > 0) return "asks";
        if (message.doubts.length > 0) return "asks-doubts";
        if (message.finished.length > 0) return "reports-facts";
        return message.commits.length > 0 ? "reports-commit" : null;
      }
      if (message.kind === "delta") return "delta-sent";
      if (message.kind === "verdicts") return "verdicts-sent";
      if (message.kind === "state-chunk") return "state-chunk-sent";
      return message.kind === "question" ? "question-sent" : null;
    }
    case "execute":
      return "starts";
    case "check":
      return "check-begins";
    case "commit":
      return "commit-sent";
    case "write-in-sync":
      return "in-sync-write";
    case "write-watermarks":
      return "watermarks-write";
    case "set-aside":
      return "set-aside-begins";
    case "leave-group":
      return "leaves-group";
    case "role":
      return effect.role === "activating" ? "activating" : null;
    default:
      return null;
  }
}

/** Whether this step is that moment. */
export function isMoment(moment: Moment, event: CoreEvent, effects: readonly CoreEffect[]): boolean {
  if (ofEvent(event) === moment) return true;
  for (const effect of effects) if (ofEffect(effect) === moment) return true;
  return false;
}
