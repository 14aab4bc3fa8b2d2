/** `run`: one node, which joins the cell and works until it is told to stop. */
import { writeSync } from "node:fs";
import { loadNodeConfig } from "../config/node-config.ts";
import { nodeOptions, type NodeConfig } from "../config/option-table.ts";
import { describeError } from "../errors.ts";
import type { TaskType } from "../execution/define.ts";
import { loadTaskModules } from "../execution/load.ts";
import { resolveTasks, type DefinitionProblem } from "../execution/resolve.ts";
import { type Logger, standardLogger } from "../ops/log.ts";
import { startNode } from "../runtime/node.ts";
import type { CliContext, Command } from "./command.ts";
import { DEMO_MODULE } from "./demo/cell.ts";
import { demoTasks } from "./demo/tasks.ts";
import { ExitCode } from "./exit-code.ts";

export const runCommand: Command = {
  name: "run",
  summary: "one node: joins the cell and works; SIGTERM or SIGINT drains it, a second one ends it at once",
  positionals: ["<tasks.ts>", "[more.ts…]"],
  options: nodeOptions,
  run,
};

async function run(context: CliContext): Promise<ExitCode> {
  const { argv, environment } = context;
  const { config, positionals } = loadNodeConfig({ argv, environment, positionals: runCommand.positionals });
  const logger = standardLogger(config.logLevel);
  const tasks = await loadTasks(positionals, config, environment, definitionProblems(logger));

  const starting = new AbortController();
  const stopping = Promise.withResolvers<void>();
  using exit = new UnexpectedExit(logger);
  const stop = (): void => {
    starting.abort();
    stopping.resolve();
  };
  using _signals = onSignals(logger, stop, () => exit[Symbol.dispose]());
  const node = await startNode(config, tasks, { logger, signal: starting.signal }).catch((error: unknown) => {
    // Told to stop before anything was joined: that is a drain with nothing to do.
    if (starting.signal.aborted) return null;
    throw error;
  });
  if (node === null) return ExitCode.done;
  exit.busyWith = () => node.busyWith();
  void stopping.promise.then(() => node.stop());
  const { clean, reason, error } = await node.ended;
  if (error !== null) throw error;
  logger.log(clean ? "info" : "error", clean ? "drained" : `stopped, not drained: ${reason}`, { node: config.nodeId });
  return clean ? ExitCode.done : ExitCode.gaveUp;
}

/** The demo's module has a name of its own, since inside the compiled executable it is no file. */
async function loadTasks(
  modules: readonly string[],
  config: NodeConfig,
  environment: CliContext["environment"],
  onProblem: DefinitionProblem,
): Promise<readonly TaskType[]> {
  if (modules.length !== 1 || modules[0] !== DEMO_MODULE) return loadTaskModules(modules, config, onProblem);
  return resolveTasks([{ name: DEMO_MODULE, exported: demoTasks(environment) }], config, onProblem);
}

/** A user's function that fails may do so for every record: what it says is logged once, and at most so many of them. */
const PROBLEMS_LOGGED_MAX = 100;

function definitionProblems(logger: Logger): DefinitionProblem {
  const told = new Set<string>();
  return (topic, message, record) => {
    const key = `${topic} ${message}`;
    if (told.has(key) || told.size >= PROBLEMS_LOGGED_MAX) return;
    told.add(key);
    logger.warn(message, { topic, offset: record.offset });
  };
}

/** The first SIGTERM or SIGINT calls `stop`, the second one ends the process, after `atOnce`. */
function onSignals(logger: Logger, stop: () => void, atOnce: () => void): Disposable {
  let heard = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    heard++;
    if (heard > 1) {
      logger.error(`${signal} again: ending at once`);
      atOnce();
      process.exit(ExitCode.gaveUp);
    }
    logger.info(`${signal}: draining`);
    stop();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return {
    [Symbol.dispose]() {
      process.off("SIGTERM", onSignal);
      process.off("SIGINT", onSignal);
    },
  };
}

/**
 * Says why a node is gone when its process ends and nobody told the node to stop: a handler, or a library that it calls, has
 * called `process.exit`, or thrown where nobody catches. Without this there would be no word, and perhaps exit code 0, after
 * which a supervisor does not start it again.
 */
class UnexpectedExit implements Disposable {
  /** User code that runs now, in words; "" for none. */
  busyWith: () => string = () => "";
  readonly #logger: Logger;
  /**
   * While the entry module awaits the end of this command Bun prints what nobody caught and goes on, with whatever was left half
   * done: of the core, for instance. Nothing may be decided by that.
   */
  readonly #onException = (thrown: unknown): void => {
    this.#logger.error(`an error was thrown that nobody caught: ${describeError(thrown)}`, { stack: stackOf(thrown) });
    process.exit(ExitCode.gaveUp);
  };
  /** A user's promise mostly, whose handler may have ended long ago: a person must know, and everybody else's tasks go on. */
  readonly #onRejection = (thrown: unknown): void => {
    this.#logger.error(
      `a promise was rejected and nobody awaited it: ${describeError(thrown)}; to do: await every promise in the handler that makes it`,
      { stack: stackOf(thrown) },
    );
  };
  readonly #onExit = (code: number): void => {
    const busyWith = this.busyWith();
    const ran = busyWith === "" ? "" : ` while ${busyWith} ran`;
    const ends =
      busyWith === ""
        ? ""
        : " What ran ends unknown: another node asks its check, and after --unknown-max such ends it is parked.";
    const why = "process.exit() was called, or something was thrown that nobody caught";
    const cure = "a task that cannot be done throws in its handler, also what goes wrong in a callback or a timer";
    try {
      writeSync(2, `vouch: this process ends${ran}, and nobody stopped the node: ${why}.${ends} To do: ${cure}\n`);
    } catch {
      // a pipe that nobody reads: nothing can be said there
    }
    if (code === ExitCode.done) process.exitCode = ExitCode.gaveUp;
  };

  constructor(logger: Logger) {
    this.#logger = logger;
    process.on("exit", this.#onExit);
    process.on("uncaughtException", this.#onException);
    process.on("unhandledRejection", this.#onRejection);
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#onExit);
    process.off("uncaughtException", this.#onException);
    process.off("unhandledRejection", this.#onRejection);
  }
}

function stackOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? String(thrown.stack) : "";
  } catch {
    return ""; // a proxy, or a getter that throws
  }
}
