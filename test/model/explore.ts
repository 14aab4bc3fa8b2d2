/**
 * A breadth-first search over all states of a small model.
 *
 * Guarantees: states are compared byte by byte (the hash only finds the place), so "exhaustive" means that every
 * reachable state was looked at; the story of a violation is as short as any. Does not: reduce symmetries, sample, or
 * run in parallel. A model too large for its bound ends as "capped", which proves nothing and fails `assertSound`.
 *
 * *Stuck* is checked for models that say when they are settled: a state is stuck when no run of ordinary steps
 * (faults excluded) leads from it to a settled one. That finds dead ends and traps, not unfair schedules.
 */
import type { Layout, Packed } from "./packed.ts";

export type ViolationKind = "double" | "loss" | "stuck" | "broken";

/** What a state may become. `step` is what a correct cluster does by itself, `fault` is what happens to it. */
export interface Moves<S> {
  step(label: string, change: (to: S) => void): void;
  fault(label: string, change: (to: S) => void): void;
}

export interface Model<S extends Packed> {
  readonly name: string;
  readonly layout: Layout<S>;
  /** Fills the first state, which comes zeroed. */
  start(state: S): void;
  /** Offers each successor; `change` receives a copy of `from`, which itself must not be written. */
  moves(from: S, moves: Moves<S>): void;
  /** What is wrong in this state itself. */
  violation(state: S): ViolationKind | undefined;
  /** Where ordinary steps may end (or what the bounds excuse); absent: no liveness check. */
  isSettled?(state: S): boolean;
}

export interface Violation {
  readonly kind: ViolationKind;
  readonly story: readonly string[];
}

export interface Exploration {
  readonly model: string;
  readonly states: number;
  readonly transitions: number;
  readonly exhaustive: boolean;
  readonly violation: Violation | undefined;
  readonly elapsedMs: number;
}

/** All states seen, as rows of one word array, with an open-addressing index over them. */
class StateStore {
  readonly #width: number;
  #rows: Uint32Array;
  #parents = new Uint32Array(1024);
  #index = new Uint32Array(4096);
  count = 0;

  constructor(width: number) {
    this.#width = width;
    this.#rows = new Uint32Array(width * 1024);
  }

  /** The number of this state; equal to the former `count` when it is new. */
  add(words: Uint32Array, parent: number): number {
    const width = this.#width;
    const rows = this.#rows;
    const mask = this.#index.length - 1;
    let slot = hashWords(words, 0, width) & mask;
    for (;;) {
      const found = this.#index[slot]!;
      if (found === 0) break;
      const base = (found - 1) * width;
      let k = 0;
      while (k < width && rows[base + k] === words[k]) k++;
      if (k === width) return found - 1;
      slot = (slot + 1) & mask;
    }
    this.#index[slot] = this.count + 1;
    const number = this.count++;
    if (number * width >= rows.length) this.#growRows();
    this.#rows.set(words, number * width);
    this.#parents[number] = parent;
    if (this.count * 2 > this.#index.length) this.#growIndex();
    return number;
  }

  load(number: number, into: Uint32Array): void {
    into.set(this.#rows.subarray(number * this.#width, (number + 1) * this.#width));
  }

  parentOf(number: number): number {
    return this.#parents[number]!;
  }

  #growRows(): void {
    const rows = new Uint32Array(this.#rows.length * 2);
    rows.set(this.#rows);
    this.#rows = rows;
    const parents = new Uint32Array(this.#parents.length * 2);
    parents.set(this.#parents);
    this.#parents = parents;
  }

  #growIndex(): void {
    const index = new Uint32Array(this.#index.length * 4);
    const mask = index.length - 1;
    for (let number = 0; number < this.count; number++) {
      let slot = hashWords(this.#rows, number * this.#width, this.#width) & mask;
      while (index[slot] !== 0) slot = (slot + 1) & mask;
      index[slot] = number + 1;
    }
    this.#index = index;
  }
}

function hashWords(words: Uint32Array, base: number, width: number): number {
  let hash = 0x9e3779b9;
  for (let k = 0; k < width; k++) {
    hash = Math.imul(hash ^ words[base + k]!, 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** The ordinary steps as pairs (from, to), kept only for models that want the liveness check. */
class Edges {
  #pairs = new Uint32Array(1 << 14);
  #length = 0;

  add(from: number, to: number): void {
    if (this.#length === this.#pairs.length) {
      const pairs = new Uint32Array(this.#pairs.length * 2);
      pairs.set(this.#pairs);
      this.#pairs = pairs;
    }
    this.#pairs[this.#length++] = from;
    this.#pairs[this.#length++] = to;
  }

  /** The first of `count` states from which no path leads to a state of `settled`, or -1. */
  firstStuck(count: number, settled: Uint8Array): number {
    const starts = new Uint32Array(count + 1);
    for (let e = 1; e < this.#length; e += 2) starts[this.#pairs[e]! + 1]!++;
    for (let k = 0; k < count; k++) starts[k + 1]! += starts[k]!;
    const place = starts.slice();
    const sources = new Uint32Array(this.#length / 2);
    for (let e = 0; e < this.#length; e += 2) sources[place[this.#pairs[e + 1]!]!++] = this.#pairs[e]!;
    const queue = new Uint32Array(count);
    let tail = 0;
    for (let k = 0; k < count; k++) if (settled[k]) queue[tail++] = k;
    for (let head = 0; head < tail; head++) {
      const at = queue[head]!;
      for (let e = starts[at]!; e < starts[at + 1]!; e++) {
        const source = sources[e]!;
        if (settled[source]) continue;
        settled[source] = 1;
        queue[tail++] = source;
      }
    }
    return settled.indexOf(0);
  }
}

/** Searches until a violation, the end, or `statesMax` states. */
export function explore<S extends Packed>(model: Model<S>, statesMax: number): Exploration {
  const startedMs = performance.now();
  const store = new StateStore(model.layout.words);
  const edges = model.isSettled ? new Edges() : undefined;
  const from = model.layout.view();
  const to = model.layout.view();
  let transitions = 0;
  let bad: { state: number; kind: ViolationKind } | undefined;
  let at = 0;
  const offer = (ordinary: boolean, change: (to: S) => void): void => {
    to.words.set(from.words);
    change(to);
    transitions++;
    const before = store.count;
    const number = store.add(to.words, at);
    if (ordinary) edges?.add(at, number);
    if (number !== before || bad) return;
    const kind = model.violation(to);
    if (kind) bad = { state: number, kind };
  };
  const moves: Moves<S> = {
    step: (_label, change) => offer(true, change),
    fault: (_label, change) => offer(false, change),
  };
  model.start(to);
  store.add(to.words, 0);
  for (; at < store.count && !bad && store.count < statesMax; at++) {
    store.load(at, from.words);
    model.moves(from, moves);
  }
  const exhaustive = at === store.count && !bad;
  if (exhaustive && edges && model.isSettled) {
    const settled = new Uint8Array(store.count);
    for (let k = 0; k < store.count; k++) {
      store.load(k, from.words);
      settled[k] = model.isSettled(from) ? 1 : 0;
    }
    const stuck = edges.firstStuck(store.count, settled);
    if (stuck >= 0) bad = { state: stuck, kind: "stuck" };
  }
  const violation = bad && { kind: bad.kind, story: storyOf(model, store, bad.state) };
  const elapsedMs = performance.now() - startedMs;
  return { model: model.name, states: store.count, transitions, exhaustive, violation, elapsedMs };
}

/** The labels from the first state to this one, found by expanding each ancestor once more. */
function storyOf<S extends Packed>(model: Model<S>, store: StateStore, last: number): string[] {
  const story: string[] = [];
  const from = model.layout.view();
  const to = model.layout.view();
  const wanted = model.layout.view();
  for (let number = last; number > 0; number = store.parentOf(number)) {
    store.load(store.parentOf(number), from.words);
    store.load(number, wanted.words);
    let found: string | undefined;
    const offer = (label: string, change: (to: S) => void): void => {
      if (found !== undefined) return;
      to.words.set(from.words);
      change(to);
      if (to.words.every((word, k) => word === wanted.words[k])) found = label;
    };
    model.moves(from, { step: offer, fault: (label, change) => offer(`FAULT ${label}`, change) });
    story.push(found ?? "(a step that did not repeat: the model is not deterministic)");
  }
  return story.reverse();
}

export function describe(result: Exploration): string {
  const found = result.violation
    ? `${result.violation.kind} in ${result.violation.story.length} steps`
    : result.exhaustive
      ? "exhaustive, nothing found"
      : "capped, nothing found so far";
  const lines = (result.violation?.story ?? []).map((line, k) => `  ${String(k + 1).padStart(2)} ${line}`);
  return [`${result.model}: ${result.states} states, ${found}`, ...lines].join("\n");
}
