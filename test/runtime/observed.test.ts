/** What a running node tells about itself: every metric that it promises, a loop that was blocked, verdicts that are slow. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeConfig } from "../../src/config/node-config.ts";
import type { NodeConfig } from "../../src/config/option-table.ts";
import type { TaskDefinition } from "../../src/execution/define.ts";
import { resolveTasks } from "../../src/execution/resolve.ts";
import { createLogger } from "../../src/ops/log.ts";
import { type RunningNode, startNode } from "../../src/runtime/node.ts";
import { openEmbeddedTaskLog } from "../../src/task-log/embedded/embedded-task-log.ts";

let dataDir = "";
const logged: { level: string; message: string; alarm?: string; over?: boolean }[] = [];
beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "vouch-observed-"));
  logged.length = 0;
  const log = openEmbeddedTaskLog({ directory: dataDir });
  const admin = log.admin();
  await admin.createTopic("orders", 2);
  await admin.close();
  await log.close();
});
afterEach(() => {
  rmSync(dataDir, { recursive: true });
});

const logger = createLogger({
  level: "info",
  plain: false,
  write: (line) => logged.push(JSON.parse(line)),
  now: Date.now,
});

async function withNode(
  definition: Partial<TaskDefinition>,
  more: Partial<NodeConfig>,
  body: (node: RunningNode, scrape: () => Promise<string>) => Promise<void>,
): Promise<void> {
  const listen = { host: "127.0.0.1", port: 0 };
  const config = nodeConfig({
    nodeId: "a",
    dataDir,
    singleNode: true,
    peerListen: listen,
    httpListen: listen,
    electionBackoffMs: 50,
    ...more,
  });
  const exported: TaskDefinition = { topic: "orders", onUnknown: "park", execute() {}, ...definition };
  const node = await startNode(config, resolveTasks([{ name: "test", exported }]), { logger });
  try {
    await body(node, async () => (await fetch(`http://${node.httpAddress}/metrics`)).text());
  } finally {
    await node.stop();
  }
}

async function produce(values: readonly string[]): Promise<void> {
  const log = openEmbeddedTaskLog({ directory: dataDir });
  const producer = log.producer();
  await producer.send(
    "orders",
    values.map((value, i) => ({ value, headers: { "task-id": `t${i}` } })),
  );
  await producer.close();
  await log.close();
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end; await Bun.sleep(20)) if (await holds()) return;
  throw new Error(`not within 20 s: ${what}`);
}

/** The list of the design document, and what each is. */
const PROMISED: Readonly<Record<string, readonly [type: "counter" | "gauge" | "histogram", sample: RegExp]>> = {
  vouch_tasks_total: ["counter", /^vouch_tasks_total\{outcome="executed"\} 3$/m],
  vouch_doubts_settled_total: ["counter", /^vouch_doubts_settled_total\{how="checked-executed"\} 0$/m],
  vouch_doubts_total: ["counter", /^vouch_doubts_total 0$/m],
  vouch_verdict_seconds: ["histogram", /^vouch_verdict_seconds_bucket\{le="\+Inf"\} [1-9]\d*$/m],
  vouch_verdict_p99_seconds: ["gauge", /^vouch_verdict_p99_seconds \d/m],
  vouch_oldest_question_seconds: ["gauge", /^vouch_oldest_question_seconds \d/m],
  vouch_in_flight: ["gauge", /^vouch_in_flight 1$/m],
  vouch_running: ["gauge", /^vouch_running 1$/m],
  vouch_oldest_unfinished_seconds: ["gauge", /^vouch_oldest_unfinished_seconds 0\.\d+$/m],
  vouch_doubtful: ["gauge", /^vouch_doubtful 0$/m],
  vouch_oldest_doubt_seconds: ["gauge", /^vouch_oldest_doubt_seconds 0$/m],
  vouch_epoch: ["gauge", /^vouch_epoch 1$/m],
  vouch_in_sync_size: ["gauge", /^vouch_in_sync_size 1$/m],
  vouch_role: ["gauge", /^vouch_role\{role="leader"\} 1$/m],
  vouch_elections_won_total: ["counter", /^vouch_elections_won_total 1$/m],
  vouch_filter_fill: ["gauge", /^vouch_filter_fill [\de.-]+$/m],
  vouch_filter_false_positive_rate: ["gauge", /^vouch_filter_false_positive_rate [\de.-]+$/m],
  vouch_limit_hits_total: ["counter", /^vouch_limit_hits_total\{limit="uncommittedSpanMax"\} 0$/m],
  vouch_commit_lag: ["gauge", /^vouch_commit_lag\{topic="orders",partition="\d"\} 1$/m],
  vouch_commits_total: ["counter", /^vouch_commits_total [1-9]\d*$/m],
  vouch_commits_failed_total: ["counter", /^vouch_commits_failed_total\{outcome="refused"\} 0$/m],
  vouch_event_loop_delay_max_seconds: ["gauge", /^vouch_event_loop_delay_max_seconds \d/m],
  vouch_event_loop_stalls_total: ["counter", /^vouch_event_loop_stalls_total 0$/m],
  vouch_alarm: ["gauge", /^vouch_alarm\{alarm="verdicts"\} 0$/m],
};

const LIMITS = ["deltaLogMax", "doubtfulMax", "messagesToItself", "tableSlotsMax", "uncommittedSpanMax", "windowSlots"];

test("every metric that is promised is there on a running node: its help, its type, its value", async () => {
  const gate = Promise.withResolvers<void>();
  const execute: TaskDefinition["execute"] = ({ value }) =>
    new TextDecoder().decode(value ?? new Uint8Array()) === "waits" ? gate.promise : undefined;
  await withNode({ execute }, { loopLagAlarmMs: 60_000 }, async (node, scrape) => {
    using _gate = { [Symbol.dispose]: () => gate.resolve() }; // else a failure would wait for the handler
    await produce(["a", "b", "c", "waits"]);
    await until("three are executed and committed, one runs", () => {
      const { core } = node.status()!;
      const lag = core.partitions.reduce((sum, { logEnd, position }) => sum + logEnd - position, 0);
      return core.counters.executed === 3 && core.running === 1 && lag === 1;
    });
    const text = await scrape();
    for (const [name, [type, sample]] of Object.entries(PROMISED)) {
      const help = new RegExp(`^# HELP ${name} .{10,}$`, "m").test(text);
      const typed = new RegExp(`^# TYPE ${name} ${type}$`, "m").test(text);
      const valued = sample.test(text);
      expect({ name, help, typed, valued }).toEqual({ name, help: true, typed: true, valued: true });
    }
    for (const limit of LIMITS) expect(text).toContain(`vouch_limit_hits_total{limit="${limit}"}`);
    // Nothing is there that a reader would have to guess: each family once, each with its help.
    const families = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name!);
    expect(families.length).toBe(new Set(families).size);
    for (const name of families) expect([name, text.includes(`# HELP ${name} `)]).toEqual([name, true]);
    expect(text.endsWith("\n")).toBe(true);
  });
}, 60_000);

test("C19: a handler that blocks the event loop: the log, /status and /metrics say so, and what to do", async () => {
  const execute = (): void => {
    const end = performance.now() + 1_200;
    while (performance.now() < end);
  };
  await withNode({ execute }, { loopLagAlarmMs: 500 }, async (node, scrape) => {
    await produce(["a"]);
    await until("it ran, and the loop went on", () => node.status()!.core.counters.executed === 1);
    await until("the alarm", () => logged.some(({ alarm }) => alarm === "event-loop"));
    const [told] = logged.filter(({ alarm }) => alarm === "event-loop");
    expect(told).toMatchObject({ level: "error" });
    expect(told!.message).toMatch(/^the event loop stood still for [01]\.\d s \(alarm at 0\.5 s\)/);
    expect(told!.message).toContain("Worker");
    expect(node.status()!.alarms).toEqual([told!.message]);
    const text = await scrape();
    expect(text).toMatch(/^vouch_event_loop_stalls_total [1-9]/m);
    expect(text).toMatch(/^vouch_event_loop_delay_max_seconds (0\.[5-9]|1\.)/m);
    expect(text).toContain('vouch_alarm{alarm="event-loop"} 1');
  });
}, 60_000);
