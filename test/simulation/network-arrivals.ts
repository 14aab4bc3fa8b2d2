/** What is on its way to one end of a simulated connection: in the order in which it was sent, none of it before its time. */

/** The connection itself, bytes, the other end's orderly end, or a failure. `at`: ms; Infinity: lost, unless it is sent again. */
export type Arrival =
  | { at: number; readonly kind: "open" | "end" }
  | { at: number; readonly kind: "failure"; readonly error: Error }
  | { at: number; readonly kind: "bytes"; readonly bytes: Uint8Array; readonly apart: boolean }; // apart: a read of its own

/** Sums of fractions of a ms are not exact. */
const SAME_MOMENT_MS = 1e-6;

export class Arrivals {
  #items: Arrival[] = [];
  #lastAt = 0;

  /** When there is something to take; Infinity: not as things are. */
  get nextAt(): number {
    return this.#items[0]?.at ?? Infinity;
  }

  /** Nothing overtakes what was sent before it. */
  add(arrival: Arrival): void {
    arrival.at = Math.max(arrival.at, this.#lastAt);
    this.#lastAt = arrival.at;
    this.#items.push(arrival);
  }

  /** A failure takes the place of whatever would come after it. */
  fail(error: Error, at: number): void {
    if (this.#items.some((item) => item.kind === "failure" && item.at <= at)) return;
    this.#keep((item) => item.at <= at && item.kind !== "failure");
    this.add({ at, kind: "failure", error });
  }

  takeDue(now: number): Arrival | null {
    const first = this.#items[0];
    if (first === undefined || !isHere(first, now)) return null;
    this.#items.shift();
    return first;
  }

  /** One read: the bytes that were taken and what else is there, up to a limit. */
  read(first: Uint8Array, now: number, bytesMax: number): Buffer {
    const parts = [first];
    let length = first.length;
    for (let next = this.#items[0]; next?.kind === "bytes"; next = this.#items[0]) {
      if (next.apart || !isHere(next, now) || length + next.bytes.length > bytesMax) break;
      this.#items.shift();
      parts.push(next.bytes);
      length += next.bytes.length;
    }
    return parts.length === 1 ? Buffer.from(first.buffer, first.byteOffset, first.length) : Buffer.concat(parts);
  }

  hasBytes(now: number): boolean {
    return this.#items.some((item) => item.kind === "bytes" && isHere(item, now));
  }

  /** What is not here yet is lost. A failure is sent once and never again. */
  lose(now: number): void {
    this.#keep((item) => item.kind !== "failure" || isHere(item, now));
    for (const item of this.#items) if (!isHere(item, now)) item.at = Infinity;
  }

  /** What was lost is sent again. */
  bringAgain(at: number): void {
    for (const item of this.#items) if (item.at === Infinity) item.at = at;
    this.#keep(() => true);
  }

  /** Nothing that is on its way comes later than this. */
  hurry(at: number): void {
    for (const item of this.#items) if (item.at !== Infinity) item.at = Math.min(item.at, at);
    this.#keep(() => true);
  }

  dropLost(): void {
    this.#keep((item) => item.at !== Infinity);
  }

  dropHere(now: number): void {
    this.#keep((item) => !isHere(item, now));
  }

  /** Nothing of the other end's fate comes any more. */
  dropEnds(): void {
    this.#keep((item) => item.kind === "bytes" || item.kind === "open");
  }

  clear(): void {
    this.#items.length = 0;
  }

  #keep(which: (item: Arrival) => boolean): void {
    this.#items = this.#items.filter(which);
    this.#lastAt = this.#items.at(-1)?.at ?? 0;
  }
}

function isHere(item: Arrival, now: number): boolean {
  return item.at <= now + SAME_MOMENT_MS;
}
