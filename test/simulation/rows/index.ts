/** Which rows of the failure matrix a run has covered (SIM13). */
import type { Observer, ObserverFactory, World } from "../observer.ts";
import { rowsA } from "./a.ts";
import { rowsB } from "./b.ts";
import { rowsC } from "./c.ts";
import { rowsD } from "./d.ts";
import { rowsE } from "./e.ts";
import { rowsF } from "./f.ts";
import { Facts } from "./facts.ts";
import { rowsM } from "./m.ts";
import { Tracker, type Row } from "./tracker.ts";

export const rows: readonly Row[] = [...rowsA, ...rowsB, ...rowsC, ...rowsD, ...rowsE, ...rowsF, ...rowsM];

/** Rows that no run can hit, and why. */
export const notSimulated: Readonly<Record<string, string>> = {
  E9: "the client speaks the classic group protocol only",
  M9: "no digests are exchanged yet",
  M14: "a simulation has one cell; the handshake's test has two",
};

/** One observer with all counters. `trackers` tells how often each was armed. */
export class RowCoverage extends Facts implements Observer {
  readonly hits: string[] = [];
  readonly trackers: readonly Tracker[];

  constructor(world: World, onHit: (row: string) => void = () => undefined, only: readonly Row[] = rows) {
    super(world);
    const hit = (id: string): void => {
      this.hits.push(id);
      onHit(id);
    };
    this.trackers = only.map(({ id, create }) => {
      const tracker = new Tracker(id, this, hit);
      create(tracker);
      return tracker;
    });
  }
}

export function rowObservers(onHit: (row: string) => void): ObserverFactory[] {
  return [(world) => new RowCoverage(world, onHit)];
}
