/** The column of docs/failure-matrix.md that says what the simulator hits is made from the published long run. */
import { expect, test } from "bun:test";
import { notSimulated, rows } from "./index.ts";
import { coverageOf, matrixIsCurrent, withCoverage } from "./matrix-table.ts";

const LAST = { A: 13, B: 14, C: 19, D: 12, E: 25, F: 16, M: 17 };
const ids = Object.entries(LAST).flatMap(([part, last]) => Array.from({ length: last }, (_, i) => `${part}${i + 1}`));

test("SIM13: every row of the matrix has one counter, or a reason why no run can hit it", () => {
  const counted = rows.map((row) => row.id);
  expect(new Set(counted).size).toBe(counted.length);
  expect(ids.filter((id) => counted.includes(id) === (notSimulated[id] !== undefined))).toEqual([]);
  expect(counted.filter((id) => !ids.includes(id))).toEqual([]);
  expect(counted.length / ids.length).toBeGreaterThanOrEqual(0.9);
});

test("SIM13: the failure matrix says for each row whether the simulator hits it", async () => {
  expect(await matrixIsCurrent()).toBe(true);
});

const DOCUMENT = `# Title

| row | what   | shown by |
| --- | ------ | -------- |
| A1  | a word | a test   |
| E9  | other  | later    |

| other table | b |
| ----------- | - |

The end.
`;

test("the column is added once, and replaced after that", () => {
  const run = { seeds: 70, rows: { A1: 12 } };
  const once = withCoverage(DOCUMENT, { seeds: 9, rows: {} });
  expect(once).toContain("| A1  | a word | a test   | not hit in 9 seeds ");
  const twice = withCoverage(once, run);
  expect(twice).toBe(withCoverage(DOCUMENT, run));
  expect(twice).toContain("| A1  | a word | a test   | 12 seeds ");
  expect(twice).toContain("| other table | b |\n| ----------- | - |\n\nThe end.\n");
});

test("a row says its seeds, the reason, or that nothing was run yet", () => {
  expect(coverageOf("A1", { seeds: 5, rows: { A1: 1 } })).toBe("1 seed");
  expect(coverageOf("E9", { seeds: 5, rows: {} })).toMatch(/^no: /);
  expect(coverageOf("A2", null)).toBe("not run yet");
});
