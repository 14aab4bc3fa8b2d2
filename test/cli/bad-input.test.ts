/**
 * What a user meets who does something wrong, on real processes: each mistake is told in words that name it, before
 * anything is joined where that is possible. What needs Kafka or ZooKeeper is in `test/requirements/bad-input.test.ts`;
 * what a running cell bears is in `bad-peers.test.ts`.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openEmbeddedTaskLog } from "../../src/task-log/embedded/embedded-task-log.ts";
import { freePort, temporaryFolder, type TemporaryFolder } from "../support/servers/processes.ts";
import { type CommandResult, vouch } from "../support/vouch-command.ts";

let root: TemporaryFolder;
let folder = "";
let tests = 0;
beforeAll(async () => {
  root = await temporaryFolder("vouch-bad-input");
});
beforeEach(() => {
  folder = join(root.path, String(++tests));
  mkdirSync(folder);
});
afterAll(() => root.remove());

const LIMIT_MS = 40_000;

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const goodTasks = (): string => file("tasks.ts", 'export default { topic: "t", onUnknown: "park", execute() {} };');

/** A sentence for a person: no stack, no "undefined", nothing twice in one line. */
function expectReadable({ err }: CommandResult): void {
  expect(err).not.toMatch(/^\s+at .+:\d+:\d+/m);
  expect(err).not.toMatch(/undefined|\[object|NaN/);
  for (const line of err.split("\n")) {
    for (const part of line.split(": ")) if (part.length > 20) expect(line.split(part).length).toBe(2);
  }
}

test(
  "unknown, unreadable and contradictory options: all at once, expected and got, exit code 2, nothing joined",
  async () => {
    const dataDir = join(folder, "data");
    const line =
      `run ${goodTasks()} --data-dir ${dataDir} --lease 5 --concurrency many --peer-listen here --single-node ` +
      "--min-in-sync 3 --isolation-grace-ms 1 --kafka-brokers localhost:9092";
    const result = await vouch(line.split(" "));
    expect(result.code).toBe(2);
    expect(result.out).toBe("");
    const lines = result.err.split("\n");
    expect(lines[0]).toBe("6 configuration errors:");
    expect(lines.slice(1, 7).map((line) => line.replace(/^  - /, "").slice(0, 60))).toEqual([
      "--lease: no such option; did you mean --lease-ms?",
      '--peer-listen: expected host:port with a port between 0 and 65535, got "here"'.slice(0, 60),
      '--concurrency: expected a whole number between 1 and 100000, got "many"'.slice(0, 60),
      "--kafka-brokers (KAFKA_BROKERS) and --zookeeper (ZOOKEEPER_CONNECT) need".slice(0, 60),
      "--single-node is a cell of one node: expected --min-in-sync 1, got 3".slice(0, 60),
      "a leader's death must not abort running handlers: the smaller of --lease-ms".slice(0, 60),
    ]);
    expect(lines[6]).toEndWith("expected at least 13500 ms, got 2001 ms");
    expect(lines[7]).toBe('("vouch run --help" lists the options.)');
    expect(existsSync(dataDir)).toBe(false);
    expectReadable(result);
  },
  LIMIT_MS,
);

test(
  "task modules that throw, lack execute, name no onUnknown or do not exist: each is named, exit code 2, nothing joined",
  async () => {
    const dataDir = join(folder, "data");
    const throws = file("throws.ts", '\nthrow new Error("PAYMENT_URL is not set");');
    const idle = file("idle.ts", 'export default { topic: "a", onUnknown: "park" };');
    const silent = file("silent.ts", 'export default { topic: "b", execute() {} };');
    const gone = join(folder, "gone.ts");
    const result = await vouch(["run", throws, idle, silent, gone, "--data-dir", dataDir]);
    expect(result.code).toBe(2);
    expect(
      result.err
        .replace(/:2:\d+\)/, ":2)")
        .split("\n")
        .slice(0, 5),
    ).toEqual([
      "4 task module errors:",
      `  - ${throws}: throws while it is imported: PAYMENT_URL is not set (at ${throws}:2)`,
      `  - ${gone}: no such file (looked for ${gone})`,
      `  - ${idle}: execute: expected a function, got nothing`,
      `  - ${silent}: onUnknown: expected "execute", "drop" or "park", got nothing; it says what happens to a task of ` +
        "which nobody knows whether it ran, and has no default",
    ]);
    expect(existsSync(dataDir)).toBe(false);
  },
  LIMIT_MS,
);

for (const [option, other] of [
  ["--http-listen", "--peer-listen"],
  ["--peer-listen", "--http-listen"],
] as const) {
  test(
    `${option} on a port that is in use: the address and what to do, exit code 2, nothing joined`,
    async () => {
      const holder = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      try {
        const address = `127.0.0.1:${holder.port}`;
        const own = ["--data-dir", folder, "--single-node", option, address, other, "127.0.0.1:0"];
        const result = await vouch(["run", goodTasks(), ...own]);
        expect(result.code).toBe(2);
        expect(result.err).toStartWith(`${option} ${address} cannot be opened: another process has this port; choose`);
        expect(readdirSync(folder).filter((name) => name.includes("sqlite"))).toEqual([]);
        expectReadable(result);
      } finally {
        holder.stop(true);
      }
    },
    LIMIT_MS,
  );
}

test(
  "a data directory that cannot be made, or holds something else, is named with the reason; exit code 2",
  async () => {
    const listen = ["--single-node", "--peer-listen", "127.0.0.1:0", "--http-listen", "off"];
    const below = join(file("plain", "a file"), "data");
    const blocked = await vouch(["run", goodTasks(), "--data-dir", below, ...listen]);
    expect(blocked.code).toBe(2);
    expect(blocked.err).toContain(`the data directory ${below} cannot be created: ENOTDIR`);
    expectReadable(blocked);

    const damaged = file("coordinator-default.sqlite", "this is no database, but somebody's notes. ".repeat(100));
    const refused = await vouch(["run", goodTasks(), "--data-dir", folder, ...listen]);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain(`${damaged} cannot be used: file is not a database`);
    expectReadable(refused);
    // Nobody's file is repaired, replaced or emptied.
    expect(await Bun.file(damaged).text()).toStartWith("this is no database");
    const looked = await vouch(["status", "--data-dir", folder]);
    expect([looked.code, looked.out]).toEqual([2, ""]);
    expect(looked.err).toContain(damaged);
  },
  LIMIT_MS,
);

test(
  "status of a cell that does not exist: exit code 3, the name and the place; JSON stays one object",
  async () => {
    const nowhere = join(folder, "nowhere");
    const text = await vouch(["status", "--data-dir", nowhere, "--cell", "paymnts"]);
    expect([text.code, text.out]).toEqual([3, ""]);
    expect(text.err).toBe(
      `no node of cell "paymnts" is registered in ${nowhere}: is a node running, and is --cell the name that it has?\n`,
    );
    expect(existsSync(nowhere)).toBe(false);
    const json = await vouch(["status", "--data-dir", nowhere, "--json"]);
    expect(json.code).toBe(3);
    expect(JSON.parse(json.out)).toEqual({ leader: null, members: [] });
  },
  LIMIT_MS,
);

test(
  "status and produce at servers that nobody has started: exit code 3, the address, and no hanging",
  async () => {
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const [status, node, produce] = await Promise.all([
      vouch(["status", "--zookeeper", address, "--timeout-ms", "700"]),
      vouch(["status", "--node", `http://${address}`, "--timeout-ms", "700"]),
      vouch(["produce", "t", "--count", "1", "--kafka-brokers", address]),
    ]);
    expect([status.code, node.code, produce.code]).toEqual([3, 3, 3]);
    expect([status.out, node.out, produce.out]).toEqual(["", "", ""]);
    expect(status.err.split("\n")).toEqual([
      `ZooKeeper ${address}: connect ECONNREFUSED ${address} (try 1)`,
      `ZooKeeper ${address} did not answer within 700 ms`,
      "",
    ]);
    expect(node.err).toContain(`http://${address}: `);
    expect(produce.err).toContain(`connect ECONNREFUSED ${address}`);
    for (const result of [status, node, produce]) expectReadable(result);
    const misspelt = await vouch(["status", "--node", address]);
    expect(misspelt.code).toBe(2);
    expect(misspelt.err).toContain(
      `1 configuration error:\n  - --node: expected a URL such as http://127.0.0.1:7480, got "${address}"\n`,
    );
  },
  LIMIT_MS,
);

test(
  "produce with malformed NDJSON: the line, what was expected, and how many tasks were written, which are all there",
  async () => {
    const produce = (input: string, ...more: string[]): Promise<CommandResult> =>
      vouch(["produce", "t", "--data-dir", folder, "--batch", "2", ...more], input);
    const good = Array.from({ length: 5 }, (_, n) => JSON.stringify({ value: n, id: `id-${n}` }));
    const broken = await produce([...good, '{"value": 6', ...good].join("\n"));
    expect([broken.code, broken.out]).toEqual([2, ""]);
    expect(broken.err).toMatch(
      /^standard input, line 6: expected a JSON object, got no JSON \(.+\) \(4 task\(s\) were written to t before this\)\n/,
    );
    const path = file("tasks.ndjson", '{"value":1,"task":"x"}\n');
    const misspelt = await vouch(["produce", "t", path, "--data-dir", folder]);
    expect(misspelt.code).toBe(2);
    expect(misspelt.err).toStartWith(
      `${path}, line 1: unknown key "task"; expected only value, id, key, headers, partition (0 task(s) were written`,
    );
    const elsewhere = await produce('{"value":1,"partition":99}\n');
    expect(elsewhere.code).toBe(2);
    expect(elsewhere.err).toContain('standard input, line 1: "partition": expected a whole number from 0 to 5, got 99');
    const topic = await vouch(["produce", "my tasks", "--count", "1", "--data-dir", folder]);
    expect(topic.code).toBe(2);
    expect(topic.err).toContain('<topic>: expected 1 to 249 letters, digits, ".", "_" or "-", got "my tasks"');
    for (const result of [broken, misspelt, elsewhere, topic]) expectReadable(result);
    expect(await recordsOf("t")).toBe(4);
  },
  LIMIT_MS,
);

async function recordsOf(topic: string): Promise<number> {
  const log = openEmbeddedTaskLog({ directory: folder });
  try {
    return (await log.admin().groupOffsets("any", topic)).reduce((sum, { logEnd }) => sum + logEnd, 0);
  } finally {
    await log.close();
  }
}
