/** docs/failure-matrix.md has every row, each with its place, and says what the tests say. */
import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { matrixIsCurrent } from "../simulation/rows/matrix-table.ts";
import { ELSEWHERE, findPlaces, LATER, placeOf, ROW_IDS, rowsTitled, shareOf } from "./matrix-places.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** Of the rows, as a share: scenarios or tests that run now. */
const SHOWN_MIN = 0.8;

const text = await Bun.file(join(ROOT, "docs/failure-matrix.md")).text();
const places = await findPlaces();

test("every row A1 to M17 is in the document, once and in order, in words", () => {
  const rows = text
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .filter((cells) => /^[A-Z]\d+$/.test(cells[1] ?? ""));
  expect(rows.map((cells) => cells[1]!)).toEqual([...ROW_IDS]);
  for (const [, id, what, end, shown] of rows) {
    expect({ id, words: [what, end].every((cell) => /[A-Za-z]{2}/.test(cell ?? "")) }).toEqual({ id, words: true });
    expect(shown).toBe(placeOf(id!, places));
  }
});

test("every row names a test that is there, or the later issue that brings one", () => {
  expect(places.faults).toEqual([]);
});

test("at least 80 % of the rows are shown by a test that runs now, and the document counts them", () => {
  const shown = ROW_IDS.filter((id) => places.files.get(id)!.length > 0);
  expect(shown.length / ROW_IDS.length).toBeGreaterThanOrEqual(SHOWN_MIN);
  expect(text.includes(`\n${shareOf(places)}\n`)).toBe(true);
});

test("the document is what its generator writes; if not: bun test/simulation/rows/matrix-table.ts", async () => {
  expect(await matrixIsCurrent()).toBe(true);
});

test("a row without a place, a test that is not there and a row with both are refused", async () => {
  const { E9: _, ...without } = LATER;
  expect((await findPlaces(ELSEWHERE, without)).faults).toEqual(["E9 has neither a test nor a later issue"]);
  expect((await findPlaces(ELSEWHERE, { ...LATER, A1: "some issue" })).faults).toEqual([
    "A1 has a test, and waits for a later issue as well",
  ]);
  const file = "test/links/handshake.test.ts";
  expect((await findPlaces({ ...ELSEWHERE, E9: [{ file, title: "R19: gone" }] }, without)).faults).toEqual([
    `E9: ${file} has no test "R19: gone"`,
    "E9 has neither a test nor a later issue",
  ]);
  const missing = await findPlaces({ ...ELSEWHERE, A1: [{ file: "test/gone.test.ts", title: "x" }] });
  expect(missing.faults).toEqual(['A1: test/gone.test.ts has no test "x"']);
});

test("titles are read as they are written", () => {
  const source = 'test("A8: x"); test(\n  `B3, B4: y ${z}`); test.each([])("M9, Z1: z"); test("R9: not a row");';
  expect(rowsTitled(source)).toEqual(["A8", "B3", "B4"]);
});
