/**
 * Where each row of docs/failure-matrix.md has its place: a test whose title begins with the row's number ("A8: ...",
 * "B3, B4: ..."), wherever it is below test/; a test of another title, named here; or the later issue that brings it.
 */
import { Glob } from "bun";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");
const LAST = { A: 13, B: 14, C: 19, D: 12, E: 25, F: 16, M: 17 };

export const ROW_IDS: readonly string[] = Object.entries(LAST).flatMap(([part, last]) =>
  Array.from({ length: last }, (_, i) => `${part}${i + 1}`),
);

export interface Named {
  readonly file: string;
  /** As it stands in the source, from its beginning on. */
  readonly title: string;
}

/** Tests that show a row and have another title, since they prove a rule or a requirement as well. */
export const ELSEWHERE: Readonly<Record<string, readonly Named[]>> = {
  C14: [
    {
      file: "test/coordinator/zookeeper/real-server.test.ts",
      title: "an ensemble that was set up anew is not taken for the old one",
    },
  ],
  E10: [
    {
      file: "test/task-log/kafka/commit-outcome.test.ts",
      title: "R14: what says that the generation is over is refused, however deep it is",
    },
  ],
  E23: [
    {
      file: "test/execution/watchdog-eye.test.ts",
      title: "kills when its time is over and handlers run",
    },
  ],
  M8: [
    {
      file: "test/links/handshake.test.ts",
      title: "R19: a refusal names the parameter that differs, with both values",
    },
  ],
  M14: [
    {
      file: "test/links/handshake.test.ts",
      title: "R19: another cell, cluster or version is refused by name",
    },
  ],
};

/** Rows that no test shows yet, with the subject of the issue that brings them. */
export const LATER: Readonly<Record<string, string>> = {
  E9: "a client of the consumer group protocol of KIP-848; ours speaks the classic one, which has no such error",
  M9: "digests of the seen-set, exchanged between the leader and the in-sync set",
};

/** What demonstrates no row: the simulator's counters have titles with row numbers of their own; so do titles in quotes. */
const NOT_HERE = ["test/simulation/", "test/scenarios/matrix.test.ts"];

export interface Places {
  /** Test files by row, in order, without repetition. */
  readonly files: ReadonlyMap<string, readonly string[]>;
  /** What is wrong with the lists above, one sentence each. */
  readonly faults: readonly string[];
}

const TITLED = /\btest(?:\.\w+)?\(\s*[`"]([A-Z]\d+(?:, [A-Z]\d+)*):/g;

/** Row numbers before the colon of each test's title. */
export function rowsTitled(source: string): readonly string[] {
  const ids = [...source.matchAll(TITLED)].flatMap((match) => match[1]!.split(", "));
  return [...new Set(ids)].filter((id) => ROW_IDS.includes(id));
}

/** Reads the tests. `elsewhere` and `later` are parameters so that a test can show what is refused. */
export async function findPlaces(
  elsewhere: Readonly<Record<string, readonly Named[]>> = ELSEWHERE,
  later: Readonly<Record<string, string>> = LATER,
): Promise<Places> {
  const sources = new Map<string, string>();
  for await (const file of new Glob("test/**/*.test.ts").scan(ROOT))
    sources.set(file, await Bun.file(join(ROOT, file)).text());
  const files = new Map<string, string[]>(ROW_IDS.map((id) => [id, []]));
  for (const file of [...sources.keys()].sort(scenariosFirst)) {
    if (NOT_HERE.some((start) => file.startsWith(start))) continue;
    for (const id of rowsTitled(sources.get(file)!)) files.get(id)!.push(file);
  }
  const faults: string[] = [];
  for (const [id, named] of Object.entries(elsewhere)) {
    if (!files.has(id)) faults.push(`${id} is no row`);
    for (const { file, title } of named) {
      if (!hasTest(sources.get(file), title)) faults.push(`${id}: ${file} has no test "${title}"`);
      else if (files.get(id)?.includes(file) === false) files.get(id)!.push(file);
    }
  }
  for (const id of ROW_IDS) {
    const shown = files.get(id)!.length > 0;
    if (!shown && later[id] === undefined) faults.push(`${id} has neither a test nor a later issue`);
    if (shown && later[id] !== undefined) faults.push(`${id} has a test, and waits for a later issue as well`);
  }
  return { files, faults };
}

function hasTest(source: string | undefined, title: string): boolean {
  return source !== undefined && ['"', "`"].some((quote) => source.includes(`${quote}${title}`));
}

/** The scenario of a row stands before what shows it on real servers. */
function scenariosFirst(a: string, b: string): number {
  const rank = (file: string): number => (file.startsWith("test/scenarios/") ? 0 : 1);
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

/** The sentence above the tables: how many rows a test shows that runs now. */
export function shareOf(places: Places): string {
  const shown = [...places.files.values()].filter((files) => files.length > 0).length;
  const share = ((100 * shown) / ROW_IDS.length).toFixed(1);
  return `${COUNTED}${ROW_IDS.length} rows, ${shown} (${share} %) are shown by a test that runs in \`npm test\`; the others name what they wait for.`;
}

/** How that sentence begins, to find it again. */
export const COUNTED = "Of the ";

/** What stands in the column "shown by". */
export function placeOf(id: string, places: Places): string {
  const files = places.files.get(id) ?? [];
  if (files.length > 0) return files.map((file) => `\`${file}\``).join(", ");
  return LATER[id] === undefined ? "" : `later: ${LATER[id]}`;
}
