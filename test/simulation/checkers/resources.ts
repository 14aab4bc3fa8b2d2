/** X1-X3: what is bounded stays in its bounds, nothing is left behind at rest, and traffic follows the work. */
import { partitionOf } from "../../../src/core/identity.ts";
import { isFinal, isUnstarted } from "../../../src/core/member/window.ts";
import type { NodeCore } from "../../../src/core/node.ts";
import type { Observer, World } from "../observer.ts";
import { isLive, violated } from "./checker.ts";

const WAITERS_MAX = 65_536;
/** One batch may arrive when the limit is just not reached yet, and then the partition is paused. */
const BATCH_MAX = 4_096;

export function withinBounds(world: World): Observer {
  const judge = (name: string, what: string, value: number, max: number): void => {
    if (value > max) violated("X1", `${name}: ${what} is ${value} at ${world.now}, of ${max}`);
  };
  return {
    onStep(node) {
      const core = node.core!;
      const { settings } = core.ctx;
      const { state } = core.member;
      judge(node.name, "checks at once", state.checking, settings.checkConcurrency);
      judge(node.name, "handlers started at once", state.running, settings.concurrency);
      if (core.leader !== null) judge(node.name, "deltas kept", core.leader.state.log.length, settings.deltaLogMax);
    },
    everyMs: 500,
    afterEvent() {
      for (const node of world.nodes.values()) {
        if (!isLive(node)) continue;
        const core = node.core!;
        const { settings } = core.ctx;
        const { state } = core.member;
        judge(node.name, "doubts", state.doubtCount, settings.doubtfulMax + BATCH_MAX);
        judge(node.name, "table entries", core.replica.table.entries, settings.tableSlotsMax + BATCH_MAX);
        for (const window of state.windows.values())
          judge(
            node.name,
            `offsets above the committed one in partition ${partitionOf(window.pid)}`,
            window.fetchPosition - window.committed,
            settings.uncommittedSpanMax + BATCH_MAX,
          );
        if (core.leader !== null) judge(node.name, "waiters", core.leader.state.waiters.size, WAITERS_MAX);
      }
    },
  };
}

/** At rest nothing is in flight anywhere, and the table is empty. Stopped partitions keep what they had. */
export function nothingLeaks(world: World): Observer {
  return {
    atRest() {
      const stands = [...world.nodes.values()].some(
        (node) => isLive(node) && [...node.core!.member.state.windows.values()].some((window) => window.stopped !== ""),
      );
      if (stands) return; // what belongs to a stopped partition is kept for a person
      for (const node of world.nodes.values()) {
        if (!isLive(node)) continue;
        const { member, leader, replica } = node.core!;
        const { state } = member;
        const left: Record<string, number> = {
          "running handlers": state.running,
          "running checks": state.checking,
          doubts: state.doubtCount,
          "outstanding claims": state.claims.size,
          "retained tasks": retainedFor(node.core!),
        };
        if (leader?.state.active === true) {
          left["table entries"] = replica.table.entries;
          left["executed entries"] = replica.table.ledger;
          left["pending releases"] = leader.state.pending.length - leader.state.pendingHead;
          left["unknown ends"] = leader.state.unknownSince.size;
        }
        for (const window of state.windows.values())
          left[`partition ${partitionOf(window.pid)}`] =
            window.retryAt.size + window.setAside.size + window.writing + window.held;
        for (const [what, count] of Object.entries(left))
          if (count !== 0) violated("X2", `at rest (${world.now}): ${node.name} has ${count} ${what}`);
      }
    },
  };
}

/**
 * What a node keeps of partitions that went elsewhere. An end that came after W had passed its task is forgotten with the
 * partition's next W, which at rest nobody tells.
 */
function retainedFor({ member, replica }: NodeCore): number {
  let count = 0;
  const watermarks = new Map(replica.watermarkRows().map((row) => [row.pid, row.watermark]));
  for (const [pid, tasks] of member.state.retained) {
    const watermark = watermarks.get(pid) ?? 0;
    for (const [offset, { state }] of tasks)
      if (offset >= watermark || !(isFinal(state) || isUnstarted(state))) count++;
  }
  return count;
}

/** X3: messages a second and node follow the work: so many for an idle cell, so many for a task; none goes round in circles. */
const MESSAGES_IDLE = 600;
const MESSAGES_PER_TASK = 40;

export function trafficFollowsWork(world: World): Observer {
  const sent = new Map<string, { since: number; messages: number; work: number }>();
  return {
    onStep(node, event, effects) {
      if (node.core!.ctx.counters.limitHits["messagesToItself"] !== undefined)
        violated("X3", `${node.name} sends itself messages without an end, after "${event.type}"`);
      let counted = sent.get(node.name);
      if (counted === undefined) sent.set(node.name, (counted = { since: world.now, messages: 0, work: 0 }));
      if (world.now - counted.since >= 1_000) {
        const limit = MESSAGES_IDLE * world.settings.nodes + MESSAGES_PER_TASK * counted.work;
        if (counted.messages > limit)
          violated(
            "X3",
            `${node.name} sent ${counted.messages} messages in the second from ${counted.since}, for ${counted.work} tasks`,
          );
        counted.since = world.now;
        counted.messages = 0;
        counted.work = 0;
      }
      if (event.type === "delivered") counted.work += event.batch.offsets.length;
      else if (event.type === "results") counted.work += event.offsets.length;
      else if (event.type === "message" && event.message.kind === "report")
        for (const claim of event.message.claims) counted.work += claim.offsets.count;
      for (const effect of effects) if (effect.type === "send") counted.messages++;
    },
  };
}
