/** What the embedded log does with its files, its limits and its stored forms. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import fc from "fast-check";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigurationError, VouchError } from "../../../src/errors.ts";
import { openEmbeddedTaskLog } from "../../../src/task-log/embedded/embedded-task-log.ts";
import { decodeHeaders, encodeHeaders } from "../../../src/task-log/embedded/header-codec.ts";
import { limits } from "../../../src/task-log/embedded/limits.ts";
import { machineClock } from "../../../src/task-log/embedded/machine-clock.ts";
import type { TaskLog } from "../../../src/task-log/task-log.ts";
import { temporaryFolder } from "../../support/servers/processes.ts";

async function errorOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => null,
    (error: unknown) => error,
  );
}

async function withLog(body: (log: TaskLog, directory: string) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder("vouch-files");
  const log = openEmbeddedTaskLog({ directory: join(folder.path, "made", "here") });
  try {
    await body(log, join(folder.path, "made", "here"));
  } finally {
    await log.close();
  }
}

test("opening creates the directory at the first use, with records and groups in files of their own", async () => {
  await withLog(async (log, directory) => {
    await log.admin().createTopic("t", 1);
    const files = await readdir(directory);
    expect(files).toContain("task-log.sqlite");
    expect(files).toContain("task-log-groups.sqlite");
  });
});

test("a file of another schema version is refused in words, and so is what is no database", async () => {
  await withLog(async (log, directory) => {
    await log.admin().createTopic("t", 1);
    await log.close();
    const database = new Database(join(directory, "task-log.sqlite"), { readwrite: true });
    database.run("PRAGMA user_version = 99");
    database.close();
    const again = openEmbeddedTaskLog({ directory });
    const error = await errorOf(again.admin().describeTopic("t"));
    expect(error).toBeInstanceOf(VouchError);
    expect(error).toMatchObject({ code: "data-dir", retriable: false });
    expect(String(error)).toContain("schema version 99, expected 1");
    await again.close();
  });
  await using folder = await temporaryFolder("vouch-files");
  await writeFile(join(folder.path, "task-log.sqlite"), "this is no database, whatever its name says".repeat(50));
  const log = openEmbeddedTaskLog({ directory: folder.path });
  expect(await errorOf(log.admin().describeTopic("t"))).toMatchObject({ code: "data-dir" });
  await log.close();
});

test("records, topics and commits are there after a clean close and reopen", async () => {
  await withLog(async (log, directory) => {
    await log.admin().createTopic("t", 2);
    await log.producer().send("t", [{ partition: 1, value: "one" }]);
    await log.close();
    const again = openEmbeddedTaskLog({ directory });
    expect(await again.admin().describeTopic("t")).toEqual({ topic: "t", partitions: 2 });
    expect((await again.admin().groupOffsets("g", "t"))[1]).toMatchObject({ logEnd: 1 });
    await again.close();
  });
});

test("sends that wait together are stored together; a large one is split; all are acknowledged", async () => {
  await withLog(async (log) => {
    await log.admin().createTopic("t", 1);
    const producer = log.producer();
    const count = limits.recordsPerTransactionMax * 2 + 7;
    const large = producer.send(
      "t",
      Array.from({ length: count }, () => ({ value: "x" })),
    );
    const small = Array.from({ length: 50 }, () => producer.send("t", [{ value: "y" }]));
    await Promise.all([large, ...small, producer.send("t", [])]);
    expect((await log.admin().groupOffsets("g", "t"))[0]).toMatchObject({ logEnd: count + 50 });
  });
});

test("a record over the limit is refused, one at the limit is stored", async () => {
  await withLog(async (log) => {
    await log.admin().createTopic("t", 1);
    const producer = log.producer();
    const value = new Uint8Array(limits.recordBytesMax);
    expect(await errorOf(producer.send("t", [{ value, key: "k" }]))).toMatchObject({ code: "task-log" });
    await producer.send("t", [{ value }]);
    expect((await log.admin().groupOffsets("g", "t"))[0]).toMatchObject({ logEnd: 1 });
  });
});

test("a consumer whose options contradict each other is refused with all violations", async () => {
  await withLog(async (log) => {
    const options = {
      groupId: "g",
      topics: [],
      sessionTimeoutMs: 1_000,
      rebalanceTimeoutMs: 1_000,
      heartbeatIntervalMs: 600,
      maxWaitMs: 100,
      maxBytesPerPartition: 1_000,
    };
    try {
      log.consumer(options);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigurationError);
      expect((error as ConfigurationError).violations).toHaveLength(2);
    }
  });
});

test("a closed log answers nothing any more", async () => {
  await withLog(async (log) => {
    const [admin, producer] = [log.admin(), log.producer()];
    await admin.createTopic("t", 1);
    await Promise.all([log.close(), log.close()]);
    expect(await errorOf(admin.describeTopic("t"))).toMatchObject({ code: "closed" });
    expect(await errorOf(producer.send("t", [{ value: "x" }]))).toMatchObject({ code: "closed" });
    expect(() => log.producer()).toThrow(VouchError);
  });
});

test("headers come back as they were, whatever their names", () => {
  const name = fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", ""));
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(name, fc.uint8Array()), { selector: ([key]) => key }), (entries) => {
      const headers: Record<string, Uint8Array> = Object.create(null);
      for (const [key, value] of entries) headers[key.toWellFormed()] = value;
      expect(Object.entries(decodeHeaders(encodeHeaders(headers)))).toEqual(Object.entries(headers));
    }),
  );
  expect(encodeHeaders({})).toBeNull();
});

test("damaged headers are an operating error, not a crash", () => {
  const encoded = encodeHeaders({ name: "value" }) ?? new Uint8Array();
  for (let length = 1; length < encoded.length; length++) {
    expect(() => decodeHeaders(encoded.subarray(0, length))).toThrow(VouchError);
  }
});

test("the machine's clock is the same in another process and does not stand still", async () => {
  const path = JSON.stringify(Bun.resolveSync("../../../src/task-log/embedded/machine-clock.ts", import.meta.dir));
  const code = `import { machineClock } from ${path}; const c = machineClock(); console.log(JSON.stringify([c.bootId, c.nowMs()]))`;
  const clock = machineClock();
  const before = clock.nowMs();
  const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe" });
  const [bootId, nowMs] = JSON.parse(await new Response(child.stdout).text()) as [string, number];
  await child.exited;
  expect(bootId).toBe(clock.bootId);
  expect(nowMs).toBeGreaterThanOrEqual(before);
  expect(nowMs).toBeLessThanOrEqual(clock.nowMs());
});
