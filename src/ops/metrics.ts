/**
 * Prometheus metrics of one node. Nothing is counted here: on each scrape the counters and gauges take their values from
 * the core's status, so that a metric costs nothing while nobody looks. Only the verdict latency, a histogram, and the
 * event loop's delay are observed between scrapes.
 */
import { heapStats } from "bun:jsc";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { partitionOf, topicIndexOf } from "../core/identity.ts";
import { metricRows, type MetricRow } from "./metric-rows.ts";
import type { NodeStatus } from "./node-status.ts";
import { VerdictLatency } from "./verdict-latency.ts";

const VERDICT_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const LOOP_RESOLUTION_MS = 20;

export class NodeMetrics {
  readonly contentType: string;
  /** The runtime tells it of each report and each answer. */
  readonly verdictLatency: VerdictLatency;
  readonly #registry = new Registry();
  readonly #metrics = new Map<string, Counter | Gauge>();
  readonly #loopDelay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });

  constructor() {
    this.contentType = this.#registry.contentType;
    const verdicts = new Histogram({
      name: "vouch_verdict_seconds",
      help: "Time from a claim's sending to its verdict, a batch",
      buckets: VERDICT_BUCKETS_SECONDS,
      registers: [this.#registry],
    });
    this.verdictLatency = new VerdictLatency((seconds) => verdicts.observe(seconds));
    this.#loopDelay.enable();
  }

  /** The metrics as text; before the node has a status (null) only those of the process. */
  async scrape(node: NodeStatus | null): Promise<string> {
    for (const metric of this.#metrics.values()) metric.reset();
    for (const row of this.#processRows()) this.#write(row);
    if (node !== null) {
      for (const row of metricRows(node)) this.#write(row);
      for (const row of partitionRows(node)) this.#write(row);
    }
    return this.#registry.metrics();
  }

  /** Stops the measuring of the event loop. */
  close(): void {
    this.#loopDelay.disable();
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
    const gauge = (name: string, help: string, value: number): MetricRow => ({
      kind: "gauge",
      name,
      help,
      value,
      labels: {},
    });
    const loopMaxSeconds = this.#loopDelay.max / 1e9;
    this.#loopDelay.reset();
    return [
      {
        kind: "counter",
        name: "process_cpu_seconds_total",
        help: "CPU time of this process, user and system",
        value: (cpu.user + cpu.system) / 1e6,
        labels: {},
      },
      gauge("process_resident_memory_bytes", "Resident memory of this process", process.memoryUsage.rss()),
      gauge("vouch_heap_bytes", "Bytes in use on the JavaScript heap", heapStats().heapSize),
      gauge(
        "vouch_event_loop_delay_max_seconds",
        "Longest delay of the event loop since the last scrape",
        loopMaxSeconds,
      ),
    ];
  }
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
