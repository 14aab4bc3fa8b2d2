/**
 * `bun run bench throughput [--records N] [--samples N] [--only NAME] [--json FILE]`: how many no-op tasks a second the cell
 * runs from real Kafka, next to a plain consumer of the same records in the same run. The broker shares the machine.
 *
 * Samples go by turns, so that a slow moment meets all contestants; rates are from the first record to the last one of
 * each sample's processes, joins and elections not counted. Bytes a task: one more sample with the garbage collector
 * switched off, growth of resident memory (what is allocated and touched) after a warm-up. Frames: the links' own counters.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openKafkaTaskLog } from "../src/task-log/kafka/index.ts";
import { startKafka } from "../test/support/servers/kafka.ts";
import { startZooKeeper } from "../test/support/servers/zookeeper.ts";
import { type Conditions, type Sample, sampleCell, samplePlain } from "./throughput/contestants.ts";
import { BENCH_PARTITIONS, fillTopic } from "./throughput/topic.ts";

interface Contestant {
  readonly name: string;
  readonly run: (conditions: Conditions) => Promise<Sample>;
  readonly handler: "sync" | "async";
}

const BASELINE = "plain, patched";
const contestants: readonly Contestant[] = [
  { name: BASELINE, run: (each) => samplePlain(each, true), handler: "sync" },
  { name: "plain", run: (each) => samplePlain(each, false), handler: "sync" },
  { name: "single node", run: (each) => sampleCell(each, 1), handler: "sync" },
  { name: "single node, async", run: (each) => sampleCell(each, 1), handler: "async" },
  { name: "cell of 2", run: (each) => sampleCell(each, 2), handler: "sync" },
  { name: "cell of 3", run: (each) => sampleCell(each, 3), handler: "sync" },
];

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "500000" },
    samples: { type: "string", default: "5" },
    only: { type: "string", multiple: true },
    named: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
    allocation: { type: "boolean", default: true },
    json: { type: "string" },
  },
  allowNegative: true,
});

interface Row {
  readonly name: string;
  readonly samples: readonly Sample[];
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** To the plain consumer in the same round, median over the rounds; NaN when that did not run. */
  readonly ratio: number;
  readonly bytesATask: number | null;
}

const records = Number(values.records);
const samples = Number(values.samples);
const chosen = contestants.filter(({ name }) => values.only === undefined || values.only.includes(name));
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const folder = mkdtempSync(join(tmpdir(), "vouch-bench-"));
const found = new Map<string, { samples: Sample[]; bytes: number | null }>();
{
  await using kafka = await startKafka({
    fullCompiler: true,
    heapMb: 1_024,
    // Long enough for all nodes of a cell to come in the first generation.
    properties: { "group.initial.rebalance.delay.ms": "3000" },
  });
  await using zookeeper = await startZooKeeper({ tickMs: 2_000 });
  const log = openKafkaTaskLog({ brokers: [kafka.brokers], clientId: "bench", onWarning: say });
  await fillTopic(log, records, values.named);
  await log.close();
  say(`${records} records in ${BENCH_PARTITIONS} partitions; files in ${folder}`);
  const base = { servers: { brokers: kafka.brokers, zookeeper: zookeeper.address }, folder, records };
  for (let number = 0; number < samples; number++) {
    for (const contestant of chosen) await take(contestant, base, number, false);
  }
  if (values.allocation) for (const contestant of chosen) await take(contestant, base, samples, true);
}

async function take(
  { name, run, handler }: Contestant,
  base: Pick<Conditions, "servers" | "folder" | "records">,
  number: number,
  collectorOff: boolean,
): Promise<void> {
  const id = `${name.replace(/\W+/g, "-")}-${number}`;
  const sample = await run({ ...base, name: id, handler, collectorOff, profile: values.profile });
  const kept = found.get(name) ?? { samples: [], bytes: null };
  found.set(name, kept);
  if (collectorOff) kept.bytes = sample.bytesARecord;
  else kept.samples.push(sample);
  say(`${id.padEnd(24)}${rate(sample.recordsPerSecond)}/s${collectorOff ? "  (collector off)" : ""}`);
}

function rate(value: number): string {
  return Math.round(value).toLocaleString("en").padStart(10);
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((left, right) => left - right);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

const baseline = (found.get(BASELINE)?.samples ?? []).map((each) => each.recordsPerSecond);
const rows = [...found].map(([name, { samples: taken, bytes }]): Row => {
  const rates = taken.map((each) => each.recordsPerSecond);
  const ratio = median(rates.map((each, round) => each / (baseline[round] ?? Number.NaN)));
  const spread = { median: median(rates), min: Math.min(...rates), max: Math.max(...rates) };
  return { name, samples: taken, ...spread, ratio, bytesATask: bytes };
});

const [processor] = cpus();
const report = {
  machine: {
    processor: processor?.model ?? "unknown",
    cores: cpus().length,
    bun: Bun.version,
    platform: process.platform,
  },
  configuration: {
    records,
    recordBytes: 100,
    named: values.named,
    partitions: BENCH_PARTITIONS,
    samples,
    kafka: "one broker on the same machine",
    handler: "no-op, synchronous unless named async",
    options: "the defaults",
  },
  rows,
};
console.log(
  `${report.machine.processor}, ${report.machine.cores} cores, Bun ${Bun.version}; the broker on the same machine`,
);
console.log(
  `${records} records of 100 bytes in ${BENCH_PARTITIONS} partitions, ${samples} samples by turns, default options`,
);
console.log(
  "median (min to max) records/s; median ratio to the plain patched consumer of the round; CPU, bytes allocated a record; frames per 1,000",
);
for (const { name, samples: taken, median: middle, min, max, ratio, bytesATask } of rows) {
  const cpu = median(taken.map((each) => each.cpuMicrosecondsARecord)).toFixed(2);
  const frames = median(taken.map((each) => each.framesPer1000)).toFixed(2);
  const wire = median(taken.map((each) => each.wireBytesARecord)).toFixed(1);
  const spread = `(${rate(min).trim()} to ${rate(max).trim()})`;
  console.log(
    `  ${name.padEnd(20)}${rate(middle)} ${spread.padEnd(24)}${ratio.toFixed(3).padStart(7)}` +
      `${cpu.padStart(8)} us ${(bytesATask ?? Number.NaN).toFixed(0).padStart(7)} B ${frames.padStart(8)} frames ${wire} wire B`,
  );
}
if (values.json !== undefined) await Bun.write(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
if (values.profile) say(`profiles are in ${folder}`);
else rmSync(folder, { recursive: true, force: true });
