/** One sample of one contestant: its processes, from their start to their exit, and what they measured. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { childEnvironment, freePorts } from "../../src/cli/demo/cell.ts";
import { askUrl } from "../../src/ops/status.ts";
import { type Measurement, METER_FILE } from "./meter.ts";

const ROOT = join(import.meta.dir, "..", "..");
const LIMIT_MS = 240_000;
const ASK_EVERY_MS = 200;
const ASK_TIMEOUT_MS = 5_000;

export interface Servers {
  readonly brokers: string;
  readonly zookeeper: string;
}

export interface Conditions {
  readonly servers: Servers;
  readonly folder: string;
  readonly records: number;
  /** Of this sample alone: group, cell and files carry it. */
  readonly name: string;
  readonly handler: "sync" | "async";
  /** Without garbage collection, to see what is allocated. */
  readonly collectorOff: boolean;
  readonly profile: boolean;
}

export interface Sample {
  readonly recordsPerSecond: number;
  readonly seconds: number;
  readonly cpuMicrosecondsARecord: number;
  /** Resident growth a record without garbage collection; null when the collector was on. */
  readonly bytesARecord: number | null;
  /** Frames between nodes, each counted once, for 1,000 tasks. */
  readonly framesPer1000: number;
  readonly wireBytesARecord: number;
}

interface Child {
  readonly process: Bun.Subprocess;
  readonly meter: string;
  readonly log: string;
}

export async function samplePlain(conditions: Conditions, patched: boolean): Promise<Sample> {
  const { servers, records, name } = conditions;
  const child = start(conditions, name, [join(import.meta.dir, "plain-consumer.ts")], {
    BENCH_BROKERS: servers.brokers,
    BENCH_GROUP: name,
    BENCH_RECORDS: String(records),
    BENCH_PATCHED: patched ? "1" : "0",
  });
  return judged(conditions, [await ended(child)], { frames: 0, bytes: 0 });
}

/** `nodes` processes of one cell; 1 is a declared single node. */
export async function sampleCell(conditions: Conditions, nodes: number): Promise<Sample> {
  const { servers, records, name } = conditions;
  // All must be there before the first task runs, so that no join falls into the measured time.
  const size = nodes === 1 ? ["--single-node"] : ["--min-in-sync", String(nodes)];
  const groups = ["--kafka-group-id", name, "--cell", name];
  const common = ["--kafka-brokers", servers.brokers, "--zookeeper", servers.zookeeper, ...groups, ...size];
  const children: Child[] = [];
  const urls: string[] = [];
  for (let number = 1; number <= nodes; number++) {
    const [peer, http] = freePorts(2);
    urls.push(`http://127.0.0.1:${http}`);
    const listen = ["--peer-listen", `127.0.0.1:${peer}`, "--http-listen", `127.0.0.1:${http}`];
    const argv = ["run", join(import.meta.dir, "noop-tasks.ts"), "--node-id", `n${number}`, ...listen, ...common];
    children.push(start(conditions, `${name}-n${number}`, [join(ROOT, "node.ts"), ...argv], {}));
  }
  try {
    const traffic = await untilCommitted(urls, children, records);
    for (const child of children) child.process.kill("SIGTERM");
    return judged(conditions, await Promise.all(children.map(ended)), traffic);
  } finally {
    for (const child of children) child.process.kill("SIGKILL");
  }
}

function start(conditions: Conditions, name: string, argv: readonly string[], own: Record<string, string>): Child {
  const { folder, handler, collectorOff, profile } = conditions;
  const meter = join(folder, `${name}.json`);
  const log = join(folder, `${name}.log`);
  const file = openSync(log, "a");
  const profiling = profile ? ["--cpu-prof", "--cpu-prof-md", "--cpu-prof-dir", folder, "--cpu-prof-name", name] : [];
  const child = Bun.spawn([process.execPath, ...profiling, ...argv], {
    cwd: ROOT,
    stdio: ["ignore", file, file],
    env: childEnvironment({
      ...own,
      [METER_FILE]: meter,
      BENCH_HANDLER: handler,
      ...(collectorOff ? { BUN_JSC_useGC: "0", BENCH_RESIDENT_EVERY: "1000" } : {}),
    }),
  });
  closeSync(file);
  return { process: child, meter, log };
}

async function ended({ process: child, meter, log }: Child): Promise<Measurement> {
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  const code = await child.exited;
  clearTimeout(timer);
  if (code !== 0) throw new Error(`ended with exit code ${code}:\n${readFileSync(log, "utf8").slice(-3_000)}`);
  return JSON.parse(readFileSync(meter, "utf8")) as Measurement;
}

/** Waits until the cell committed all records. @returns what went over its links meanwhile */
async function untilCommitted(
  urls: readonly string[],
  children: readonly Child[],
  records: number,
): Promise<{ frames: number; bytes: number }> {
  const until = performance.now() + LIMIT_MS;
  while (performance.now() < until) {
    await Bun.sleep(ASK_EVERY_MS);
    for (const { process: child, log } of children) {
      if (child.exitCode !== null) throw new Error(`a node ended:\n${readFileSync(log, "utf8").slice(-3_000)}`);
    }
    const answers = await Promise.all(urls.map((url) => askUrl(url, ASK_TIMEOUT_MS)));
    const statuses = answers.flatMap(({ status }) => (status === null ? [] : [status]));
    const partitions = statuses.flatMap(({ core }) => core.partitions);
    const committed = partitions.reduce((sum, { position }) => sum + position, 0);
    if (statuses.length < urls.length || committed < records) continue;
    const sum = (edge: string): number => statuses.reduce((total, { edges }) => total + (edges?.[edge] ?? 0), 0);
    return { frames: sum("framesOut"), bytes: sum("bytesOut") };
  }
  throw new Error(`not all of ${records} records were committed within ${LIMIT_MS} ms`);
}

function judged(
  { records, collectorOff }: Conditions,
  measurements: readonly Measurement[],
  traffic: { frames: number; bytes: number },
): Sample {
  const handled = measurements.reduce((sum, each) => sum + each.records, 0);
  if (handled !== records) throw new Error(`expected ${records} records to be handled once, got ${handled}`);
  const active = measurements.filter((each) => each.records > 0);
  const milliseconds = Math.max(...active.map((each) => each.lastAt)) - Math.min(...active.map((each) => each.firstAt));
  const grown = active.reduce((sum, each) => sum + each.residentGrowthBytes, 0);
  const over = active.reduce((sum, each) => sum + each.grownOver, 0);
  return {
    recordsPerSecond: (records * 1_000) / milliseconds,
    seconds: milliseconds / 1_000,
    cpuMicrosecondsARecord: (measurements.reduce((sum, each) => sum + each.cpuMs, 0) * 1_000) / records,
    bytesARecord: collectorOff && over > 0 ? grown / over : null,
    framesPer1000: (traffic.frames * 1_000) / records,
    wireBytesARecord: traffic.bytes / records,
  };
}
