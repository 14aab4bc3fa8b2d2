/** `task <id> --json` for each state that a task can be in, on three node processes, one of which is killed. */
import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TaskRecordReport, TaskReport, TaskState } from "../../src/ops/task.ts";
import { openEmbeddedTaskLog } from "../../src/task-log/embedded/embedded-task-log.ts";
import { topicIndexOf } from "../../src/core/identity.ts";
import { ROOT, TestNode } from "../support/cluster-node.ts";
import { TEST_TIMING } from "../support/cluster.ts";
import { freePorts, temporaryFolder } from "../support/servers/processes.ts";
import { GATES_ENVIRONMENT, type StateWork } from "../support/task-states-module.ts";
import { vouch } from "../support/vouch-command.ts";

const MODULE = join(ROOT, "test/support/task-states-module.ts");
const PARTITIONS = 6;
const TIMING = {
  ...TEST_TIMING,
  handlerTimeoutMs: 120_000,
  checkTimeoutMs: 120_000,
  checkAttemptsMax: 1,
  attemptsMax: 1,
  filterCapacity: 10_000,
};

async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 40_000): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await Bun.sleep(100)) if (await holds()) return;
  throw new Error(`not within ${ms} ms: ${what}`);
}

async function startNode(name: string, folder: string, gates: string): Promise<TestNode> {
  const [peerPort = 0, httpPort = 0] = await freePorts(2);
  const config = join(folder, `${name}.json`);
  writeFileSync(config, JSON.stringify({ ...TIMING, nodeId: name, dataDir: join(folder, "data") }));
  const listen = ["--peer-listen", `127.0.0.1:${peerPort}`, "--http-listen", `127.0.0.1:${httpPort}`];
  return new TestNode({
    name,
    argv: ["node.ts", "run", MODULE, "--config", config, ...listen],
    environment: { [GATES_ENVIRONMENT]: gates },
    httpPort,
    peerPort,
    proxy: null,
  });
}

async function createTopics(dataDir: string): Promise<void> {
  const log = openEmbeddedTaskLog({ directory: dataDir });
  const admin = log.admin();
  for (const topic of ["quick", "slow"]) await admin.createTopic(topic, PARTITIONS);
  await admin.close();
  await log.close();
}

/** In every partition: one task that ends, one that fails, and three that stand in their handlers. */
async function produce(dataDir: string): Promise<void> {
  const log = openEmbeddedTaskLog({ directory: dataDir });
  const producer = log.producer();
  const send = (topic: string, partition: number, id: string, work: StateWork): Promise<unknown> =>
    producer.send(topic, [{ partition, value: JSON.stringify(work), headers: { "task-id": id } }]);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    await send("quick", partition, `done-${partition}`, {});
    await send("quick", partition, `failing-${partition}`, { fail: true });
    await send("quick", partition, `checked-${partition}`, { gate: "end", checkGate: "check" });
    await send("quick", partition, `unknowable-${partition}`, { gate: "end" });
    await send("slow", partition, `settling-${partition}`, { gate: "end" });
  }
  await producer.close();
  await log.close();
}

test("task --json: in flight, dead, committed and unknown; after a death doubtful, adopted and parked; then settled", async () => {
  const folder = await temporaryFolder("vouch-task-states");
  const [dataDir, gates] = [join(folder.path, "data"), join(folder.path, "gates")];
  mkdirSync(gates);
  await createTopics(dataDir);
  const nodes = await Promise.all(["n1", "n2", "n3"].map((name) => startNode(name, folder.path, gates)));
  const ask = async (id: string): Promise<TaskReport> => {
    const { code, out, err } = await vouch(["task", "--data-dir", dataDir, "--json", "--", id]);
    expect([code, err]).toEqual([0, ""]);
    return JSON.parse(out) as TaskReport;
  };
  const asked = (report: TaskReport): TaskRecordReport => report.records.find((record) => record.asked)!;
  const becomes = async (id: string, state: TaskState): Promise<TaskReport> => {
    let report = await ask(id);
    await until(`${id} is ${state}, not ${report.text}`, async () => (report = await ask(id)).state === state);
    return report;
  };
  try {
    await until("the nodes share the partitions", async () => {
      const answers = await Promise.all(nodes.map((node) => node.status()));
      return answers.every(
        (each) => each?.core.member === true && each.core.partitions.length === (2 * PARTITIONS) / 3,
      );
    });
    await produce(dataDir);
    await until("every gated task runs", async () => {
      const answers = await Promise.all(nodes.map((node) => node.status()));
      return answers.reduce((sum, answer) => sum + (answer?.core.running ?? 0), 0) === 3 * PARTITIONS;
    });
    const statuses = new Map(
      (await Promise.all(nodes.map((node) => node.status()))).map((each) => [each!.nodeId, each!]),
    );
    const owned = (name: string, topic: number): number[] =>
      statuses
        .get(name)!
        .core.partitions.map(({ pid }) => pid)
        .filter((pid) => topicIndexOf(pid) === topic)
        .map((pid) => pid % 65_536);
    const victim = nodes.find(
      ({ name }) =>
        !statuses.get(name)!.core.leaderStatus?.active && owned(name, 0).length > 0 && owned(name, 1).length > 0,
    )!;
    const survivor = nodes.find(({ name }) => name !== victim.name && owned(name, 0).length > 0)!;
    const [lost = -1] = owned(victim.name, 0);
    const [lostSlow = -1] = owned(victim.name, 1);
    const [kept = -1] = owned(survivor.name, 0);

    const inFlight = await ask(`checked-${kept}`);
    expect(inFlight).toMatchObject({ state: "in-flight", seen: true, complete: true });
    expect(asked(inFlight)).toMatchObject({
      runsOn: survivor.name,
      owner: survivor.name,
      holder: survivor.name,
      phase: "executing",
    });
    expect(asked(inFlight).ageMs).toBeGreaterThan(0);
    expect(asked(inFlight).withinMs).toBeLessThanOrEqual(120_000);
    expect(inFlight.text).toStartWith(`${survivor.name} runs it (attempt 1) for`);
    const byPosition = await ask(`quick:${kept}:2`);
    expect(asked(byPosition)).toMatchObject({ taskId: `checked-${kept}`, state: "in-flight", runsOn: survivor.name });

    const dead = await becomes(`failing-${kept}`, "dead");
    expect(asked(dead)).toMatchObject({
      outcome: "dead",
      setAside: { kind: "dead", reason: "attempts", attempts: 1, by: survivor.name },
    });

    const committed = await becomes(`quick:${kept}:0`, "committed");
    expect(committed.text).toContain("below the watermark");
    const gone = await ask(`done-${kept}`);
    expect([gone.state, gone.seen, gone.records]).toEqual(["unknown", true, []]);
    expect(gone.text).toStartWith("seen by the filter, no record");
    const unseen = await ask("never produced");
    expect([unseen.state, unseen.seen]).toEqual(["unknown", false]);
    expect(unseen.text).toStartWith("unseen");
    expect((await ask(`quick:${kept}:900`)).text).toContain("there is no such record yet");

    await victim.kill();
    const doubtful = await becomes(`settling-${lostSlow}`, "doubtful");
    expect(asked(doubtful)).toMatchObject({ holder: victim.name, runsOn: "" });
    expect(asked(doubtful).owner).not.toBe(victim.name);
    expect(asked(doubtful).waitsFor).toStartWith(`${victim.name}, whose process is dead`);
    expect(asked(doubtful).withinMs).toBeGreaterThan(10_000);
    expect(asked(doubtful).withinMs).toBeLessThanOrEqual(60_000);

    const parked = await becomes(`unknowable-${lost}`, "parked");
    expect(asked(parked)).toMatchObject({ outcome: "parked", setAside: { kind: "parked", reason: "unknown" } });
    expect(parked.text).toContain("quick.parked");

    const adopted = await becomes(`checked-${lost}`, "adopted");
    await until("its check is asked", async () => asked(await ask(`checked-${lost}`)).checks?.runs === true);
    expect(asked(await ask(`checked-${lost}`))).toMatchObject({
      waitsFor: "its check to answer",
      checks: { asked: 1 },
    });
    const adopter = asked(adopted).owner;
    expect([survivor.name, ...nodes.map((node) => node.name)]).toContain(adopter);

    writeFileSync(join(gates, "check"), "");
    const settled = await becomes(`checked-${lost}`, "settled");
    expect(asked(settled)).toMatchObject({
      outcome: "dropped",
      settled: { how: "checkedExecuted", ran: false, checks: 1, by: adopter },
    });
    expect(settled.text).toContain('the check answered "executed"');

    // One node alone knows what is in its own hands, and says that it is one of three.
    const one = await vouch(["task", `checked-${kept}`, "--node", survivor.url]);
    expect(one).toMatchObject({ code: 0, err: "" });
    expect(one.out).toContain("1 of 1 node answered");
  } catch (error) {
    process.stderr.write(`${nodes.map((node) => node.logTail()).join("\n")}\n`);
    throw error;
  } finally {
    writeFileSync(join(gates, "end"), "");
    writeFileSync(join(gates, "check"), "");
    await Promise.all(nodes.map((node) => node.stop()));
    await folder.remove();
  }
}, 180_000);
