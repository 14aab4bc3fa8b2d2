/** The embedded log between processes: nothing acknowledged is lost by `kill -9`, and files that were left so open again. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openEmbeddedTaskLog } from "../../../src/task-log/embedded/embedded-task-log.ts";
import { RecordStore } from "../../../src/task-log/embedded/record-store.ts";
import { type ChildProcess, startProcess, temporaryFolder, waitUntil } from "../../support/servers/processes.ts";

const TEST_MS = 60_000;
const WAIT_MS = 30_000;
const topic = "tasks";
const writerPath = fileURLToPath(new URL("./writer-child.ts", import.meta.url));

function startWriter(directory: string, name: string, perSend: number, last = 0): ChildProcess {
  return startProcess(name, [process.execPath, writerPath, directory, topic, name, String(perSend), String(last)]);
}

/** The largest n that the writer was told is stored. */
function acked(writer: ChildProcess): number {
  const lines = writer.output().match(/^acked \d+$/gm) ?? [];
  return Number(lines.at(-1)?.slice("acked ".length) ?? 0);
}

/** For each writer the numbers in the log, and that each partition has every offset once. */
async function readAll(directory: string): Promise<Map<string, number[]>> {
  const store = await RecordStore.open(join(directory, "task-log.sqlite"));
  const found = new Map<string, number[]>();
  for (let partition = 0; partition < 3; partition++) {
    for (let position = 0; ;) {
      const fetched = await store.fetch(topic, partition, position, 1_048_576);
      for (const [index, record] of (fetched?.records ?? []).entries()) {
        expect(record.offset).toBe(position + index);
        const [name = "", n] = new TextDecoder().decode(record.value ?? new Uint8Array()).split(" ");
        found.set(name, [...(found.get(name) ?? []), Number(n)]);
      }
      position += fetched?.records.length ?? 0;
      if (fetched === null || position >= fetched.logEnd) break;
    }
  }
  store.close();
  return found;
}

function integrityOf(directory: string): string[] {
  return ["task-log.sqlite", "task-log-groups.sqlite"].map((file) => {
    const database = new Database(join(directory, file), { readwrite: true });
    const row = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get();
    database.close();
    return row?.integrity_check ?? "no answer";
  });
}

test(
  "four writer processes at once: every record is there once",
  async () => {
    await using folder = await temporaryFolder("vouch-writers");
    const writers = ["a", "b", "c", "d"].map((name, index) => startWriter(folder.path, name, 1 + index * 20, 2_440));
    await Promise.all(writers.map((writer) => writer.waitForOutput(/^done$/m, WAIT_MS)));
    const found = await readAll(folder.path);
    for (const writer of writers) {
      const numbers = (found.get(writer.name) ?? []).sort((left, right) => left - right);
      expect(numbers).toEqual(Array.from({ length: acked(writer) }, (_, index) => index + 1));
      expect(numbers.length).toBeGreaterThanOrEqual(2_440);
    }
  },
  TEST_MS,
);

test(
  "kill -9 of all writers in the middle: every acknowledged record is there, none twice, and the files open again",
  async () => {
    await using folder = await temporaryFolder("vouch-kill");
    const enough = new Map<string, number>();
    for (let round = 0; round < 3; round++) {
      const names = ["a", "b", "c", "d"].map((name) => `${name}${round}`);
      const writers = names.map((name, index) => startWriter(folder.path, name, index === 0 ? 1 : 50));
      await waitUntil("records of every writer", () => writers.every((writer) => acked(writer) >= 300), WAIT_MS, 5);
      for (const writer of writers) writer.kill("SIGKILL");
      await Promise.all(writers.map((writer) => writer.exited));
      for (const writer of writers) enough.set(writer.name, acked(writer));
    }
    const found = await readAll(folder.path);
    for (const [name, count] of enough) {
      const numbers = new Set(found.get(name));
      expect(numbers.size).toBe(found.get(name)?.length ?? 0);
      const missing = Array.from({ length: count }, (_, index) => index + 1).filter((n) => !numbers.has(n));
      expect(missing).toEqual([]);
    }
    expect(integrityOf(folder.path)).toEqual(["ok", "ok"]);
  },
  TEST_MS,
);

test(
  "a process that was stopped inside a transaction holds the others up, and they go on when it is gone",
  async () => {
    await using folder = await temporaryFolder("vouch-stopped");
    const log = openEmbeddedTaskLog({ directory: folder.path });
    await log.admin().createTopic(topic, 3);
    const blocker = new Database(join(folder.path, "task-log.sqlite"), { readwrite: true });
    blocker.run("BEGIN IMMEDIATE");
    let stored = false;
    const sending = log
      .producer()
      .send(topic, [{ value: "a 1" }])
      .then(() => (stored = true));
    await Bun.sleep(200); // the event loop turns meanwhile: a busy file is waited for asynchronously
    expect(stored).toBe(false);
    blocker.run("ROLLBACK");
    blocker.close();
    await sending;
    await log.close();
    expect((await readAll(folder.path)).get("a")).toEqual([1]);
  },
  TEST_MS,
);
