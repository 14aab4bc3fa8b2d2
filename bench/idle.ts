/**
 * `bun run bench idle [--seconds 60] [--rest 10] [--nodes 3] [--only embedded|servers] [--json FILE]`: what a cell costs that
 * has nothing to do. Default options, 12 partitions, 1,000 tasks done before; user and system time of each node process
 * from the kernel's own counters, as a share of one core, on Kafka and ZooKeeper and on the embedded pair.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { childEnvironment, freePorts } from "../src/cli/demo/cell.ts";
import { startKafka } from "../test/support/servers/kafka.ts";
import { startZooKeeper } from "../test/support/servers/zookeeper.ts";

const ROOT = join(import.meta.dir, "..");
const PARTITIONS = 12;
const TASKS = 1_000;
/** Of the kernel's times in /proc: USER_HZ, 100 on every Linux that Bun runs on. */
const TICKS_A_SECOND = 100;
const READY_MS = 60_000;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    rest: { type: "string", default: "10" },
    nodes: { type: "string", default: "3" },
    only: { type: "string" },
    json: { type: "string" },
  },
});
const say = (text: string): void => void process.stderr.write(`${text}\n`);

interface Idle {
  readonly on: string;
  readonly seconds: number;
  /** Share of one core, of each node. */
  readonly percent: readonly number[];
}

/** User and system time so far, in milliseconds. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_A_SECOND;
}

interface Servers {
  readonly brokers: string;
  readonly zookeeper: string;
}

async function measure(on: string, servers: Servers | null): Promise<Idle> {
  const folder = mkdtempSync(join(tmpdir(), "vouch-idle-"));
  const nodes: Bun.Subprocess[] = [];
  try {
    const tasks = join(folder, "tasks.ts");
    const library = join(ROOT, "src", "index.ts");
    const source = `import { defineTasks } from ${JSON.stringify(library)};\nexport default defineTasks({ topic: "idle", onUnknown: "park", execute() {} });\n`;
    writeFileSync(tasks, source);
    const log = servers === null ? ["--data-dir", join(folder, "data")] : ["--kafka-brokers", servers.brokers];
    const where = servers === null ? log : [...log, "--zookeeper", servers.zookeeper];
    const vouch = (args: readonly string[]): Bun.Subprocess =>
      Bun.spawn([process.execPath, "run", join(ROOT, "node.ts"), ...args], {
        cwd: folder,
        env: childEnvironment({}),
        stdio: ["ignore", "ignore", Bun.file(join(folder, "log"))],
      });
    const produce = ["produce", "idle", "--count", String(TASKS), "--partitions", String(PARTITIONS), ...log];
    const produced = await vouch(produce).exited;
    if (produced !== 0) throw new Error(`produce ended with ${produced}: ${readFileSync(join(folder, "log"), "utf8")}`);
    const urls: string[] = [];
    for (let number = 1; number <= Number(values.nodes); number++) {
      const [peer, http] = freePorts(2);
      urls.push(`http://127.0.0.1:${http}/readyz`);
      nodes.push(vouch(["run", tasks, "--node-id", `n${number}`, ...listenOn(peer!, http!), ...where]));
    }
    for (const url of urls) await ready(url);
    say(`${on}: ${nodes.length} nodes ready, ${values.rest} s of rest`);
    await sleep(Number(values.rest) * 1_000);
    const before = nodes.map(({ pid }) => cpuMs(pid));
    const began = performance.now();
    await sleep(Number(values.seconds) * 1_000);
    const wallMs = performance.now() - began;
    const percent = nodes.map(({ pid }, index) => (100 * (cpuMs(pid) - before[index]!)) / wallMs);
    return { on, seconds: wallMs / 1_000, percent };
  } finally {
    for (const node of nodes) node.kill("SIGTERM");
    await Promise.all(nodes.map(({ exited }) => exited));
    rmSync(folder, { recursive: true });
  }
}

function listenOn(peer: number, http: number): string[] {
  return ["--peer-listen", `127.0.0.1:${peer}`, "--http-listen", `127.0.0.1:${http}`];
}

/** @throws Error when the node is not ready in time */
async function ready(url: string): Promise<void> {
  for (const end = performance.now() + READY_MS; performance.now() < end; await sleep(200)) {
    const answer = await fetch(url).catch(() => null);
    if (answer?.ok === true) return;
  }
  throw new Error(`${url} did not answer 200 within ${READY_MS} ms`);
}

const results: Idle[] = [];
if (values.only !== "servers") results.push(await measure("embedded", null));
if (values.only !== "embedded") {
  await using kafka = await startKafka();
  await using zookeeper = await startZooKeeper({ tickMs: 2_000 });
  results.push(await measure("Kafka and ZooKeeper", { brokers: kafka.brokers, zookeeper: zookeeper.address }));
}
for (const { on, seconds, percent } of results) {
  const each = percent.map((share) => `${share.toFixed(2)} %`).join(", ");
  say(`${on}: ${each} of one core each, over ${seconds.toFixed(0)} s`);
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
process.stdout.write(`${JSON.stringify({ idle: results })}\n`);
