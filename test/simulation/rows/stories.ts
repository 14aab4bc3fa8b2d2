/** The stories that counters follow, by partition: what happens to a record from a trigger to its commit. */
import type { HistoryEventOf } from "../history.ts";
import type { Facts } from "./facts.ts";
import type { Checked, Judge, Start, Story, Tracker } from "./tracker.ts";

interface Followed {
  readonly tracker: Tracker;
  readonly judge: Judge;
  readonly story: Story;
}

export class Stories {
  readonly #facts: Facts;
  readonly #byPartition: Followed[][] = [];
  readonly #checks = new Map<number, Checked[]>(); // that run, by number

  constructor(facts: Facts) {
    this.#facts = facts;
  }

  follow(tracker: Tracker, partition: number, offset: number, judge: Judge): void {
    const { world, topEpoch } = this.#facts;
    const story: Story = {
      partition,
      offset,
      taskId: world.taskIdOf(partition, offset),
      since: world.now,
      epoch: topEpoch,
      starts: [],
      checks: [],
      setAside: "",
      effects: 0,
      committedAt: Infinity,
      committedBy: "",
      endEpoch: topEpoch,
    };
    (this.#byPartition[partition] ??= []).push({ tracker, judge, story });
  }

  started(partition: number, offset: number, start: Start): void {
    for (const { story } of this.#of(partition, offset)) story.starts.push(start);
  }

  checked({ partition, offset, node, at, check }: HistoryEventOf<"check-start">): void {
    for (const { story } of this.#of(partition, offset)) {
      const checked: Checked = { node, at, number: check, answer: "" };
      story.checks.push(checked);
      const running = this.#checks.get(check);
      if (running === undefined) this.#checks.set(check, [checked]);
      else running.push(checked);
    }
  }

  checkEnded({ check, answer }: HistoryEventOf<"check-end">): void {
    const running = this.#checks.get(check);
    if (running === undefined) return;
    this.#checks.delete(check);
    for (const checked of running) checked.answer = answer;
  }

  setAside({ partition, offset, kind }: HistoryEventOf<"set-aside">): void {
    for (const { story } of this.#of(partition, offset)) story.setAside = kind;
  }

  committed({ partition, position, node, at }: HistoryEventOf<"committed">): void {
    const followed = this.#byPartition[partition];
    if (followed === undefined || followed.length === 0) return;
    this.#byPartition[partition] = followed.filter(({ tracker, judge, story }) => {
      if (tracker.done) return false;
      if (position <= story.offset) return true;
      tracker.following--;
      story.effects = this.#facts.world.effects(story.taskId);
      story.committedAt = at;
      story.committedBy = node;
      story.endEpoch = this.#facts.topEpoch;
      if (judge(story)) tracker.hit();
      return false;
    });
  }

  *#of(partition: number, offset: number): Generator<Followed, void, undefined> {
    const followed = this.#byPartition[partition];
    if (followed === undefined) return;
    for (const each of followed) if (each.story.offset === offset && !each.tracker.done) yield each;
  }
}
