/** Waits for topics that do not exist yet. */

import type { Kafka } from "kafkajs";
import { describeError } from "../../errors.ts";
import { CLIENT_RETRY, endsWithin } from "./client.ts";
import type { WakeUp } from "./wake-up.ts";

const POLL_MS = 2_000;
const CLOSE_MS = 2_000;

/**
 * Resolves with those of `topics` that exist, as soon as one does; with none when `isOver`. It looks now and then, with a
 * connection of its own: asking through a consumer's would disturb that one's metadata.
 */
export async function topicsAppeared(
  kafka: Kafka,
  topics: readonly string[],
  wakeUp: WakeUp,
  isOver: () => boolean,
  onWarning: (message: string) => void,
): Promise<readonly string[]> {
  while (!isOver()) {
    await wakeUp.rest(POLL_MS);
    if (isOver()) break;
    const admin = kafka.admin({ retry: CLIENT_RETRY });
    try {
      await admin.connect();
      const existing = new Set(await admin.listTopics());
      const appeared = topics.filter((topic) => existing.has(topic));
      if (appeared.length > 0) return appeared;
    } catch (error) {
      if (!isOver()) onWarning(`Kafka: looking for topic ${topics.join(", ")} failed: ${describeError(error)}`);
    } finally {
      await endsWithin(admin.disconnect(), CLOSE_MS);
    }
  }
  return [];
}
