/**
 * `bun run bench runtime [--records N] [--samples N] [--nodes 1,2,3] [--no-check]`: what the node itself costs a no-op
 * task, without any log or broker: all nodes of a cell in this process, a log in memory, real links on loopback. CPU time, not
 * wall time, so that it compares on a machine that does other things as well. `steps` are the core's turns.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { nodeConfig } from "../src/config/node-config.ts";
import { resolveTasks } from "../src/execution/resolve.ts";
import { createLogger } from "../src/ops/log.ts";
import { runtimeOptions } from "../src/runtime/node.ts";
import type { RuntimeOptions } from "../src/runtime/options.ts";
import { startRuntime, type RunningNode } from "../src/runtime/running-node.ts";
import { MemoryLog, MemoryTopic } from "./runtime/memory-log.ts";

const TOPIC = "bench";
const PARTITIONS = 6;
const VALUE = new Uint8Array(100);

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "500000" },
    samples: { type: "string", default: "5" },
    nodes: { type: "string", default: "1,2,3" },
    handlers: { type: "string", default: "sync,async" },
    concurrency: { type: "string", default: "100" },
    check: { type: "boolean", default: true },
    json: { type: "string" },
  },
  allowNegative: true,
});

interface Sample {
  readonly cpuMicroseconds: number; // a task
  readonly recordsPerSecond: number;
  readonly stepsPer1000: number;
  readonly framesPer1000: number;
  /** Growth of resident memory; what is allocated when the process runs with BUN_JSC_useGC=0, else it says nothing. */
  readonly residentBytes: number; // a task
}

async function sample(count: number, records: number, isAsync: boolean): Promise<Sample> {
  const dataDir = mkdtempSync(join(tmpdir(), "vouch-bench-"));
  const topic = new MemoryTopic(TOPIC, PARTITIONS, records, count, VALUE);
  let ran = 0;
  let steps = 0;
  const noop = (): void => {
    ran++;
  };
  const execute = isAsync ? async () => noop() : noop;
  // Without a check a node claims no more than it can start at once, and each claim is a round trip.
  const check = values.check ? { check: () => "unknown" } : {};
  const tasks = resolveTasks([{ name: "bench", exported: { topic: TOPIC, ...check, onUnknown: "park", execute } }]);
  const logger = createLogger({
    level: "error",
    plain: true,
    write: (line) => process.stderr.write(line),
    now: Date.now,
  });
  const nodes: RunningNode[] = [];
  const starting = Array.from({ length: count }, async (_, index) => {
    const config = nodeConfig({
      nodeId: `n${index + 1}`,
      dataDir,
      peerListen: { host: "127.0.0.1", port: 0 },
      httpListen: null,
      concurrency: Number(values.concurrency),
      ...(count === 1 ? { singleNode: true } : { minInSync: count }),
    });
    const options = runtimeOptions(config, tasks, { logger });
    await options.taskLog.close();
    const core: RuntimeOptions["core"] = (...settings) => {
      const made = options.core(...settings);
      const step: typeof made.step = (event, now, more) => {
        if (!more) steps++;
        return made.step(event, now, more);
      };
      return { ...made, step };
    };
    nodes.push(await startRuntime({ ...options, core, taskLog: new MemoryLog(topic) }));
  });
  await Promise.all(starting);
  while (ran === 0) await new Promise((resolve) => setImmediate(resolve));
  const before = { cpu: process.cpuUsage(), steps, at: performance.now(), ran, rss: process.memoryUsage.rss() };
  while (topic.committedSum < records) await Bun.sleep(2);
  const cpu = process.cpuUsage(before.cpu);
  const done = ran - before.ran;
  const grown = process.memoryUsage.rss() - before.rss;
  const frames = nodes.reduce((sum, node) => sum + (node.status()?.edges?.["framesOut"] ?? 0), 0);
  const seconds = (performance.now() - before.at) / 1_000;
  const stepsDone = steps - before.steps;
  await Promise.all(nodes.map((node) => node.stop()));
  rmSync(dataDir, { recursive: true, force: true });
  if (ran !== records) throw new Error(`expected ${records} runs, got ${ran}`);
  return {
    cpuMicroseconds: (cpu.user + cpu.system) / done,
    recordsPerSecond: done / seconds,
    stepsPer1000: (stepsDone * 1_000) / done,
    framesPer1000: (frames * 1_000) / records,
    residentBytes: grown / done,
  };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((left, right) => left - right)[numbers.length >> 1] ?? Number.NaN;
}

const records = Number(values.records);
const cases = values.nodes
  .split(",")
  .flatMap((nodes) =>
    values.handlers.split(",").map((handler) => ({ nodes: Number(nodes), handler, taken: [] as Sample[] })),
  );
for (let number = 0; number < Number(values.samples); number++) {
  for (const each of cases) each.taken.push(await sample(each.nodes, records, each.handler === "async"));
}
const rows = cases.map(({ nodes, handler, taken }) => {
  const of = (key: keyof Sample): number => median(taken.map((each) => each[key]));
  const cpu = taken.map((each) => each.cpuMicroseconds);
  return {
    nodes,
    handler,
    cpuMicroseconds: of("cpuMicroseconds"),
    cpuMin: Math.min(...cpu),
    cpuMax: Math.max(...cpu),
    recordsPerSecond: of("recordsPerSecond"),
    stepsPer1000: of("stepsPer1000"),
    framesPer1000: of("framesPer1000"),
    residentBytes: of("residentBytes"),
    samples: taken,
  };
});
const [processor] = cpus();
const machine = { processor: processor?.model ?? "unknown", cores: cpus().length, bun: Bun.version };
console.log(
  `${machine.processor}, ${machine.cores} cores, Bun ${machine.bun}; all nodes in one process, log in memory`,
);
console.log(`${records} records, ${PARTITIONS} partitions, ${values.samples} samples by turns: median (min to max)`);
for (const row of rows) {
  console.log(
    `  ${row.nodes} node(s), ${row.handler.padEnd(5)}  ${row.cpuMicroseconds.toFixed(2)} us CPU a task ` +
      `(${row.cpuMin.toFixed(2)} to ${row.cpuMax.toFixed(2)})  ${Math.round(row.recordsPerSecond).toLocaleString("en")}/s  ` +
      `${row.stepsPer1000.toFixed(1)} steps and ${row.framesPer1000.toFixed(1)} frames per 1,000` +
      (process.env["BUN_JSC_useGC"] === "0" ? `  ${row.residentBytes.toFixed(0)} B allocated a task` : ""),
  );
}
if (values.json !== undefined) {
  const configuration = {
    records,
    partitions: PARTITIONS,
    samples: Number(values.samples),
    concurrency: Number(values.concurrency),
  };
  await Bun.write(values.json, `${JSON.stringify({ machine, configuration, rows }, undefined, 2)}\n`);
}
