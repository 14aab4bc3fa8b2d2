/**
 * Prometheus metrics of one node. Nothing is counted here: on each scrape every metric takes its values from the node's
 * status and from what is measured of the process anyway, so that a metric costs nothing while nobody looks.
 */
import { heapStats } from "bun:jsc";
import { Counter, Gauge, Registry } from "prom-client";
import { partitionOf, topicIndexOf } from "../core/identity.ts";
import { VERDICT_BOUNDS_MS } from "../core/verdict-times.ts";
import type { AlarmName, Health } from "./health.ts";
import { metricRows, type MetricRow } from "./metric-rows.ts";
import type { NodeStatus } from "./node-status.ts";

/** What is measured of this process between scrapes. */
export interface Vitals {
  readonly health: Health;
  /** The longest lag of the event loop since the last call, in milliseconds. */
  readonly takeLagMaxMs: () => number;
}

const ALARMS: readonly AlarmName[] = ["event-loop", "verdicts"];

export class NodeMetrics {
  readonly contentType: string;
  readonly #vitals: Vitals;
  readonly #registry = new Registry();
  readonly #metrics = new Map<string, Counter | Gauge>();

  constructor(vitals: Vitals) {
    this.contentType = this.#registry.contentType;
    this.#vitals = vitals;
  }

  /** The metrics as text; before the node has a status (null) only those of the process. */
  async scrape(node: NodeStatus | null): Promise<string> {
    for (const metric of this.#metrics.values()) metric.reset();
    for (const row of this.#processRows()) this.#write(row);
    if (node === null) return this.#registry.metrics();
    for (const row of metricRows(node)) this.#write(row);
    for (const row of partitionRows(node)) this.#write(row);
    return `${(await this.#registry.metrics()).trimEnd()}\n\n${verdictHistogram(node)}`;
  }

  #write(row: MetricRow): void {
    let metric = this.#metrics.get(row.name);
    if (metric === undefined) {
      const configuration = {
        name: row.name,
        help: row.help,
        labelNames: Object.keys(row.labels),
        registers: [this.#registry],
      };
      metric = row.kind === "counter" ? new Counter(configuration) : new Gauge(configuration);
      this.#metrics.set(row.name, metric);
    }
    metric.inc(row.labels, row.value);
  }

  #processRows(): MetricRow[] {
    const cpu = process.cpuUsage();
    const { health, takeLagMaxMs } = this.#vitals;
    const row = (kind: MetricRow["kind"], name: string, help: string, value: number): MetricRow => ({
      kind,
      name,
      help,
      value,
      labels: {},
    });
    return [
      row(
        "counter",
        "process_cpu_seconds_total",
        "CPU time of this process, user and system",
        (cpu.user + cpu.system) / 1e6,
      ),
      row("gauge", "process_resident_memory_bytes", "Resident memory of this process", process.memoryUsage.rss()),
      row("gauge", "vouch_heap_bytes", "Bytes in use on the JavaScript heap", heapStats().heapSize),
      row(
        "gauge",
        "vouch_event_loop_delay_max_seconds",
        "Longest standstill of the event loop since the last scrape",
        takeLagMaxMs() / 1_000,
      ),
      row(
        "counter",
        "vouch_event_loop_stalls_total",
        "Standstills of the event loop beyond loopLagAlarmMs: a handler or a check that computes without awaiting",
        health.stalls,
      ),
      row(
        "gauge",
        "vouch_verdict_p99_seconds",
        "Within this time 99 of 100 verdicts of the last minute came, rounded up to a bucket; 0 without any",
        health.verdictP99Ms / 1_000,
      ),
      ...ALARMS.map((alarm) => ({
        ...row("gauge", "vouch_alarm", "1 while this alarm is raised; the log and /status say what to do", 0),
        value: health.has(alarm) ? 1 : 0,
        labels: { alarm },
      })),
    ];
  }
}

/** The core counts in buckets by itself; the client library's histogram would have to be told of each verdict. */
function verdictHistogram({ core }: NodeStatus): string {
  const name = "vouch_verdict_seconds";
  const { counts, sumMs } = core.verdicts;
  const lines = [
    `# HELP ${name} Time from a question to the leader until its verdicts, one count a batch; of this node's questions, its own as leader included`,
    `# TYPE ${name} histogram`,
  ];
  let cumulated = 0;
  counts.forEach((count, bucket) => {
    cumulated += count;
    const bound = VERDICT_BOUNDS_MS[bucket];
    lines.push(`${name}_bucket{le="${bound === undefined ? "+Inf" : bound / 1_000}"} ${cumulated}`);
  });
  lines.push(`${name}_sum ${sumMs / 1_000}`, `${name}_count ${cumulated}`);
  return `${lines.join("\n")}\n`;
}

function partitionRows(node: NodeStatus): MetricRow[] {
  return node.core.partitions.flatMap((partition) => {
    const labels = {
      topic: node.topics[topicIndexOf(partition.pid)] ?? "?",
      partition: String(partitionOf(partition.pid)),
    };
    const gauge = (name: string, help: string, value: number): MetricRow => ({
      kind: "gauge",
      name,
      help,
      value,
      labels,
    });
    return [
      gauge(
        "vouch_commit_lag",
        "Offsets between the log's end and the committed one",
        Math.max(0, partition.logEnd - partition.position),
      ),
      gauge("vouch_watermark", "Every offset below it is committed by the cell", partition.watermark),
      gauge("vouch_partition_paused", "1 while the partition is paused by a limit", partition.paused ? 1 : 0),
      gauge("vouch_partition_stopped", "1 when an alarm stopped the partition", partition.stopped === "" ? 0 : 1),
    ];
  });
}
