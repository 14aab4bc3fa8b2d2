/** Every limit of the peer protocol's bytes, in one place. A frame that breaks one is refused and its link closed. */

/** Raised whenever two versions could misread each other; compared in the handshake (R19). */
export const PROTOCOL_VERSION = 2;

export const CONTROL_BYTES_MAX = 64 * 1024;
export const BULK_BYTES_MAX = 1024 * 1024;
export const HELLO_BYTES_MAX = 4 * 1024;

export const DEPTH_MAX = 8;
export const ARRAY_LENGTH_MAX = 65_536;
export const STRING_BYTES_MAX = 4 * 1024;

/** Tasks in one batch of one partition: above any window of a table (32,768 slots). */
export const BATCH_TASKS_MAX = 65_536;
/** Longer task ids must be replaced by a digest before they reach the core. */
export const TASK_ID_BYTES_MAX = 1024;
export const NODE_ID_LENGTH_MAX = 128;
/** One segment of a filter. */
export const SEGMENT_BYTES = 4096;
/** Offsets stay so far below 2^53 that adding a u32 delta or a count cannot leave the safe integers. */
export const OFFSET_MAX = Number.MAX_SAFE_INTEGER - 2 ** 33;
export const LEASE_MS_MAX = 3_600_000;
