/**
 * Before a node works on its topics: what the cell recorded about each (generation, dedup epoch, where to begin), and the
 * topics for dead and parked records, which must exist or be creatable before the first record needs them.
 */
import type { Coordinator, TopicRecord } from "../coordinator/coordinator.ts";
import { ConfigurationError, describeError, VouchError } from "../errors.ts";
import type { TaskType } from "../execution/define.ts";
import type { TaskAdmin } from "../task-log/task-log.ts";
import type { OpenedTopic, RuntimeLog } from "./options.ts";

export interface TopicsOptions {
  readonly coordinator: Coordinator;
  readonly admin: TaskAdmin;
  readonly tasks: readonly TaskType[];
  readonly dedupEpoch: number;
  readonly startAt: "earliest" | "latest" | "committed";
  readonly log: RuntimeLog;
  readonly signal: AbortSignal;
}

const FIRST_GENERATION = 1;
const RETRY_MS = 1_000;

/**
 * Keeps trying while a server does not answer.
 * @throws ConfigurationError when the cell's records and this configuration exclude each other; VouchError when a topic
 * cannot be created; "closed" when the start was given up.
 */
export async function openTopics(options: TopicsOptions): Promise<readonly OpenedTopic[]> {
  const opened: OpenedTopic[] = [];
  const violations: string[] = [];
  for (const task of options.tasks) {
    const record = await persistently(options, `the record of topic ${task.topic}`, () => recordOf(task, options));
    if (record.dedupEpoch > options.dedupEpoch) {
      violations.push(
        `dedup-epoch: topic ${task.topic} is at dedup epoch ${record.dedupEpoch} in this cell, expected at least that, ` +
          `got ${options.dedupEpoch}`,
      );
    }
    const { generation, startAt } = record;
    if (startAt !== options.startAt) {
      options.log("warn", `topic ${task.topic} begins at "${startAt}", as this cell recorded it at its first use`, {});
    }
    const partitions = await persistently(options, `topic ${task.topic}`, () => openSideTopics(task.topic, options));
    opened.push({ task, generation, startAt, partitions, record });
  }
  const differing = opened.find(({ startAt }) => startAt !== opened[0]?.startAt);
  if (differing !== undefined) {
    violations.push(
      `start-at: one cell begins all of its topics alike, expected "${opened[0]?.startAt}" for ${differing.task.topic} as ` +
        `for ${opened[0]?.task.topic}, got "${differing.startAt}"; work on it in a cell of its own`,
    );
  }
  if (violations.length > 0) throw new ConfigurationError(violations);
  return opened;
}

async function recordOf(
  { topic }: TaskType,
  { coordinator, dedupEpoch, startAt, log }: TopicsOptions,
): Promise<TopicRecord> {
  const record = await coordinator.ensureTopic(topic, { generation: FIRST_GENERATION, dedupEpoch, startAt });
  if (record.dedupEpoch > dedupEpoch) return record;
  if (record.dedupEpoch === dedupEpoch) return takenOver(topic, record, coordinator, startAt, log);
  // A node that works under the lower one would refuse this one, and could not be started again itself.
  const { leader } = await coordinator.observe();
  if (leader !== null) {
    throw new VouchError(
      "unavailable",
      `dedup epoch ${dedupEpoch} begins when every node under dedup epoch ${record.dedupEpoch} is stopped, and ` +
        `${leader.nodeId} leads the cell under it`,
    );
  }
  log("warn", `dedup epoch ${dedupEpoch} begins: every record of ${topic} counts as new`, {
    before: record.dedupEpoch,
  });
  // The new epoch begins where the group stands: whoever replays sets its offsets first, and says so by raising the epoch.
  // It may be about another topic of this name, too.
  const { topicId: _, ...kept } = record;
  const raised = { ...kept, dedupEpoch, startAt: "committed" as const };
  await coordinator.replaceTopic(topic, raised);
  return raised;
}

/**
 * "committed" is "earliest" that also takes over the offsets of somebody else. Whoever was refused without it may say so
 * afterwards: where the cell has begun already, both words mean the same. Not while a node leads under the other one.
 */
async function takenOver(
  topic: string,
  record: TopicRecord,
  coordinator: Coordinator,
  startAt: TopicsOptions["startAt"],
  log: RuntimeLog,
): Promise<TopicRecord> {
  if (record.startAt !== "earliest" || startAt !== "committed") return record;
  const { leader } = await coordinator.observe();
  if (leader !== null) {
    log(
      "warn",
      `--start-at committed counts for ${topic} once every node of the cell was stopped at the same time`,
      {},
    );
    return record;
  }
  const taking = { ...record, startAt };
  await coordinator.replaceTopic(topic, taking);
  return taking;
}

/** Returns how many partitions the topic has; 0 when it does not exist yet. */
async function openSideTopics(topic: string, { admin, log }: TopicsOptions): Promise<number> {
  const described = await admin.describeTopic(topic);
  if (described === null) log("warn", `topic ${topic} does not exist yet: create it, the cell waits for it`, {});
  for (const side of [`${topic}.dead`, `${topic}.parked`]) {
    if ((await admin.describeTopic(side)) === null) await admin.createTopic(side, described?.partitions ?? 1, topic);
  }
  return described?.partitions ?? 0;
}

async function persistently<T>({ log, signal }: TopicsOptions, what: string, attempt: () => Promise<T>): Promise<T> {
  let told = "";
  for (;;) {
    if (signal.aborted) throw new VouchError("closed", "the node was stopped while it was starting");
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof VouchError) || !error.retriable) throw error;
      const message = `${what} cannot be opened yet: ${describeError(error)}`;
      if (message !== told) log("warn", message, {});
      told = message;
    }
    await Bun.sleep(RETRY_MS);
  }
}
