/**
 * `bun run chaos --plan first --tasks 100000 --json`: real Kafka, real ZooKeeper, real processes, the default timings; faults
 * under load; then the proof, counted from what the handlers themselves wrote down and from the group's offsets.
 *
 * The last line of standard output is `{ tasks, lost, executedTwice, uncommitted, executingAtKill, checks, seconds }`; progress goes
 * to standard error. Exit code 1 when anything was lost, executed twice or left uncommitted, or the faults met nothing.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { planDemo } from "../../src/cli/demo/plan.ts";
import { complaints } from "../../src/cli/demo/proof.ts";
import { openKafkaTaskLog } from "../../src/task-log/kafka/index.ts";
import type { TaskLog } from "../../src/task-log/task-log.ts";
import { startKafka } from "../support/servers/kafka.ts";
import { startZooKeeper } from "../support/servers/zookeeper.ts";
import { ChaosCell, type ChaosFiles } from "./cell.ts";
import { Feeder } from "./feeder.ts";
import { GROUP, TOPIC } from "./names.ts";
import { type ChaosPlan, plans } from "./plans.ts";
import { ChaosRun } from "./run.ts";

/** What the option `coordinatorTickMs` says by default. */
const ZOOKEEPER_TICK_MS = 2_000;
const FEED_SECONDS = 50;
const HELD_BACK = 0.25;
const RUN_MS = 230_000;
const DRAIN_MS = 35_000;

interface Result {
  readonly tasks: number;
  readonly lost: number;
  readonly executedTwice: number;
  /** Offsets of the topic that the group has not committed. */
  readonly uncommitted: number;
  readonly executingAtKill: number;
  /** Times that the check strategy was asked. */
  readonly checks: number;
  readonly seconds: number;
}

const { values } = parseArgs({
  options: {
    plan: { type: "string", default: "first" },
    tasks: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});

const startedAt = performance.now();
const say = (message: string): void => {
  process.stderr.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${message}\n`);
};

process.exitCode = await main();

async function main(): Promise<number> {
  const plan = plans[values.plan];
  const tasks = Number(values.tasks);
  const seed = Number(values.seed);
  if (plan === undefined || !Number.isSafeInteger(tasks) || tasks < 1 || !Number.isSafeInteger(seed)) {
    say(`expected --plan ${Object.keys(plans).join("|")}, --tasks and --seed as whole numbers`);
    return 2;
  }
  say(`plan "${values.plan}": ${plan.summary}`);
  const folder = mkdtempSync(join(tmpdir(), "vouch-chaos-"));
  const files = { folder, record: join(folder, "effects.log"), checks: join(folder, "checks.log") };
  let failures: string[] = ["it ended early"];
  try {
    const { result, complaints: found } = await carryOut(plan, tasks, seed, files);
    failures = found;
    for (const complaint of found) say(`FAILED: ${complaint}`);
    if (found.length === 0) say("nothing lost, nothing executed twice, everything committed");
    if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } finally {
    if (failures.length > 0 || values.keep) say(`files are kept in ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
  return failures.length === 0 ? 0 : 1;
}

async function carryOut(
  plan: ChaosPlan,
  count: number,
  seed: number,
  files: ChaosFiles,
): Promise<{ result: Result; complaints: string[] }> {
  const { tasks } = planDemo({ nodes: plan.nodes, tasks: count, partitions: plan.partitions, faults: true, seed });
  await using stack = new AsyncDisposableStack();
  const [kafka, zookeeper] = await Promise.all([startKafka(), startZooKeeper({ tickMs: ZOOKEEPER_TICK_MS })]);
  stack.use(kafka);
  stack.use(zookeeper);
  say(`Kafka at ${kafka.brokers}, ZooKeeper at ${zookeeper.address}; files in ${files.folder}`);
  const log = openKafkaTaskLog({ brokers: [kafka.brokers], clientId: "chaos", onWarning: say });
  stack.defer(() => log.close());
  const admin = log.admin();
  await admin.createTopic(TOPIC, plan.partitions);
  await admin.close();

  const servers = ["--kafka-brokers", kafka.brokers, "--zookeeper", zookeeper.address, "--kafka-group-id", GROUP];
  const cell = stack.use(new ChaosCell({ files, argv: [...servers, "--concurrency", String(plan.concurrency)] }));
  for (let number = 1; number <= plan.nodes; number++) cell.start(`n${number}`);
  const perSecond = count / FEED_SECONDS;
  const heldBack = Math.floor(count * HELD_BACK);
  const feeder = stack.use(new Feeder({ log, tasks, perSecond, heldBack }));
  using run = new ChaosRun({ cell, feeder, files, tasks: count, say, deadlineMs: RUN_MS });

  const troubles: string[] = [];
  try {
    await plan.run(run);
    feeder.release();
    await run.until("all tasks to be fed", () => feeder.fed >= count);
    // Not "all to have an effect": what the cell committed without one will never have it.
    await run.until("all tasks to be finished", () => run.isQuiet() && run.committed >= count);
    await untilCommitted(run, log);
  } catch (error) {
    // The judgement says more than the error alone: what is missing counts as lost.
    troubles.push(error instanceof Error ? error.message : String(error));
    run.show();
    writeFileSync(join(files.folder, "status.json"), JSON.stringify([...(await cell.sample())], null, 1));
  }
  say("draining the nodes");
  for (const complaint of await drain(cell)) say(`note: ${complaint}`);
  const uncommitted = await countUncommitted(log);
  const { judgement, malformed } = run.judge(tasks.map((task) => task.id));
  const { executingAtKill } = run;
  const result: Result = {
    tasks: judgement.tasks,
    lost: judgement.lost,
    executedTwice: judgement.executedTwice,
    uncommitted,
    executingAtKill,
    checks: linesOf(files.checks),
    seconds: Math.round((performance.now() - startedAt) / 100) / 10,
  };
  const found = [...troubles, ...complaints(judgement, malformed)];
  if (uncommitted !== 0) found.push(`${uncommitted} offset(s) are not committed`);
  if (executingAtKill === 0) found.push("the killed nodes were executing nothing");
  return { result, complaints: found };
}

async function untilCommitted(run: ChaosRun, log: TaskLog): Promise<void> {
  let left = Number.POSITIVE_INFINITY;
  while (left > 0) {
    left = await countUncommitted(log);
    await run.until("all offsets to be committed", () => true);
    if (left > 0) await Bun.sleep(300);
  }
}

async function countUncommitted(log: TaskLog): Promise<number> {
  const admin = log.admin();
  try {
    const offsets = await admin.groupOffsets(GROUP, TOPIC);
    return offsets.reduce((sum, { committed, logStart, logEnd }) => sum + logEnd - (committed ?? logStart), 0);
  } finally {
    await admin.close();
  }
}

/** @returns what did not go in order: no part of the proof, but worth a look */
async function drain(cell: ChaosCell): Promise<string[]> {
  const ends = cell.alive.map(async (node) => ({ node, code: await node.drain(DRAIN_MS) }));
  return (await Promise.all(ends))
    .filter(({ code }) => code !== 0)
    .map(
      ({ node, code }) => `${node.name} ${code === null ? "did not drain in time" : `drained with exit code ${code}`}`,
    );
}

function linesOf(path: string): number {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").length - 1 : 0;
}
