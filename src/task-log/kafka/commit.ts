/** One commit, one attempt, in the generation it belongs to, answered in bounded time. */

import type { CommitOutcome, PartitionCommit } from "../task-log.ts";
import { endsWithin } from "./client.ts";
import { commitOutcomeOf } from "./commit-outcome.ts";
import { commitOnce, type Membership } from "./kafkajs-hooks.ts";

const COMMIT_TIMEOUT_MS = 10_000;

/** `membership` is the one in force, null when there is none. Never throws. */
export async function commitInGeneration(
  membership: Membership | null,
  generation: number,
  commits: readonly PartitionCommit[],
): Promise<CommitOutcome> {
  if (membership === null) return { outcome: "refused", reason: "this consumer is in no group generation" };
  if (membership.generation !== generation) {
    return { outcome: "refused", reason: `group generation ${generation} is over, now is ${membership.generation}` };
  }
  if (commits.length === 0) return { outcome: "committed" };
  const invalid = commits.find(({ position }) => !Number.isSafeInteger(position) || position < 0);
  if (invalid !== undefined) return { outcome: "fatal", reason: `${invalid.position} is no position to commit` };

  let givenUp = false;
  let outcome: CommitOutcome = { outcome: "unknown", reason: `no answer within ${COMMIT_TIMEOUT_MS} ms` };
  const attempt = commitOnce(membership, commitTopics(commits), () => givenUp).then(
    () => {
      outcome = { outcome: "committed" };
    },
    (error: unknown) => {
      outcome = commitOutcomeOf(error);
    },
  );
  await endsWithin(attempt, COMMIT_TIMEOUT_MS);
  givenUp = true;
  return outcome;
}

function commitTopics(
  commits: readonly PartitionCommit[],
): { topic: string; partitions: { partition: number; offset: string; metadata: string }[] }[] {
  const topics = new Map<string, { partition: number; offset: string; metadata: string }[]>();
  for (const { topic, partition, position, metadata } of commits) {
    const partitions = topics.get(topic) ?? [];
    topics.set(topic, partitions);
    partitions.push({ partition, offset: String(position), metadata });
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }));
}
