/**
 * Writes the tasks into the topic at a steady pace, so that nodes are under load while things happen to them. The last
 * share is held back until `release`: the last fault must meet work as well.
 */
import type { DemoTask } from "../../src/cli/demo/plan.ts";
import type { OutgoingRecord, TaskLog, TaskProducer } from "../../src/task-log/task-log.ts";
import { TOPIC } from "./names.ts";

export interface FeederOptions {
  readonly log: TaskLog;
  readonly tasks: readonly DemoTask[];
  readonly perSecond: number;
  /** Tasks that wait for `release`. */
  readonly heldBack: number;
}

const BATCH_MS = 100;

export class Feeder implements AsyncDisposable {
  readonly #options: FeederOptions;
  readonly #producer: TaskProducer;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;
  #fed = 0;
  #released = false;
  #error: unknown = null;

  constructor(options: FeederOptions) {
    this.#options = options;
    this.#producer = options.log.producer();
    this.#ended = this.#feed().catch((error: unknown) => {
      this.#error = error;
    });
  }

  /** Tasks that are in the topic for certain. */
  get fed(): number {
    return this.#fed;
  }

  release(): void {
    this.#released = true;
  }

  /** @throws what the log threw */
  assertWorks(): void {
    if (this.#error !== null) throw this.#error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
    await this.#producer.close();
  }

  async #feed(): Promise<void> {
    const { tasks, perSecond, heldBack } = this.#options;
    const batch = Math.max(1, Math.round((perSecond * BATCH_MS) / 1_000));
    while (this.#fed < tasks.length && !this.#stopping.signal.aborted) {
      const last = this.#released ? tasks.length : tasks.length - heldBack;
      const next = tasks.slice(this.#fed, Math.min(last, this.#fed + batch));
      const pause = Bun.sleep(BATCH_MS);
      if (next.length > 0) {
        const records = next.map(({ id, ms, named }): OutgoingRecord => ({
          value: JSON.stringify({ id, ms }),
          headers: named ? { "task-id": id } : {},
        }));
        await this.#producer.send(TOPIC, records);
        this.#fed += next.length;
      }
      await pause;
    }
  }
}
