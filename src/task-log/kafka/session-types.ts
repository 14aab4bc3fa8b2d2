/** What a session and the consumer that opens one after another say to each other. */

import type { Assignment, PartitionPosition } from "../task-log.ts";
import type { FetchSink } from "./partition-fetcher.ts";
import type { Ownership } from "./sticky-assigner.ts";

/** A handler of the caller failed: its bug, which no new session would mend. */
export class HandlerFailure extends Error {}

/** Subscribed topics do not exist (any more); `topics` is empty when it is not known which. */
export class MissingTopics extends Error {
  readonly topics: readonly string[];

  constructor(topics: readonly string[], cause: unknown) {
    super(`${topics.length === 0 ? "a topic" : `topic ${topics.join(", ")}`} does not exist`, { cause });
    this.topics = topics;
  }
}

/** A topic that was missing when the session began exists now: the group is to be joined with it. */
export class TopicAppeared extends Error {}

export interface SessionHandlers extends FetchSink {
  /** The session begins without these; it ends with TopicAppeared as soon as one of them exists. */
  onMissing(topics: readonly string[]): void;
  onRevoke(): Promise<void>;
  onAssign(assignment: Assignment): Promise<readonly PartitionPosition[]>;
}

/** What one session hands to the next, so that it comes back as the same member with the same claims. */
export interface Past {
  readonly memberId: string | null;
  readonly ownership: Ownership;
}
