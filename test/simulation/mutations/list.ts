/**
 * The seeded bugs (SIM8): each weakens one line of the product, and the simulator, or a model, must find it. What a line is for is
 * in `rules.ts` (the protocol's rules R1-R24), `parts.ts` (ZooKeeper, the filter, the shells) and `models.ts`.
 *
 * A bug that the unit tests' list (`test/mutations/list.ts`) has already is named there by its id and has its text from there.
 */
import { mutations as unitMutations } from "../../mutations/list.ts";
import { candidateRows } from "./candidates.ts";
import { models } from "./models.ts";
import { parts } from "./parts.ts";
import { rules } from "./rules.ts";

interface Described {
  readonly id: string;
  /** "R6", or the part that it is in: "ZooKeeper", "filter", "shell". */
  readonly rule: string;
  /** The bug in words, as a sentence without its end. */
  readonly bug: string;
}

/** Found by the ordinary swarm from seed 0, within so many seeds. */
export interface SimulatorMutation extends Described {
  readonly finder: "simulator";
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  readonly seeds: number;
}

/** The simulator cannot say anything about it: without the rule the model has a counterexample. */
export interface ModelMutation extends Described {
  readonly finder: "model";
  readonly test: string; // file
  readonly title: string; // the ablation's test
  /** Why not the simulator. */
  readonly why: string;
}

export type SeededBug = SimulatorMutation | ModelMutation;

/** A row of `rules.ts` and `parts.ts`: a text of its own, or one of the unit tests' list. */
export type Row =
  | { readonly id: string; readonly bug: string; readonly rule?: string; readonly seeds?: number }
  | {
      readonly id: string;
      readonly bug: string;
      readonly rule?: string;
      readonly seeds?: number;
      readonly file: string;
      readonly find: string;
      readonly replace: string;
    }
  | {
      readonly id: string;
      readonly bug: string;
      readonly rule?: string;
      readonly test: string;
      readonly title: string;
      readonly why: string;
    };

/** How many seeds a bug may need when its row does not say. */
const SEEDS_MAX = 500;

function ruleOf({ id, rule }: Row): string {
  if (rule !== undefined) return rule;
  const number = /^r(\d+)-/.exec(id)?.[1];
  if (number === undefined) throw new Error(`${id} names no rule`);
  return `R${number}`;
}

function bugOf(row: Row): SeededBug {
  const described = { id: row.id, rule: ruleOf(row), bug: row.bug };
  if ("title" in row) return { ...described, finder: "model", test: row.test, title: row.title, why: row.why };
  const seeds = row.seeds ?? SEEDS_MAX;
  if ("file" in row) {
    const { file, find, replace } = row;
    return { ...described, finder: "simulator", file, find, replace, seeds };
  }
  const unit = unitMutations.find(({ id }) => id === row.id);
  if (unit === undefined) throw new Error(`test/mutations/list.ts has no ${row.id}`);
  const { file, find, replace } = unit;
  return { ...described, finder: "simulator", file, find, replace, seeds };
}

export const seededBugs: readonly SeededBug[] = [...rules, ...parts, ...models].map(bugOf);

/** Bugs that the simulator has not been shown to find yet: tried by `--candidates`, counted nowhere. */
export const candidates: readonly SeededBug[] = candidateRows.map(bugOf);

/** @throws Error for an id that no simulator's mutation has */
export function simulatorMutation(id: string): SimulatorMutation {
  const found = [...seededBugs, ...candidates].find((bug) => bug.id === id);
  if (found === undefined) throw new Error(`no mutation ${id}`);
  if (found.finder !== "simulator") throw new Error(`${id} is a model's`);
  return found;
}

/** The changed text. @throws Error when the line is not there exactly once */
export function mutated({ id, file, find, replace }: SimulatorMutation, source: string): string {
  const pieces = source.split(find);
  if (pieces.length !== 2)
    throw new Error(`${id}: its text occurs ${pieces.length - 1} times in ${file}, expected once`);
  return pieces.join(replace);
}
