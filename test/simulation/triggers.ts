/**
 * Moments inside the protocol at which a fault may be made to happen: right when a core gets a certain event, or wants a certain
 * effect. Chance alone would hit a window of one round trip far too seldom.
 */
import type { CoreEffect } from "../../src/core/effects.ts";
import { Outcome, type CoreEvent } from "../../src/core/events.ts";
import { nodeIdOf, partitionOf, type Incarnation } from "../../src/core/identity.ts";
import { DIRTY_FLAG, Phase, PHASE_MASK, Verdict, type Delta, type PeerMessage } from "../../src/core/messages.ts";
import type { SimulatedNode, World } from "./observer.ts";

export const MOMENTS = [
  "asks", // a node sends a claim; subject: its leader
  "asks-doubts",
  "reports-facts",
  "reports-commit",
  "claim-arrives",
  "doubts-arrive",
  "facts-arrive",
  "delta-sent",
  "delta-arrives",
  "delta-acknowledged",
  "grant-sent", // in a delta, for another node; subject: that node
  "own-grant-sent", // in a delta, for the leader itself
  "adoption-sent",
  "fact-sent",
  "watermark-sent",
  "grant-arrives", // at a member of the set; subject: the node that is to have it
  "adoption-arrives",
  "fact-arrives",
  "verdicts-sent",
  "verdicts-arrive",
  "granted-sent", // a verdict that grants; subject: to whom
  "granted-arrives",
  "doubtful-sent",
  "starts",
  "ended",
  "ended-well",
  "check-begins",
  "check-ended",
  "commit-sent",
  "commit-answered",
  "commit-refused",
  "delivered",
  "revoked",
  "assigned",
  "in-sync-write",
  "in-sync-written",
  "elected",
  "activating",
  "state-chunk-sent", // subject: to whom
  "state-chunk-arrives",
  "sync-chunk-sent",
  "admitted",
  "question-sent",
  "question-arrives",
  "answer-arrives",
  "refusal-sent", // a node gives a grant back that it did not begin; subject: the leader
  "set-aside-begins",
  "set-aside-acknowledged",
  "leaves-group",
  "watermarks-write",
] as const;
export type Moment = (typeof MOMENTS)[number];

/** How far the delta of a moment got in the set, the leader aside. */
export type Spread = "some" | "all";

/** What was seen: who did it, and whom else it concerns. */
export interface Scene {
  readonly actor: string;
  readonly subject: string; // "" when there is none
  readonly partition: number; // -1 when there is none
}

interface Sighting {
  readonly subject: Incarnation;
  readonly partition: number;
}

const NOBODY: Sighting = { subject: "", partition: -1 };

/** The first change of this kind that the delta holds. */
function changeIn(
  delta: Delta,
  what: "grant" | "own-grant" | "adoption" | "fact",
  leader: Incarnation,
): Sighting | null {
  for (const { pid, holder, phases } of delta.entries) {
    const flags = phases[0] ?? 0;
    const phase = flags & PHASE_MASK;
    const isDirty = (flags & DIRTY_FLAG) !== 0;
    const isGrant = phase === Phase.granted && holder !== "";
    const found =
      what === "fact"
        ? phase === Phase.executed
        : isGrant && isDirty === (what === "adoption") && (what === "own-grant") === (holder === leader);
    if (found) return { subject: holder, partition: partitionOf(pid) };
  }
  return null;
}

function inDelta(moment: Moment, delta: Delta, leader: Incarnation): Sighting | null {
  switch (moment) {
    case "grant-sent":
    case "grant-arrives":
      return changeIn(delta, "grant", leader);
    case "own-grant-sent":
      return changeIn(delta, "own-grant", leader);
    case "adoption-sent":
    case "adoption-arrives":
      return changeIn(delta, "adoption", leader);
    case "fact-sent":
    case "fact-arrives":
      return changeIn(delta, "fact", leader);
    case "watermark-sent":
      return delta.watermarks.length > 0 ? NOBODY : null;
    default:
      return null;
  }
}

function sent(moment: Moment, to: Incarnation, message: PeerMessage, self: Incarnation): Sighting | null {
  const seen = (is: boolean, partition = -1): Sighting | null => (is ? { subject: to, partition } : null);
  switch (message.kind) {
    case "report": {
      const { claims, doubts, finished, commits } = message;
      if (moment === "asks") return seen(claims.length > 0, claims[0] && partitionOf(claims[0].pid));
      if (moment === "asks-doubts") return seen(doubts.length > 0, doubts[0] && partitionOf(doubts[0].pid));
      if (moment === "reports-facts") return seen(finished.length > 0);
      return seen(moment === "reports-commit" && commits.length > 0);
    }
    case "delta":
      if (moment === "delta-sent") return seen(true);
      return moment.endsWith("-sent") ? inDelta(moment, message.delta, self) : null;
    case "verdicts": {
      if (moment === "verdicts-sent") return seen(true);
      const wanted = moment === "granted-sent" ? Verdict.granted : Verdict.doubtful;
      if (moment !== "granted-sent" && moment !== "doubtful-sent") return null;
      const batch = message.batches.find(({ results }) => results.includes(wanted));
      return seen(batch !== undefined, batch && partitionOf(batch.pid));
    }
    case "state-chunk":
      return seen(moment === "state-chunk-sent" || (moment === "sync-chunk-sent" && message.purpose === "sync"));
    case "question":
      return seen(moment === "question-sent");
    case "answer": {
      const item = moment === "refusal-sent" ? message.items.find(({ status }) => status === "refused") : undefined;
      return seen(item !== undefined, item && partitionOf(item.pid));
    }
    default:
      return null;
  }
}

function arrived(moment: Moment, message: PeerMessage, leader: Incarnation): Sighting | null {
  const seen = (is: boolean): Sighting | null => (is ? NOBODY : null);
  switch (message.kind) {
    case "report":
      if (moment === "claim-arrives") return seen(message.claims.length > 0);
      if (moment === "doubts-arrive") return seen(message.doubts.length > 0);
      if (moment === "facts-arrive") return seen(message.finished.length > 0);
      return seen(moment === "delta-acknowledged");
    case "delta":
      if (moment === "delta-arrives") return NOBODY;
      return moment.endsWith("-arrives") ? inDelta(moment, message.delta, leader) : null;
    case "verdicts": {
      if (moment === "verdicts-arrive") return NOBODY;
      const batch = message.batches.find(({ results }) => results.includes(Verdict.granted));
      if (moment !== "granted-arrives" || batch === undefined) return null;
      return { subject: "", partition: partitionOf(batch.pid) };
    }
    case "state-chunk":
      return seen(moment === "state-chunk-arrives");
    case "admitted":
      return seen(moment === "admitted");
    case "question":
      return seen(moment === "question-arrives");
    case "answer":
      return seen(moment === "answer-arrives");
    default:
      return null;
  }
}

function ofEvent(moment: Moment, event: CoreEvent, leader: Incarnation): Sighting | null {
  const seen = (is: boolean, partition = -1): Sighting | null => (is ? { subject: "", partition } : null);
  switch (event.type) {
    case "message":
      return arrived(moment, event.message, leader);
    case "results":
      if (moment === "ended-well") return seen(event.outcomes.includes(Outcome.success), partitionOf(event.pid));
      return seen(moment === "ended", partitionOf(event.pid));
    case "check-result":
      return seen(moment === "check-ended", partitionOf(event.pid));
    case "delivered":
      return seen(moment === "delivered", partitionOf(event.batch.pid));
    case "commit-result":
      return seen(moment === (event.outcome === "committed" ? "commit-answered" : "commit-refused"));
    case "revoked":
    case "assigned":
    case "in-sync-written":
      return seen(moment === event.type);
    case "election":
      return seen(moment === "elected" && event.outcome === "won");
    case "set-aside-result":
      return seen(moment === "set-aside-acknowledged");
    default:
      return null;
  }
}

function ofEffect(moment: Moment, effect: CoreEffect, self: Incarnation): Sighting | null {
  const seen = (is: boolean, partition = -1): Sighting | null => (is ? { subject: "", partition } : null);
  switch (effect.type) {
    case "send":
      return sent(moment, effect.to, effect.message, self);
    case "execute":
      return seen(moment === "starts", partitionOf(effect.pid));
    case "check":
      return seen(moment === "check-begins", partitionOf(effect.pid));
    case "commit":
      return seen(moment === "commit-sent");
    case "write-in-sync":
      return seen(moment === "in-sync-write");
    case "write-watermarks":
      return seen(moment === "watermarks-write");
    case "set-aside":
      return seen(moment === "set-aside-begins", partitionOf(effect.pid));
    case "leave-group":
      return seen(moment === "leaves-group");
    case "role":
      return seen(moment === "activating" && effect.role === "activating");
    default:
      return null;
  }
}

/** Whether this step is that moment, and who is in it; null: it is not. */
export function sceneOf(
  moment: Moment,
  node: SimulatedNode,
  event: CoreEvent,
  effects: readonly CoreEffect[],
  world: World,
): Scene | null {
  const leader = world.leader?.incarnation ?? "";
  let found = ofEvent(moment, event, leader);
  for (const effect of effects) found ??= ofEffect(moment, effect, node.incarnation);
  if (found === null) return null;
  const subject = found.subject === "" ? "" : nodeIdOf(found.subject);
  return { actor: node.name, subject, partition: found.partition };
}

/** Whether the delta that arrives in this step is by now with so many of those whom its leader must wait for. */
export function hasSpread(spread: Spread, event: CoreEvent, world: World): boolean {
  if (event.type !== "message" || event.message.kind !== "delta") return false;
  const { epoch, seq } = event.message.delta;
  const leads = world.leader === null ? undefined : world.nodes.get(nodeIdOf(world.leader.incarnation));
  const state = leads?.core?.leader?.state;
  if (state === undefined || state.epoch !== epoch) return false;
  let need = 0;
  let have = 0;
  for (const incarnation of state.required()) {
    const follower = world.nodes.get(nodeIdOf(incarnation));
    if (incarnation === leads!.incarnation) continue;
    need++;
    const replica = follower?.incarnation === incarnation ? follower.core?.replica : undefined;
    if (replica?.appliedEpoch === epoch && replica.appliedSeq >= seq) have++;
  }
  return spread === "all" ? have === need : have > 0 && have < need;
}
