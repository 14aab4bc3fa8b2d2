/** What a cluster's handlers and checks wrote down, the gates that handlers wait at, and the judge's word on all of it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EffectReader, type EffectLine } from "../../src/cli/demo/effect-record.ts";
import { judge, type Judgement } from "../../src/cli/demo/proof.ts";
import type { CheckLine, JournalLine, TaskSetting } from "./cluster-tasks.ts";

type Places = Pick<TaskSetting, "record" | "checks" | "journal" | "gates">;

export class ClusterRecord {
  /** Task ids that were produced by name, each as often as it was. */
  protected readonly produced: string[] = [];
  /** Where the task module writes and looks. */
  protected readonly places: Places;
  readonly #reader: EffectReader;
  readonly #effects: EffectLine[] = [];

  constructor(folder: string) {
    this.places = {
      record: join(folder, "effects.log"),
      checks: join(folder, "checks.log"),
      journal: join(folder, "journal.log"),
      gates: join(folder, "gates"),
    };
    mkdirSync(this.places.gates);
    this.#reader = new EffectReader(this.places.record);
  }

  /** Lets every handler go on that waits for the gate of this name. */
  openGate(name: string): void {
    writeFileSync(join(this.places.gates, name), "");
  }

  /** All lines of the record so far: a start when a handler begins, an effect when its effect takes place. */
  effects(): readonly EffectLine[] {
    this.#effects.push(...this.#reader.readNew());
    return this.#effects;
  }

  starts(taskId: string): EffectLine[] {
    return this.effects().filter((line) => line.kind === "start" && line.taskId === taskId);
  }

  effectsOf(taskId: string): EffectLine[] {
    return this.effects().filter((line) => line.kind === "effect" && line.taskId === taskId);
  }

  checks(): CheckLine[] {
    return jsonLines<CheckLine>(this.places.checks);
  }

  /** Starts and aborts of one task, in their order over all processes. */
  journal(taskId: string): JournalLine[] {
    return jsonLines<JournalLine>(this.places.journal).filter((line) => line.taskId === taskId);
  }

  /** Judges the record against the task ids that were produced by name. */
  judgement(): Judgement {
    return judge(this.effects(), this.produced);
  }

  protected closeRecord(): void {
    this.#reader[Symbol.dispose]();
  }
}

/** Lines that are complete; a missing file has none. */
function jsonLines<T>(path: string): T[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as T);
}
