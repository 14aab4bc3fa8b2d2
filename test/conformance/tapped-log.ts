/**
 * A task log between a node and the real one, for one node: it writes down every assignment and every commit, and can delay
 * what passes, as a slow network or a slow process would: batches on their way in, commits on their way out.
 */
import type {
  Assignment,
  CommitOutcome,
  ConsumerHandlers,
  PartitionCommit,
  RecordBatch,
  TaskConsumer,
  TaskLog,
} from "../../src/task-log/task-log.ts";

/** One call of `commit`, as the node made it. */
export interface SentCommit {
  readonly generation: number;
  readonly positions: ReadonlyMap<number, number>; // by partition
  /** As the real log answered; "" before. */
  outcome: CommitOutcome["outcome"] | "";
}

/**
 * through: nothing is delayed. lost-answer: the node hears "unknown" soon, and the request arrives when it is released, as
 * one that was under way when its connection broke. no-answer: request and answer both wait for the release. What is sent after
 * a release arrives after what was released.
 */
export type CommitDelay = "through" | "lost-answer" | "no-answer";

/** A node that hears "unknown" may ask again at once: without a pause it would fill the queue of late commits. */
const BROKEN_AFTER_MS = 20;

export class TappedLog {
  readonly assignments: Assignment[] = [];
  readonly commits: SentCommit[] = [];
  readonly heldBatches: RecordBatch[] = [];
  holdBatches = false;
  commitDelay: CommitDelay = "through";
  #handlers: ConsumerHandlers | null = null;
  #owned: readonly number[] = [];
  #released: Promise<unknown> = Promise.resolve();
  readonly #late: { readonly sent: SentCommit; readonly send: () => Promise<unknown> }[] = [];
  readonly #log: TaskLog;

  constructor(log: TaskLog) {
    this.#log = log;
  }

  /** What the node is given in the place of the log. */
  get log(): TaskLog {
    const real = this.#log;
    return {
      consumer: (options) => this.#consumer(real.consumer(options)),
      producer: () => real.producer(),
      admin: () => real.admin(),
      close: () => real.close(),
    };
  }

  /** Partitions of the assignment that the node works under; none between two. */
  owned(): readonly number[] {
    return this.#owned;
  }

  /** Commits that the node made and the log has not seen. */
  lateCommits(): SentCommit[] {
    return this.#late.map(({ sent }) => sent);
  }

  /** Lets go everything that is held, oldest first, and resolves when the log has answered every commit. */
  async release(): Promise<SentCommit[]> {
    this.holdBatches = false;
    this.commitDelay = "through";
    for (const batch of this.heldBatches.splice(0)) this.#handlers?.onBatch(batch);
    const late = this.#late.splice(0);
    const sending = (async () => {
      for (const { send } of late) await send();
    })();
    this.#released = Promise.allSettled([this.#released, sending]);
    await sending;
    return late.map(({ sent }) => sent);
  }

  /** Commits of partitions that the node had not been assigned in the generation that it named, in words. */
  foreignCommits(): string[] {
    return this.commits.flatMap(({ generation, positions }) => {
      const assigned = this.assignments.find((assignment) => assignment.generation === generation);
      const own = new Set(assigned?.partitions.map(({ partition }) => partition));
      return [...positions.keys()]
        .filter((partition) => !own.has(partition))
        .map((partition) => `partition ${partition} in generation ${generation}`);
    });
  }

  #consumer(real: TaskConsumer): TaskConsumer {
    return {
      start: (handlers) => real.start(this.#tapped(handlers)),
      commit: (generation, commits) => this.#commit(real, generation, commits),
      pause: (topic, partition) => real.pause(topic, partition),
      resume: (topic, partition) => real.resume(topic, partition),
      seek: (topic, partition, position) => real.seek(topic, partition, position),
      stop: () => real.stop(),
    };
  }

  #tapped(handlers: ConsumerHandlers): ConsumerHandlers {
    this.#handlers = handlers;
    return {
      ...handlers,
      onRevoke: () => {
        this.#owned = [];
        return handlers.onRevoke();
      },
      onAssign: async (assignment) => {
        this.assignments.push(assignment);
        const positions = await handlers.onAssign(assignment);
        this.#owned = assignment.partitions.map(({ partition }) => partition);
        return positions;
      },
      onBatch: (batch) => {
        if (this.holdBatches) this.heldBatches.push(batch);
        else handlers.onBatch(batch);
      },
    };
  }

  async #commit(real: TaskConsumer, generation: number, commits: readonly PartitionCommit[]): Promise<CommitOutcome> {
    const positions = new Map(commits.map(({ partition, position }) => [partition, position]));
    const sent: SentCommit = { generation, positions, outcome: "" };
    this.commits.push(sent);
    const send = async (): Promise<CommitOutcome> => {
      const result = await real.commit(generation, commits);
      sent.outcome = result.outcome;
      return result;
    };
    if (this.commitDelay === "through") {
      await this.#released;
      return send();
    }
    if (this.commitDelay === "lost-answer") {
      this.#late.push({ sent, send });
      await Bun.sleep(BROKEN_AFTER_MS);
      return { outcome: "unknown", reason: "the connection broke" };
    }
    const { promise, resolve } = Promise.withResolvers<CommitOutcome>();
    this.#late.push({ sent, send: async () => resolve(await send()) });
    return promise;
  }
}
