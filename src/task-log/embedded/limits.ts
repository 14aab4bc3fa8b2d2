/** Every bound of the embedded task log, with its unit. None of them changes what is promised, only when something waits or is refused. */

export const limits = {
  /** Kafka's own limit, so that a node that works here works there. */
  commitMetadataBytesMax: 4_096,
  /** Key, value and headers of one record together; Kafka's default `message.max.bytes` is the same size. */
  recordBytesMax: 1_048_576,
  /** A transaction keeps every other process from writing, so that one is kept to a few milliseconds. */
  recordsPerTransactionMax: 1_000,
  bytesPerTransactionMax: 4_194_304,
  /** Records handed to one producer and not yet acknowledged; a further `send` is refused as retriable. */
  producerQueueBytesMax: 268_435_456,
  /** Reading is synchronous: more records than this in one batch would hold up the event loop. */
  recordsPerBatchMax: 2_000,
  partitionsPerTopicMax: 10_000,
  /** The pause before trying a busy database again, with jitter below it. */
  busyRetryJitterMs: 4,
  /** How long a read, a group change or a producer's transaction is tried against a busy database. */
  busyGiveUpMs: 30_000,
  /** A commit is asked for again by its caller, so that one gives up early as "unknown". */
  commitGiveUpMs: 5_000,
  /** Polling of the files: from the first to the second while nothing happens, doubling. */
  pollMinMs: 1,
  pollMaxMs: 50,
  /** How often the same thing that does not work is said again. */
  warningIntervalMs: 5_000,
} as const;
