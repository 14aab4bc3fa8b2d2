/** The shapes of the two packages behind `codecs.ts`: only what is used, read in their sources. */

declare module "lz4js" {
  /**
   * One block into `target` from `targetIndex` on; answers where it ended. It reads and writes past the bounds without an
   * error: whoever calls compares what it answers.
   */
  export function decompressBlock(
    source: Uint8Array,
    target: Uint8Array,
    sourceIndex: number,
    sourceLength: number,
    targetIndex: number,
  ): number;
  /** A frame; the product writes no compressed records, its tests do. */
  export function compress(bytes: Uint8Array): Uint8Array;
}

declare module "snappyjs" {
  /** @throws Error for another format, and when the declared length is above the limit */
  export function uncompress(compressed: Uint8Array, lengthMax: number): Uint8Array;
  /** The plain format; for tests. */
  export function compress(bytes: Uint8Array): Uint8Array;
}
