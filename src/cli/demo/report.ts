/** The demo's result: for programs as an object, for people as a table. */
import type { DoubtCounts, FaultCounts, Judgement } from "./proof.ts";

export interface DemoResult
  extends FaultCounts, Pick<Judgement, "tasks" | "executed" | "executedTwice" | "lost" | "starts"> {
  readonly doubts: DoubtCounts;
  readonly seconds: number;
  /** Why the proof fails, one sentence each; empty when it holds. */
  readonly complaints: readonly string[];
  /** What a person should know besides, and what is no part of the proof. */
  readonly notes: readonly string[];
}

const DOUBTS: Readonly<Record<keyof DoubtCounts, string>> = {
  attestedExecuted: "attested: executed elsewhere",
  waitedForHolder: "waited for the node that ran it",
  checkedExecuted: "checked: had been done",
  checkedNotExecuted: "checked: had not been done, so run",
  falsePositive: "proven unseen: run",
  committed: "below the watermark: committed",
  regranted: "own grant given again",
  byPolicy: "decided by onUnknown",
};

export function proofText(result: DemoResult): string {
  const rows: (readonly [string, number | string])[] = [
    ["tasks produced", result.tasks],
    ["tasks executed", result.executed],
    ["executed twice", result.executedTwice],
    ["lost", result.lost],
    ["handler starts", result.starts],
    ["nodes added", result.nodesAdded],
    ["nodes killed (kill -9 of the leader)", result.nodesKilled],
    ["handlers running on them at that moment", result.executingAtKill],
  ];
  for (const key of Object.keys(DOUBTS) as (keyof DoubtCounts)[])
    rows.push([`doubts, ${DOUBTS[key]}`, result.doubts[key]]);
  rows.push(["seconds", result.seconds]);
  const width = Math.max(...rows.map(([name]) => name.length));
  const numbers = Math.max(...rows.map(([, value]) => String(value).length));
  const lines = rows.map(([name, value]) => `  ${name.padEnd(width)}  ${String(value).padStart(numbers)}`);
  const verdict =
    result.complaints.length === 0
      ? "The proof holds: nothing lost, nothing executed twice."
      : ["THE PROOF FAILS:", ...result.complaints.map((complaint) => `  - ${complaint}`)].join("\n");
  const notes = result.notes.map((note) => `Note: ${note}`);
  return ["", "Proof, counted from the record of effects", ...lines, "", verdict, ...notes, ""].join("\n");
}
