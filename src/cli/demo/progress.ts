/** Progress of the demo: one line written over on a terminal, a line every few seconds elsewhere. */

const PLAIN_EVERY_MS = 2_000;
const BAR_WIDTH = 24;

export interface Standing {
  readonly effects: number;
  readonly nodes: number;
  readonly leader: string; // "" when none is known
  readonly epoch: number;
  readonly doubtful: number;
}

export class Progress {
  readonly #write: (text: string) => void;
  readonly #live: boolean;
  readonly #tasks: number;
  readonly #startedAt = performance.now();
  #lastPlainAt = Number.NEGATIVE_INFINITY;
  #lineWidth = 0;

  constructor(write: (text: string) => void, live: boolean, tasks: number) {
    this.#write = write;
    this.#live = live;
    this.#tasks = tasks;
  }

  /** Something happened that stays on the screen. */
  say(message: string): void {
    this.#clear();
    this.#write(`${this.#seconds()}  ${message}\n`);
  }

  /** How far it is; called often, shown as often as the output bears. */
  show(standing: Standing): void {
    const now = performance.now();
    if (!this.#live) {
      if (now - this.#lastPlainAt < PLAIN_EVERY_MS) return;
      this.#lastPlainAt = now;
      this.#write(`${this.#seconds()}  ${this.#text(standing)}\n`);
      return;
    }
    const done = Math.round((BAR_WIDTH * Math.min(standing.effects, this.#tasks)) / this.#tasks);
    const line = `${this.#seconds()}  [${"#".repeat(done)}${".".repeat(BAR_WIDTH - done)}] ${this.#text(standing)}`;
    this.#write(`\r${line.padEnd(this.#lineWidth)}`);
    this.#lineWidth = line.length;
  }

  end(): void {
    this.#clear();
  }

  #clear(): void {
    if (this.#lineWidth > 0) this.#write(`\r${" ".repeat(this.#lineWidth)}\r`);
    this.#lineWidth = 0;
  }

  #seconds(): string {
    return `${((performance.now() - this.#startedAt) / 1_000).toFixed(1).padStart(5)} s`;
  }

  #text({ effects, nodes, leader, epoch, doubtful }: Standing): string {
    const led = leader === "" ? "no leader" : `leader ${leader} (epoch ${epoch})`;
    return `${effects} of ${this.#tasks} effects, ${nodes} nodes, ${led}, ${doubtful} in doubt`;
  }
}
