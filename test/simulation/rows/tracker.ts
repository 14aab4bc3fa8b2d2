/**
 * One coverage counter: armed by its row's trigger, hit when the row's outcome was seen, dropped when the story went on otherwise.
 * Once hit it costs nothing any more: a seed counts a row once.
 */
import type { PartitionId } from "../../../src/core/identity.ts";
import type { World } from "../observer.ts";
import type { Facts } from "./facts.ts";

export interface Start {
  readonly node: string;
  readonly process: number;
  readonly at: number;
  readonly epoch: number;
  readonly stamp: number;
  readonly attempt: number;
  readonly run: number;
}

export interface Checked {
  readonly node: string;
  readonly at: number;
  readonly number: number;
  answer: string; // "" while it runs
}

/** What became of one record since the trigger, until its offset was committed. */
export interface Story {
  readonly partition: number;
  readonly offset: number;
  readonly taskId: string;
  readonly since: number;
  readonly epoch: number; // the highest with an active leader, at the trigger
  readonly starts: Start[];
  readonly checks: Checked[];
  setAside: "" | "dead" | "parked";
  effects: number; // of its task id, all
  committedAt: number;
  committedBy: string; // a node; "" for a foreign client
  endEpoch: number;
}

export type Judge = (story: Story) => boolean;
/** true: the outcome holds. false: it cannot any more. null: not yet. */
export type Poll = () => boolean | null;

/** Stories, and conditions, that one counter follows at the same time. */
const FOLLOWED_MAX = 6;
const POLLED_MAX = 3;

export class Tracker {
  readonly id: string;
  readonly facts: Facts;
  done = false;
  armed = 0; // how often the trigger was met
  following = 0;
  polling = 0;
  readonly #onHit: (id: string) => void;

  constructor(id: string, facts: Facts, onHit: (id: string) => void) {
    this.id = id;
    this.facts = facts;
    this.#onHit = onHit;
  }

  get world(): World {
    return this.facts.world;
  }

  hit(): void {
    if (this.done) return;
    this.done = true;
    this.#onHit(this.id);
  }

  /** Judged when the record's offset is committed. */
  follow(pid: PartitionId, offset: number, judge: Judge): void {
    if (this.done || this.following >= FOLLOWED_MAX) return;
    this.armed++;
    this.following++;
    this.facts.follow(this, pid, offset, judge);
  }

  /** Asked every few virtual ms until it is decided, or `ms` are over. */
  until(ms: number, poll: Poll): void {
    if (this.done || this.polling >= POLLED_MAX) return;
    this.armed++;
    this.polling++;
    this.facts.until(this, ms, poll);
  }

  on: Facts["on"] = (name, handler) => this.facts.on(name, handler, this);
}

/** Coverage of one row of the failure matrix. */
export interface Row {
  readonly id: string;
  readonly title: string;
  readonly create: (t: Tracker) => void;
}

// --- outcomes that many rows share

export const unchecked: Judge = (story) => story.checks.length === 0;

/** Nothing of it ran or was checked again: it was known to be done. */
export const knownDone: Judge = (story) =>
  story.starts.length === 0 && story.checks.length === 0 && story.setAside === "" && story.effects === 1;

/** It ran once, and nobody had to check. */
export const ranOnce: Judge = (story) => story.starts.length >= 1 && unchecked(story) && story.effects === 1;

/** One effect in all, or a person decides. */
export const atMostOnce: Judge = (story) => story.effects === 1 || (story.setAside !== "" && story.effects <= 1);

/** The check decided, and not before the effects of the old run had settled; without a check the policy did. */
export function checkDecided(t: Tracker, judge: Judge = atMostOnce): Judge {
  const { hasCheck, effectSettleMs } = t.world.settings;
  return (story) => {
    if (!hasCheck) return story.committedAt - story.since >= effectSettleMs;
    const first = story.checks[0];
    return first !== undefined && first.at - story.since >= effectSettleMs && judge(story);
  };
}

export function both(...judges: readonly Judge[]): Judge {
  return (story) => judges.every((judge) => judge(story));
}
