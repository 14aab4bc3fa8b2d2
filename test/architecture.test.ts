/** Who may import whom, what the core may not contain, and how long a file may be. A new edge is a decision: add it here. */
import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dir, "..");
const LINES_MAX = 400;

/**
 * Rooms and what they may import besides themselves; the longest matching path wins. A file name is a room of its own.
 * "native-ish/bloom" is the seen-set with its siblings, without the hash.
 */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  "node.ts": ["src/cli", "src/index.ts"],
  "native-ish/bloom": ["native-ish/crc32.ts"],
  "native-ish/crc32.ts": [],
  "native-ish": ["native-ish/bloom"],
  "src/errors.ts": [],
  "src/core": ["native-ish/bloom"],
  "src/config": ["src/core", "src/errors.ts"],
  "src/wire": ["src/core", "src/errors.ts"],
  "src/links": ["src/core", "src/errors.ts", "src/wire"],
  "src/task-log": [],
  "src/task-log/kafka": ["native-ish/crc32.ts", "src/errors.ts", "src/task-log"],
  "src/task-log/embedded": ["src/errors.ts", "src/task-log"],
  "src/coordinator": ["src/errors.ts"],
  "src/coordinator/zookeeper": ["src/errors.ts", "src/coordinator"],
  "src/coordinator/embedded": ["src/errors.ts", "src/coordinator"],
  "src/execution": ["src/core", "src/errors.ts", "src/task-log"],
  "src/data-dir": ["native-ish/bloom", "src/errors.ts"],
  "src/ops": ["src/config", "src/coordinator", "src/core", "src/errors.ts"],
  "src/runtime": [
    "native-ish",
    "package.json",
    "src/config",
    "src/coordinator",
    "src/coordinator/embedded",
    "src/coordinator/zookeeper",
    "src/core",
    "src/data-dir",
    "src/errors.ts",
    "src/execution",
    "src/links",
    "src/ops",
    "src/task-log",
    "src/task-log/embedded",
    "src/task-log/kafka",
    "src/wire",
  ],
  "src/cli": [
    "package.json",
    "src/config",
    "src/core",
    "src/errors.ts",
    "src/execution",
    "src/ops",
    "src/runtime",
    "src/task-log",
  ],
  "src/index.ts": ["src/config", "src/core", "src/errors.ts", "src/execution", "src/runtime", "src/task-log"],
};

/** The core decides and does nothing: no waiting, no clock, no chance, no machine (R: "the core decides, the shell does"). */
const NOT_IN_THE_CORE = ["async", "await", "process.", "Bun.", "Date.now", "Math.random"];

async function sources(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const pattern of ["node.ts", "src/**/*.ts", "native-ish/**/*.ts"]) {
    for await (const path of new Glob(pattern).scan(ROOT)) files.set(path, await Bun.file(join(ROOT, path)).text());
  }
  return files;
}

/** Comments out, text kept: good enough for code that a formatter has been over. */
function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, "")).replace(/(^|\s)\/\/.*$/gm, "$1");
}

/** Relative imports as paths from the root, types included. */
function importsOf(path: string, text: string): string[] {
  const found = [...codeOf(text).matchAll(/(?:\bfrom|\bimport|import\()\s*"(\.{1,2}\/[^"]+)"/g)];
  return found.map((match) => relative(ROOT, join(ROOT, dirname(path), match[1]!)));
}

function roomOf(path: string): string {
  if (path.startsWith("native-ish/bloom")) return "native-ish/bloom";
  const fitting = Object.keys(ROOMS).filter((room) => path === room || path.startsWith(`${room}/`));
  return fitting.toSorted((a, b) => b.length - a.length)[0] ?? path;
}

function mayImport(from: string, to: string): boolean {
  const target = roomOf(to);
  if (roomOf(from) === target) return true;
  const allowed = ROOMS[roomOf(from)] ?? [];
  return allowed.includes(target) || (target === "native-ish/bloom" && allowed.includes("native-ish"));
}

/** Files that can be reached from themselves, as one path each. */
function cyclesIn(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const cycles: string[] = [];
  const state = new Map<string, "open" | "done">();
  const path: string[] = [];
  const visit = (file: string): void => {
    state.set(file, "open");
    path.push(file);
    for (const next of graph.get(file) ?? []) {
      if (state.get(next) === "open") cycles.push([...path.slice(path.indexOf(next)), next].join(" -> "));
      else if (state.get(next) === undefined) visit(next);
    }
    path.pop();
    state.set(file, "done");
  };
  for (const file of graph.keys()) if (state.get(file) === undefined) visit(file);
  return cycles;
}

/** Imports that exist at run time: a type may be named both ways, a value may not. */
function valueImportsOf(path: string, text: string): string[] {
  const code = codeOf(text);
  const statements = [...code.matchAll(/(?:import|export)\s+(?!type\b)([^;]*?)\bfrom\s*"(\.{1,2}\/[^"]+)"/g)];
  const values = statements.filter(([, names]) => {
    const listed = /\{([\s\S]*)\}/.exec(names!)?.[1];
    const rest = names!.replace(/\{[\s\S]*\}/, "").replace(/[\s,]/g, "");
    return (
      rest !== "" ||
      listed === undefined ||
      listed.split(",").some((name) => name.trim() !== "" && !name.trim().startsWith("type "))
    );
  });
  const bare = [...code.matchAll(/\bimport(?:\(|\s)\s*"(\.{1,2}\/[^"]+)"/g)].map((match) => match[1]!);
  return [...values.map((match) => match[2]!), ...bare].map((to) => relative(ROOT, join(ROOT, dirname(path), to)));
}

test("every import is an edge of the table", async () => {
  const forbidden: string[] = [];
  for (const [path, text] of await sources()) {
    for (const to of importsOf(path, text)) if (!mayImport(path, to)) forbidden.push(`${path} imports ${to}`);
  }
  expect(forbidden).toEqual([]);
});

test("every file is in a room of the table, and every edge of the table is used", async () => {
  const files = await sources();
  expect([...files.keys()].filter((path) => ROOMS[roomOf(path)] === undefined)).toEqual([]);
  const used = new Set<string>();
  for (const [path, text] of files)
    for (const to of importsOf(path, text)) used.add(`${roomOf(path)} -> ${roomOf(to)}`);
  const rooms = new Set([...files.keys()].map(roomOf));
  const idle = Object.entries(ROOMS).flatMap(([room, allowed]) =>
    allowed
      .filter((to) => rooms.has(room) && (rooms.has(to) || to === "package.json") && !used.has(`${room} -> ${to}`))
      .map((to) => `${room} -> ${to}`),
  );
  expect(idle).toEqual([]);
});

test("no two files need each other", async () => {
  const graph = new Map<string, string[]>();
  for (const [path, text] of await sources()) graph.set(path, valueImportsOf(path, text));
  expect(cyclesIn(graph)).toEqual([]);
});

test("the core contains no waiting, clock, chance or machine", async () => {
  const found: string[] = [];
  for (const [path, text] of await sources()) {
    if (!path.startsWith("src/core/")) continue;
    codeOf(text)
      .split("\n")
      .forEach((line, i) => {
        for (const word of NOT_IN_THE_CORE) {
          const pattern = new RegExp(`\\b${word.replace(".", "\\.")}${word.endsWith(".") ? "" : "\\b"}`);
          if (pattern.test(line)) found.push(`${path}:${i + 1}: ${word}`);
        }
      });
    for (const [, name] of text.matchAll(/from "((?!\.)[^"]+)"/g)) found.push(`${path} imports ${name}`);
  }
  expect(found).toEqual([]);
});

test(`a file of src or native-ish over ${LINES_MAX} lines says at its top why`, async () => {
  const silent: string[] = [];
  for (const [path, text] of await sources()) {
    const lines = text.split("\n").length - 1;
    const head = /^\/\*\*[\s\S]*?\*\//.exec(text)?.[0] ?? "";
    if (lines > LINES_MAX && !/\b(long|longer|length|lines)\b/i.test(head)) silent.push(`${path}: ${lines} lines`);
  }
  expect(silent).toEqual([]);
});

describe("these tests can fail", () => {
  test("a forbidden edge, a cycle and a comment are told apart", () => {
    expect(mayImport("src/core/node.ts", "native-ish/bloom.ts")).toBe(true);
    expect(mayImport("src/core/node.ts", "native-ish/key-hash.ts")).toBe(false);
    expect(mayImport("src/core/node.ts", "src/wire/codec.ts")).toBe(false);
    expect(mayImport("src/task-log/task-log.ts", "src/task-log/kafka/index.ts")).toBe(false);
    expect(mayImport("native-ish/bloom.ts", "src/errors.ts")).toBe(false);
    expect(
      cyclesIn(
        new Map([
          ["a", ["b"]],
          ["b", ["c"]],
          ["c", ["b"]],
        ]),
      ),
    ).toEqual(["b -> c -> b"]);
    expect(codeOf('const a = 1; // Date.now\n/* await */ const url = "http://x";')).not.toMatch(/Date|await/);
    expect(codeOf('const url = "http://x";')).toContain("http://x");
    expect(importsOf("src/a/b.ts", 'import {\n  c,\n} from "../d.ts";\nimport("./e.ts");')).toEqual([
      "src/d.ts",
      "src/a/e.ts",
    ]);
    expect(
      valueImportsOf(
        "src/a.ts",
        'import type { A } from "./b.ts";\nimport { type C, d } from "./e.ts";\nimport { type F } from "./g.ts";',
      ),
    ).toEqual(["src/e.ts"]);
  });
});
