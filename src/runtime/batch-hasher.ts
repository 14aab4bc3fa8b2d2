/**
 * Task ids and their 8-byte hashes, a batch at a time into typed arrays. The only place that knows how a key is hashed:
 * every node of a cell must do it alike, so its format is named in the handshake (R19).
 */
import { KeyTag, type KeyHash } from "../../native-ish/key-hash.ts";
import type { DeliveredBatch } from "../core/events.ts";
import type { TaskRecord } from "../task-log/task-log.ts";

/** Changes whenever the same record would hash to something else. */
export const KEY_FORMAT = "xxh64-1";

export interface HashedTopic {
  readonly name: string;
  readonly generation: number;
  /** The task id that the record names; null when its delivery key names it. */
  readonly taskId: (record: TaskRecord) => string | null;
}

export type HashedBatch = Pick<DeliveredBatch, "offsets" | "hashes" | "ids" | "payloads">;

const NO_BYTES = new Uint8Array(0);

export class BatchHasher {
  readonly #topics: readonly HashedTopic[];
  /** Under the delivery-key tag with dedup epoch, topic and topic generation; a partition each, made when first seen. */
  readonly #deliveryKeys: Map<number, KeyHash>[];
  readonly #deliveryKey: KeyHash;
  readonly #taskId: KeyHash;
  readonly #payload: KeyHash;
  readonly #offset = new Uint8Array(8);
  readonly #offsetView = new DataView(this.#offset.buffer);

  /** `hash` has the cell's seed; both kinds of key cover the dedup epoch, under different prefixes (section 2). */
  constructor(hash: KeyHash, dedupEpoch: number, topics: readonly HashedTopic[]) {
    this.#topics = topics;
    this.#deliveryKeys = topics.map(() => new Map());
    this.#deliveryKey = hash.withPrefix(KeyTag.deliveryKey, String(dedupEpoch));
    this.#taskId = hash.withPrefix(KeyTag.taskId, String(dedupEpoch));
    this.#payload = hash.withPrefix(KeyTag.plain, "payload");
  }

  hash(topicIndex: number, partition: number, records: readonly TaskRecord[]): HashedBatch {
    const topic = this.#topics[topicIndex]!;
    const keyHash = this.#keyHash(topicIndex, partition);
    const count = records.length;
    const offsets = new Float64Array(count);
    const hashes = new Uint32Array(2 * count);
    let ids: (string | null)[] | null = null;
    let payloads: Uint32Array | null = null;
    for (let index = 0; index < count; index++) {
      const record = records[index]!;
      offsets[index] = record.offset;
      const id = topic.taskId(record);
      if (id === null) {
        this.#writeOffset(record.offset);
        keyHash.hashBytesInto(this.#offset, hashes, index);
        continue;
      }
      ids ??= Array.from({ length: count }, () => null);
      payloads ??= new Uint32Array(2 * count);
      ids[index] = id;
      this.#taskId.hashInto(id, hashes, index);
      this.#payload.hashBytesInto(record.value ?? NO_BYTES, payloads, index);
    }
    return { offsets, hashes, ids, payloads };
  }

  /** The pair of a task id, as `hash` gives it to a record that names itself. */
  taskIdPair(id: string): readonly [number, number] {
    const pair = new Uint32Array(2);
    this.#taskId.hashInto(id, pair, 0);
    return [pair[0]!, pair[1]!];
  }

  /** The pair of a record that its position names. */
  deliveryKeyPair(topicIndex: number, partition: number, offset: number): readonly [number, number] {
    const pair = new Uint32Array(2);
    this.#writeOffset(offset);
    this.#keyHash(topicIndex, partition).hashBytesInto(this.#offset, pair, 0);
    return [pair[0]!, pair[1]!];
  }

  /** All 53 bits, so that every offset has bytes of its own. */
  #writeOffset(offset: number): void {
    this.#offsetView.setUint32(0, Math.floor(offset / 2 ** 32));
    this.#offsetView.setUint32(4, offset >>> 0);
  }

  #keyHash(topicIndex: number, partition: number): KeyHash {
    const known = this.#deliveryKeys[topicIndex]!.get(partition);
    if (known !== undefined) return known;
    const { name, generation } = this.#topics[topicIndex]!;
    const made = this.#deliveryKey.withPrefix(KeyTag.deliveryKey, `${name}@${generation}:${partition}`);
    this.#deliveryKeys[topicIndex]!.set(partition, made);
    return made;
  }
}
