/** A partition that stands still for a person: what of it is in hand must not hold up the others. */
import { expect, test } from "bun:test";
import { Verdict } from "../../src/core/messages.ts";
import type { OnUnknown } from "../../src/core/settings.ts";
import { hashOf } from "../support/cell.ts";
import { OneMember } from "./one-member.ts";
import type { Overrides } from "./support.ts";

/** A node that owns two partitions, the first one with some records. */
function ownerOfTwo(overrides: Overrides, records: number): OneMember {
  const member = new OneMember(overrides);
  const partition = { committed: null, metadata: "", logStart: 0, logEnd: 1_000 };
  member.step({ type: "assigned", generation: 1, partitions: [0, 1].map((pid) => ({ pid, ...partition })) });
  member.group = 1;
  member.tick();
  member.acknowledge();
  const { ownership } = member.core.member.state;
  const info = { ownership, from: 0, watermark: 0, top: 0, stop: "" };
  member.say({ kind: "partitions", epoch: 1, partitions: [0, 1].map((pid) => ({ pid, ...info })) });
  member.commitDone();
  member.deliver(0, records);
  return member;
}

const stop = { type: "partition-problem", pid: 0, problem: "truncated" } as const;

/** Records of the second partition arrive. Returns how many of them were claimed. */
function deliverBesides(member: OneMember): number {
  const { ownership } = member.core.member.state;
  const offsets = Float64Array.from({ length: 20 }, (_, i) => i);
  const hashes = Uint32Array.from([...offsets].flatMap((offset) => hashOf(`other:${offset}`)));
  const batch = { pid: 1, ownership, fetchedFrom: 0, nextPosition: 20, offsets, hashes, ids: null, payloads: null };
  member.step({ type: "delivered", batch: { ...batch, leaderEpoch: 0, logEnd: 1_000 } });
  member.claim();
  const claims = member.reports.flatMap((report) => report.claims).filter(({ pid }) => pid === 1);
  return claims.reduce((sum, claim) => sum + claim.offsets.count, 0);
}

/** The partition stops while the verdicts of its first claim are under way. */
function claimedBesides(topic: { hasCheck: boolean; onUnknown: OnUnknown }): number {
  const member = ownerOfTwo({ topic, settings: { concurrency: 2, claimBatchMax: 16 } }, 100);
  member.step(stop);
  member.answerClaim();
  expect(member.started).toEqual([]);
  return deliverBesides(member);
}

test("R20: what was granted in a partition that stands still takes no room from the claims of others", () => {
  expect(claimedBesides({ hasCheck: false, onUnknown: "park" })).toBe(2);
  expect(claimedBesides({ hasCheck: true, onUnknown: "park" })).toBe(20);
});

test("R21: doubts in a partition that stands still do not keep the others from being read", () => {
  const member = ownerOfTwo({ settings: { doubtfulMax: 8 } }, 10);
  member.answerClaim(Verdict.doubtful);
  expect(member.core.member.state.doubtCount).toBe(10);
  member.step(stop);
  deliverBesides(member);
  member.tick(1);
  expect(member.core.member.state.windows.get(1)!.paused).toBe(false);
});

test("R15: what the leader says of a partition that was stopped meanwhile does not set it going again", () => {
  const member = new OneMember();
  const partition = { pid: 0, committed: null, metadata: "", logStart: 30, logEnd: 100 };
  member.step({ type: "assigned", generation: 1, partitions: [partition] });
  member.tick();
  member.acknowledge();
  member.step({ type: "partition-problem", pid: 0, problem: "replaced", detail: "another topic" });
  member.inform({ watermark: 20, from: 0 }); // the group's offset is gone, and the cell has finished less
  member.claim();
  expect(member.core.member.state.windows.get(0)).toMatchObject({ stopped: "another topic", replaced: true });
  expect([...member.all("seek"), ...member.all("resume"), ...member.all("commit")]).toEqual([]);
});
