/** Task modules by path. Every module is tried, and every error of every module is reported in one throw. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describeError, VouchError } from "../errors.ts";
import type { TaskDefaults, TaskType } from "./define.ts";
import { type DefinitionProblem, resolveTasks, type TaskSource } from "./resolve.ts";

/**
 * Imports the modules (paths are relative to the working directory) and resolves what they export by default.
 * @throws VouchError "task-module": a file is missing, throws at import, has no default export, or defines nothing usable.
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
    try {
      sources.push({ name: path, exported: await defaultExportOf(path) });
    } catch (thrown) {
      cause ??= thrown;
      violations.push(describeError(thrown));
    }
  }
  if (violations.length === 0) return resolveTasks(sources, defaults, onProblem);
  // The modules that could be imported are checked too: one run shows everything that is to be mended.
  const more = sources.length === 0 ? [] : messagesOf(() => resolveTasks(sources, defaults, onProblem));
  throw new VouchError("task-module", [...violations, ...more].join("\n"), { cause });
}

function messagesOf(run: () => unknown): string[] {
  try {
    run();
    return [];
  } catch (thrown) {
    return [describeError(thrown)];
  }
}

async function defaultExportOf(path: string): Promise<unknown> {
  const file = resolve(path);
  if (!existsSync(file)) throw new VouchError("task-module", `${path}: no such file (looked for ${file})`);
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (thrown) {
    throw new VouchError("task-module", `${path}: throws while it is imported`, { cause: thrown });
  }
  if (module["default"] !== undefined) return module["default"];
  const named = Object.keys(module).filter((name) => name !== "default");
  const seen = named.length === 0 ? "it exports nothing" : `it exports ${named.join(", ")}`;
  throw new VouchError(
    "task-module",
    `${path}: has no default export (${seen}); write "export default defineTasks({ ... })"`,
  );
}
