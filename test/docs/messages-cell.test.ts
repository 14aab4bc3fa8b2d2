/** The alarms that docs/operating.md explains are those that nodes give: each is provoked in a cell in virtual time. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { VouchError } from "../../src/errors.ts";
import { SetAsideWriter } from "../../src/execution/set-aside.ts";
import { Health } from "../../src/ops/health.ts";
import { Cell } from "../support/cell.ts";
import { falsePositive, rewritesCommit, stage } from "../scenarios/stage.ts";
import { Message, messagesOf, PROVOKED, quotedMessages, ROOT, says } from "./messages.ts";

test("the lists of README and docs/operating.md quote exactly the messages that tests provoke", async () => {
  expect([...(await quotedMessages())].sort()).toEqual(Object.values(Message).sort());
});

test("what other tests show, they expect in these words", async () => {
  for (const [key, stage] of Object.entries(PROVOKED)) {
    if (typeof stage === "string") continue;
    expect(Message[key as keyof typeof Message]).toContain(stage.words);
    const source = await Bun.file(join(ROOT, stage.file)).text();
    expect({ key, expected: source.includes(stage.words) }).toEqual({ key, expected: true });
  }
});

test("what is quoted is found in a log line, whatever stands for the dots, and nothing else is", () => {
  const line = JSON.stringify({ level: "warn", message: 'a "b" of 7 is there' });
  expect(says(`x\n${line}\n`, 'a "b" of … is')).toBe(true);
  expect(says(line, 'a "c" of … is')).toBe(false);
  expect(says("one\ntwo", "one … two")).toBe(false);
});

const HEALTH_LIMITS = { loopLagMs: 1_000, verdictMs: 1_000, leaseMs: 3_000 };

const provokers: Readonly<Record<string, () => readonly Cell[] | Promise<string>>> = {
  takeover() {
    const cell = new Cell({ nodes: ["a", "b"] });
    cell.produceMany(0, 10);
    cell.committed[0] = 4;
    cell.advance(5_000);
    return [cell];
  },
  otherCell() {
    const cell = new Cell({ nodes: ["a", "b"] });
    cell.produceMany(0, 10);
    cell.committed[0] = 4;
    cell.metadata[0] = `v1|1|1|${"0".repeat(32)}|1|0|9|0|`;
    cell.advance(5_000);
    return [cell];
  },
  belowFrom() {
    const cell = new Cell({ nodes: ["a", "b"], settings: { startAt: "latest" } });
    cell.produceMany(0, 10);
    cell.advance(5_000);
    cell.produceMany(0, 1);
    cell.drain();
    rewritesCommit(cell, 3);
    cell.advance(3_000);
    return [cell];
  },
  epochFell() {
    const cell = stage();
    cell.leaderEpoch = 7;
    cell.produceMany(0, 5);
    cell.drain();
    cell.leaderEpoch = 6;
    cell.produceMany(0, 5);
    cell.advance(3_000);
    return [cell];
  },
  unreadable() {
    const cell = stage();
    for (let times = 0; times < 2; times++) {
      cell.tell("owner", { type: "partition-problem", pid: 0, problem: "unreadable" });
      cell.advance(1_000);
    }
    return [cell];
  },
  commitRefused() {
    const cell = stage();
    cell.commitOutcome = (node) => (node === "owner" && cell.runs.length > 0 ? "fatal" : "committed");
    cell.produce(0);
    cell.advance(3_000);
    return [cell];
  },
  foreignCommit: () => [committedBy(8)],
  skipped: () => [committedBy(8)],
  offsetsLost: () => [committedBy(null)],
  filterAnew() {
    const cell = stage();
    cell.produceMany(0, 3);
    cell.drain();
    const names = [...cell.nodes.keys()];
    for (const name of names) cell.crash(name);
    for (const name of names) cell.start(name);
    cell.until("somebody leads", () => cell.activeLeader() !== null);
    return [cell];
  },
  unexpectedSeen() {
    const cell = stage({ hasCheck: false });
    falsePositive(cell, cell.produce(0), ["other"]);
    cell.drain();
    return [cell];
  },
  loopLag: async () => new Health(HEALTH_LIMITS).lagged(2_000, 0)!.message,
  slowVerdicts: async () =>
    new Health(HEALTH_LIMITS).look({ verdicts: [], oldestAskMs: 9_000 }, 0, () => "n2")[0]!.message,
  async cannotSetAside() {
    const lines: string[] = [];
    const done = Promise.withResolvers<void>();
    const producer = {
      send: () => Promise.reject(new VouchError("unavailable", "the broker is away")),
      close: () => Promise.resolve(),
    };
    const writer = new SetAsideWriter(
      producer,
      (_, message) => lines.push(message),
      () => done.resolve(),
    );
    const record = { topic: "payments", partition: 0, offset: 0, key: null, value: null, headers: {}, timestampMs: 0 };
    writer.add({ ...record, kind: "dead", pid: 0, record, reason: "attempts", attempts: 5, error: "" });
    await done.promise;
    return lines.join("\n");
  },
};

/** Five are done, three more are there, and somebody else's tool moves the group. */
function committedBy(position: number | null): Cell {
  const cell = stage();
  cell.produceMany(0, 5);
  cell.drain();
  cell.advance(500);
  cell.handler = () => ({ ms: 0, outcome: "hang" });
  cell.produceMany(0, 3);
  rewritesCommit(cell, position);
  cell.handler = () => ({ ms: 1, outcome: "success" });
  cell.advance(30_000);
  return cell;
}

for (const key of messagesOf("cell")) {
  test(`a cell says: ${Message[key]}`, async () => {
    const provoked = await provokers[key]!();
    const output =
      typeof provoked === "string"
        ? provoked
        : provoked
            .flatMap((cell) => [...cell.nodes.values()])
            .flatMap(({ alarms, logs }) => [...alarms.map((alarm) => alarm.replace(/^[a-z-]+: /, "")), ...logs])
            .join("\n");
    expect({ said: says(output, Message[key]), output }).toEqual({ said: true, output });
  });
}
