/**
 * The fencing token of one attempt: the epoch and the grant sequence. Each re-grant of a task has a larger token than the
 * grants before it (G1), so a sink that remembers the largest token per task and refuses smaller ones needs no timing bounds (G3).
 */

/** Wide enough for every safe integer, so that the texts sort as the numbers do. */
const DIGITS = 16;

export class FencingToken {
  readonly epoch: number;
  readonly sequence: number;

  constructor(epoch: number, sequence: number) {
    this.epoch = epoch;
    this.sequence = sequence;
  }

  /** Reads what `toString` wrote; null for any other text. */
  static parse(text: string): FencingToken | null {
    const match = /^(\d{16})-(\d{16})$/.exec(text);
    if (match === null) return null;
    const epoch = Number(match[1]);
    const sequence = Number(match[2]);
    return Number.isSafeInteger(epoch) && Number.isSafeInteger(sequence) ? new FencingToken(epoch, sequence) : null;
  }

  /** Negative when this token is older than `other`, 0 when equal, positive when newer. */
  compare(other: FencingToken): number {
    return this.epoch === other.epoch ? this.sequence - other.sequence : this.epoch - other.epoch;
  }

  /** `<epoch>-<sequence>`, 16 digits each: the order of the texts is the order of the tokens. */
  toString(): string {
    return `${String(this.epoch).padStart(DIGITS, "0")}-${String(this.sequence).padStart(DIGITS, "0")}`;
  }

  toJSON(): string {
    return this.toString();
  }
}
