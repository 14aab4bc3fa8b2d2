import { Database } from "bun:sqlite";
import { afterEach, expect, setSystemTime, test } from "bun:test";
import { join } from "node:path";
import { openEmbeddedCoordinator } from "../../src/coordinator/embedded/embedded-coordinator.ts";
import { temporaryFolder, waitUntil } from "../support/servers/processes.ts";
import { type CoordinatorService, coordinatorConformance } from "./coordinator.ts";
import { ChildNode, TestNode, WAIT_MS, cellOf, codeOf } from "./coordinator-nodes.ts";
import type { EmbeddedSpec } from "./coordinator-spec.ts";

const SESSION_MS = 900;

function fileOf(spec: EmbeddedSpec): string {
  return join(spec.directory, `coordinator-${spec.cell}.sqlite`);
}

async function embeddedService(): Promise<CoordinatorService> {
  const folder = await temporaryFolder("vouch-coordinator");
  const specs = new Map<string, EmbeddedSpec>();
  const blockers: Database[] = [];
  return {
    sessionMs: SESSION_MS,
    cell(cell) {
      const spec: EmbeddedSpec = { kind: "embedded", directory: folder.path, cell, sessionMs: SESSION_MS };
      specs.set(cell, spec);
      return cellOf(spec);
    },
    async pause() {
      // A writer that never commits: what a process does that was stopped inside a transaction.
      for (const spec of specs.values()) {
        const blocker = new Database(fileOf(spec), { readwrite: true, create: true });
        blocker.run("PRAGMA busy_timeout = 2000");
        blocker.run("BEGIN IMMEDIATE");
        blockers.push(blocker);
      }
    },
    async resume() {
      for (const blocker of blockers.splice(0)) blocker.close();
    },
    async removeLeader(cell) {
      const database = new Database(join(folder.path, `coordinator-${cell}.sqlite`), { readwrite: true });
      database.run("PRAGMA busy_timeout = 2000");
      database.run("DELETE FROM leader");
      database.close();
    },
    [Symbol.asyncDispose]: () => folder.remove(),
  };
}

coordinatorConformance("embedded", embeddedService);

afterEach(() => {
  setSystemTime();
});

test("a wall clock that jumps by a day ends no session", async () => {
  await using folder = await temporaryFolder("vouch-coordinator");
  const spec: EmbeddedSpec = { kind: "embedded", directory: folder.path, cell: "c", sessionMs: SESSION_MS };
  await using a = await TestNode.start(spec, "a");
  await using child = await ChildNode.start(spec, "b");
  expect(await child.compete(0)).toEqual({ outcome: "won", epoch: 1 });
  setSystemTime(new Date(Date.now() + 86_400_000));
  await Bun.sleep(2 * SESSION_MS);
  expect(await a.coordinator.compete(0)).toEqual({ outcome: "lost" });
  expect(a.sessionStates()).toEqual(["connected"]);
  expect((await child.standing()).states).toEqual(["connected"]);
}, 20_000);

test("sessions of an earlier start of the machine count for nothing, however late they end", async () => {
  await using folder = await temporaryFolder("vouch-coordinator");
  const spec: EmbeddedSpec = { kind: "embedded", directory: folder.path, cell: "c", sessionMs: SESSION_MS };
  await using child = await ChildNode.start(spec, "a");
  await child.compete(0);
  await child.kill();
  const database = new Database(fileOf(spec), { readwrite: true });
  database.run("UPDATE sessions SET expires_ms = 1e15, clock = 'an earlier start'");
  database.close();
  await using again = await TestNode.start(spec, "a");
  expect(again.warnings()).toEqual([]);
  expect(await again.coordinator.compete(0)).toEqual({ outcome: "won", epoch: 2 });
}, 20_000);

test("a file of another layout, and a folder that cannot be, are configuration errors", async () => {
  await using folder = await temporaryFolder("vouch-coordinator");
  const spec: EmbeddedSpec = { kind: "embedded", directory: folder.path, cell: "c", sessionMs: SESSION_MS };
  const database = new Database(fileOf(spec), { readwrite: true, create: true });
  database.run("PRAGMA user_version = 99");
  database.close();
  await using node = new TestNode(spec, "a");
  expect(await codeOf(() => node.start())).toBe("configuration");
  await using other = new TestNode({ ...spec, directory: join(fileOf(spec), "below-a-file") }, "a");
  expect(await codeOf(() => other.start())).toBe("configuration");
  expect(() => openEmbeddedCoordinator({ ...spec, cell: "../up" })).toThrow("cell: expected");
  expect(() => openEmbeddedCoordinator({ ...spec, sessionMs: 5 })).toThrow("session: expected");
});

test("waiting for the file's lock does not block the process", async () => {
  await using folder = await temporaryFolder("vouch-coordinator");
  const spec: EmbeddedSpec = { kind: "embedded", directory: folder.path, cell: "c", sessionMs: 6_000 };
  await using node = await TestNode.start(spec, "a");
  const blocker = new Database(fileOf(spec), { readwrite: true });
  blocker.run("BEGIN IMMEDIATE");
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
    if (turns === 10) blocker.close(); // can only happen while the election waits
  }, 1);
  try {
    expect(await node.coordinator.compete(0)).toEqual({ outcome: "won", epoch: 1 });
  } finally {
    clearInterval(timer);
    blocker.close();
  }
  expect(turns).toBeGreaterThanOrEqual(10);
  await waitUntil("the leader", () => node.leader()?.epoch === 1, WAIT_MS);
});
