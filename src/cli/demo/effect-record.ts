/**
 * The record of what really happened: one file to which every handler of every process appends a line when it starts and
 * a line when its effect takes place. It is the only witness that the proof believes, and what the check strategy reads.
 *
 * A line is written by one `write` to a file opened with O_APPEND, so lines of several processes do not mix, and a line
 * outlives `kill -9` of its writer from the moment that `write` returned.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";

export interface EffectLine {
  readonly kind: "start" | "effect";
  readonly taskId: string;
  readonly node: string;
  readonly pid: number;
  /** Fencing token; texts of tokens sort as the tokens do. */
  readonly token: string;
}

const LINE = /^(start|effect) (\S+) (\S+) (\d+) (\S+)$/;
const READ_BYTES = 256 * 1_024;

/** null for a line that is none. */
export function parseLine(line: string): EffectLine | null {
  const [, kind, taskId, node, pid, token] = LINE.exec(line) ?? [];
  if (kind === undefined || taskId === undefined || node === undefined || token === undefined) return null;
  return { kind: kind === "start" ? "start" : "effect", taskId, node, pid: Number(pid), token };
}

export function formatLine({ kind, taskId, node, pid, token }: EffectLine): string {
  return `${kind} ${taskId} ${node} ${pid} ${token}\n`;
}

/** Appends lines; the file is created by the first of them. */
export class EffectWriter implements Disposable {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  /** Returns when the line is in the file. Synchronous: nothing may come between an effect and its line. */
  append(line: EffectLine): void {
    writeSync(this.#file, formatLine(line));
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** Reads a growing file: each call gives the whole lines that were added since the last one. */
export class EffectReader implements Disposable {
  readonly #file: number;
  readonly #buffer = new Uint8Array(READ_BYTES);
  readonly #decoder = new TextDecoder();
  #rest = "";
  #position = 0;
  #malformed = 0;

  /** @throws when the file cannot be opened; it is created when it is missing, so that a reader may come first. */
  constructor(path: string) {
    this.#file = openSync(path, "a+");
  }

  /** Lines that had another form than `formatLine` writes. */
  get malformed(): number {
    return this.#malformed;
  }

  readNew(): EffectLine[] {
    const lines: EffectLine[] = [];
    for (;;) {
      const bytes = readSync(this.#file, this.#buffer, 0, READ_BYTES, this.#position);
      if (bytes === 0) return lines;
      this.#position += bytes;
      const parts = (this.#rest + this.#decoder.decode(this.#buffer.subarray(0, bytes), { stream: true })).split("\n");
      this.#rest = parts.pop() ?? "";
      for (const part of parts) {
        const line = parseLine(part);
        if (line === null) this.#malformed++;
        else lines.push(line);
      }
    }
  }

  /** Characters after the last line break: a line that its writer did not finish. */
  get unfinished(): string {
    return this.#rest;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}
