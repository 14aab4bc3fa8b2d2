/**
 * `demo`: the main job with no servers. Starts several nodes as processes of their own, feeds them tasks, adds a node and
 * kills the leader while handlers run on it, and ends with the proof, which is counted from the record of effects alone.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadOptions } from "../config/load.ts";
import { option, type OptionValues } from "../config/option.ts";
import { nodeOptions } from "../config/option-table.ts";
import { integer, text, toggle } from "../config/option-types.ts";
import { ConfigurationError, describeError, VouchError } from "../errors.ts";
import type { CliContext, Command } from "./command.ts";
import { type CellFiles, DemoCell, runSelf } from "./demo/cell.ts";
import { DEMO_TIMING, DEMO_TOPIC, type DemoPlan, type DemoTask, planDemo, taskLine } from "./demo/plan.ts";
import { Progress } from "./demo/progress.ts";
import { proofText, type DemoResult } from "./demo/report.ts";
import { runScript } from "./demo/script.ts";
import { ExitCode } from "./exit-code.ts";

const GROUP = "Demo";

const options = {
  nodes: option({
    type: integer(2, 16),
    default: 3,
    unit: "nodes",
    group: GROUP,
    description: "nodes at the start; one more is added on the way",
  }),
  tasks: option({
    type: integer(1, 1_000_000),
    default: 20_000,
    unit: "tasks",
    group: GROUP,
    description: "tasks to run",
  }),
  partitions: option({
    type: integer(1, 1_000),
    default: 6,
    unit: "",
    group: GROUP,
    description: "partitions of the demo's topic",
  }),
  faults: option({
    type: toggle(),
    default: true,
    unit: "",
    group: GROUP,
    description: "leave out the added node and the killed leader",
  }),
  seed: option({
    type: integer(0, 2 ** 31 - 1),
    default: 1,
    unit: "",
    group: GROUP,
    description: "decides how long each handler takes",
  }),
  json: option({
    type: toggle(),
    default: false,
    unit: "",
    group: GROUP,
    description: "end standard output with one JSON object; progress goes to standard error",
  }),
  dataDir: option({
    type: text("FOLDER"),
    default: "",
    defaultText: "a temporary folder, removed when the proof holds",
    unit: "",
    group: GROUP,
    description: "new or empty folder for logs, state and the record of effects; kept",
  }),
};

export const demoCommand: Command = {
  name: "demo",
  summary: "the main job with no servers: several nodes, a node added, the leader killed, and the proof",
  positionals: [],
  options,
  run: demo,
};

async function demo(context: CliContext): Promise<ExitCode> {
  const { argv, environment } = context;
  const { values, violations } = loadOptions(
    options,
    { argv, environment: withoutNode(environment) },
    { ...nodeOptions, ...options },
  );
  const found = [...violations, ...relationViolations(values)];
  if (found.length > 0) throw new ConfigurationError(found);
  const startedAt = performance.now();
  const plan = planDemo(values);
  const dataDir = values.dataDir === "" ? mkdtempSync(join(tmpdir(), "vouch-demo-")) : values.dataDir;
  const files = writeFiles(dataDir, plan);
  const say = values.json ? context.err : context.out;
  const progress = new Progress(say, context.live && (values.json || process.stdout.isTTY === true), values.tasks);
  let result: DemoResult;
  {
    await using cell = new DemoCell(files);
    using _signals = endOnSignal(cell);
    progress.say(`${values.nodes} nodes, ${values.tasks} tasks, ${values.partitions} partitions; files in ${dataDir}`);
    const feed = (tasks: readonly DemoTask[]): Promise<void> => produce(files, tasks, values.partitions);
    result = await runScript({
      cell,
      files,
      plan,
      nodes: values.nodes,
      faults: values.faults,
      feed,
      progress,
      startedAt,
    });
  }
  progress.end();
  say(proofText(result));
  const holds = result.complaints.length === 0;
  if (values.dataDir === "" && holds) rmSync(dataDir, { recursive: true, force: true });
  else say(`Files are kept in ${dataDir}\n`);
  if (values.json) context.out(`${JSON.stringify(result)}\n`);
  return holds ? ExitCode.done : ExitCode.proofFailed;
}

function relationViolations({ faults, nodes, partitions }: OptionValues<typeof options>): string[] {
  if (!faults || partitions > nodes) return [];
  return [
    `each node must have a partition to work on, the added one too: expected --partitions of at least ${nodes + 1}, got ${partitions}`,
  ];
}

/** A demo has its own folder and no servers: what configures the user's nodes is not for it, and no mistake either. */
function withoutNode(environment: CliContext["environment"]): CliContext["environment"] {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("VOUCH_")));
}

/** @throws VouchError "usage" when the folder holds anything: nobody's files are mixed with the demo's. */
function writeFiles(dataDir: string, plan: DemoPlan): CellFiles {
  mkdirSync(dataDir, { recursive: true });
  const found = readdirSync(dataDir).length;
  if (found > 0) throw notEmpty(dataDir, `${found} ${found === 1 ? "file" : "files"} in it`);
  const files = { dataDir, config: join(dataDir, "demo.json"), record: join(dataDir, "effects.log") };
  const config = { ...DEMO_TIMING, dataDir, concurrency: plan.concurrency };
  try {
    writeFileSync(files.config, JSON.stringify(config, null, 2), { flag: "wx" });
  } catch (error) {
    throw notEmpty(dataDir, describeError(error)); // another demo was quicker
  }
  return files;
}

function notEmpty(dataDir: string, got: string): VouchError {
  return new VouchError("usage", `--data-dir ${dataDir}: expected a new or empty folder, got ${got}`);
}

/** @throws VouchError "task-log" when the tasks could not be written; the log of the command says why. */
async function produce(files: CellFiles, tasks: readonly DemoTask[], partitions: number): Promise<void> {
  const file = join(files.dataDir, `${tasks[0]?.id ?? "none"}.ndjson`);
  const log = join(files.dataDir, "produce.log");
  writeFileSync(file, tasks.map((task) => `${taskLine(task)}\n`).join(""));
  const argv = ["produce", DEMO_TOPIC, file, "--data-dir", files.dataDir, "--partitions", String(partitions)];
  const code = await runSelf(argv, log);
  if (code !== 0)
    throw new VouchError("task-log", `${tasks.length} tasks could not be produced (exit code ${code}): see ${log}`);
}

/** A person who gives up must not leave nodes behind. */
function endOnSignal(cell: DemoCell): Disposable {
  const end = (): void => {
    void cell[Symbol.asyncDispose]().finally(() => process.exit(ExitCode.gaveUp));
  };
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  return {
    [Symbol.dispose]() {
      process.off("SIGINT", end);
      process.off("SIGTERM", end);
    },
  };
}
