/** Task modules by path. Every module is tried, and every error of every module is reported in one throw. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describeError, TaskModuleError } from "../errors.ts";
import type { TaskDefaults, TaskType } from "./define.ts";
import { type DefinitionProblem, resolveTasks, type TaskSource } from "./resolve.ts";

/**
 * Imports the modules (paths are relative to the working directory) and resolves what they export by default.
 * @throws TaskModuleError: a file is missing, throws at import, has no default export, or defines nothing usable.
 */
export async function loadTaskModules(
  paths: readonly string[],
  defaults?: TaskDefaults,
  onProblem?: DefinitionProblem,
): Promise<readonly TaskType[]> {
  const sources: TaskSource[] = [];
  const violations: string[] = [];
  let cause: unknown;
  for (const path of paths) {
    const loaded = await defaultExportOf(path);
    if ("exported" in loaded) sources.push({ name: path, exported: loaded.exported });
    else {
      violations.push(`${path}: ${loaded.violation}`);
      cause ??= loaded.cause;
    }
  }
  if (violations.length === 0) return resolveTasks(sources, defaults, onProblem);
  // The modules that could be imported are checked too: one run shows everything that is to be mended.
  const more = sources.length === 0 ? [] : violationsOf(() => resolveTasks(sources, defaults, onProblem));
  throw new TaskModuleError([...violations, ...more], { cause });
}

function violationsOf(run: () => unknown): readonly string[] {
  try {
    run();
    return [];
  } catch (thrown) {
    return thrown instanceof TaskModuleError ? thrown.violations : [describeError(thrown)];
  }
}

type Loaded = { readonly exported: unknown } | { readonly violation: string; readonly cause?: unknown };

async function defaultExportOf(path: string): Promise<Loaded> {
  const file = resolve(path);
  if (!existsSync(file)) return { violation: `no such file (looked for ${file})` };
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (thrown) {
    // Several errors of one file come as one, which says only how many they are.
    const first: unknown = thrown instanceof AggregateError && thrown.errors.length > 0 ? thrown.errors[0] : thrown;
    const more = first === thrown ? "" : `, the first of ${(thrown as AggregateError).errors.length} errors`;
    const what = `throws while it is imported: ${describeError(first)}${placeOf(first)}${more}`;
    return { violation: `${what}${missingPackage(first, file)}`, cause: thrown };
  }
  if (module["default"] !== undefined) return { exported: module["default"] };
  const named = Object.keys(module).filter((name) => name !== "default");
  const seen = named.length === 0 ? "it exports nothing" : `it exports ${named.join(", ")}`;
  return { violation: `has no default export (${seen}); write "export default defineTasks({ ... })"` };
}

/** Where packages are looked for, when that is what the import failed on; "" otherwise. */
function missingPackage(thrown: unknown, file: string): string {
  const specifier = /Cannot find (?:package|module) '([^'./][^']*)'/.exec(describeError(thrown))?.[1];
  if (specifier === undefined) return "";
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  return `; packages are looked for in the node_modules folders beside and above it: "npm install ${name}" in ${dirname(file)}`;
}

/** " (at /app/tasks.ts:3:7)" for the user's own line; "" when the error does not say. */
function placeOf(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null) return "";
  const { position, stack } = thrown as {
    position?: { file?: unknown; line?: unknown; column?: unknown } | null;
    stack?: unknown;
  };
  if (typeof position?.file === "string" && position.file !== "") {
    return ` (at ${position.file}:${String(position.line)}:${String(position.column)})`;
  }
  const frames = typeof stack === "string" ? stack.split("\n").filter((line) => /^\s+at /.test(line)) : [];
  const own = frames.find((line) => !line.includes("node_modules")) ?? "";
  const place = /(\/[^()]+:\d+:\d+)\)?$/.exec(own)?.[1];
  return place === undefined ? "" : ` (at ${place})`;
}
