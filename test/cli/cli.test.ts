import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCli } from "../../src/cli/cli.ts";
import { openEmbeddedTaskLog } from "../../src/task-log/embedded/embedded-task-log.ts";
import { openEmbeddedCoordinator } from "../../src/coordinator/embedded/embedded-coordinator.ts";
import type { MemberInfo } from "../../src/coordinator/coordinator.ts";
import { nodeStatus } from "../ops/node-fixture.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vouch-cli-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  return cliWith({}, ...argv);
}

async function cliWith(
  environment: Record<string, string>,
  ...argv: string[]
): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const code = await runCli({
    argv,
    environment,
    out: (text) => (out += text),
    err: (text) => (err += text),
    live: false,
  });
  return { code, out, err };
}

describe("help and usage", () => {
  test("no command is bad usage, help is not", async () => {
    const none = await cli();
    expect([none.code, none.out]).toEqual([2, ""]);
    const help = await cli("--help");
    expect([help.code, help.err]).toEqual([0, ""]);
    for (const name of ["run", "demo", "produce", "status", "task"]) expect(help.out).toContain(`\n  ${name} `);
  });

  test("each command has its help, both ways, made from its options", async () => {
    expect((await cli("run", "--help")).out).toContain("--lease-ms N");
    expect((await cli("help", "demo")).out).toContain("--no-faults");
    expect((await cli("produce", "-h")).out).toContain("--count N");
    expect((await cli("status", "--help")).out).toContain("--node URL");
  });

  test("an unknown command, flag or variable, and a bad configuration are exit code 2 with all that is wrong", async () => {
    expect((await cli("rum")).code).toBe(2);
    const flags = await cli("run", "--lease", "--kafka-brokers", "a:1");
    expect(flags.code).toBe(2);
    expect(flags.err).toContain("--lease: no such option; did you mean --lease-ms?");
    expect(flags.err).toContain("the argument <tasks.ts> is missing");
    expect(flags.err).toContain("--zookeeper (ZOOKEEPER_CONNECT)");
    expect((await cliWith({ VOUCH_SPEED: "1" }, "status", "--data-dir", folder)).code).toBe(2);
  });

  test("a task module that is missing or says no onUnknown is exit code 2, before anything is joined", async () => {
    const missing = await cli("run", join(folder, "none.ts"), "--data-dir", folder);
    expect(missing.code).toBe(2);
    expect(missing.err).toContain("none.ts");
    const module = join(folder, "tasks.ts");
    writeFileSync(module, 'export default { topic: "a", execute() {} };');
    const silent = await cli("run", module, "--data-dir", folder);
    expect(silent.code).toBe(2);
    expect(silent.err).toContain("onUnknown");
  });

  test("the demo starts in a new or empty folder only: nobody's files are mixed with its own", async () => {
    writeFileSync(join(folder, "mine"), "");
    const refused = await cli("demo", "--data-dir", folder);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain(`--data-dir ${folder}: expected a new or empty folder, got 1 file in it`);
    expect(readdirSync(folder)).toEqual(["mine"]);
  });

  test("the demo's tasks outside of the demo say what is missing", async () => {
    const alone = await cli("run", "vouch:demo", "--data-dir", folder);
    expect(alone.code).toBe(2);
    expect(alone.err).toContain("demo");
  });
});

describe("produce", () => {
  async function offsets(topic: string): Promise<number[]> {
    const log = openEmbeddedTaskLog({ directory: folder });
    try {
      const rows = await log.admin().groupOffsets("any", topic);
      return rows.map((row) => row.logEnd);
    } finally {
      await log.close();
    }
  }

  test("creates the topic, writes generated tasks, and ends with one JSON object", async () => {
    const { code, out } = await cli(
      "produce",
      "t",
      "--count",
      "1200",
      "--partitions",
      "3",
      "--data-dir",
      folder,
      "--json",
    );
    expect(code).toBe(0);
    expect(JSON.parse(out.trimEnd().split("\n").at(-1)!)).toMatchObject({ topic: "t", produced: 1_200 });
    const ends = await offsets("t");
    expect(ends).toHaveLength(3);
    expect(ends.reduce((sum, end) => sum + end, 0)).toBe(1_200);
  });

  test("writes the lines of a file, and names the one that is no task", async () => {
    const file = join(folder, "tasks.ndjson");
    writeFileSync(file, '{"value":1}\n\n{"value":2,"id":"x"}\n');
    expect((await cli("produce", "t", file, "--data-dir", folder)).code).toBe(0);
    expect((await offsets("t")).reduce((sum, end) => sum + end, 0)).toBe(2);
    writeFileSync(file, '{"value":1}\nnonsense\n');
    const bad = await cli("produce", "t", file, "--data-dir", folder, "--batch", "1");
    expect(bad.code).toBe(2);
    expect(bad.err).toContain("line 2");
    expect(bad.err).toContain("1 task(s) were written");
  });

  test("needs a log, and either a file or a count", async () => {
    expect((await cli("produce", "t", "--count", "1")).err).toContain("--data-dir");
    const both = await cli("produce", "t", "x.ndjson", "--count", "1", "--data-dir", folder);
    expect([both.code, both.err.includes("got both")]).toEqual([2, true]);
    expect((await cli("produce", "t", join(folder, "none"), "--data-dir", folder)).code).toBe(2);
  });
});

describe("status", () => {
  test("asks every member that the coordinator lists", async () => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => Response.json(nodeStatus()) });
    const coordinator = openEmbeddedCoordinator({ directory: folder, cell: "default" });
    try {
      const self: MemberInfo = {
        nodeId: "n1",
        bootId: "0".repeat(32),
        peerAddress: "127.0.0.1:1",
        httpAddress: `127.0.0.1:${server.port}`,
        protocolVersion: 1,
        process: { kernelBootId: "", pidNamespace: "", pid: process.pid, startTime: "" },
      };
      await coordinator.start(self, () => undefined);
      const table = await cli("status", "--data-dir", folder);
      expect(table.code).toBe(0);
      expect(table.out).toContain("leader n1   epoch 7");
      expect(table.out).toContain("payments/2");
      const json = await cli("status", "--data-dir", folder, "--json");
      expect(JSON.parse(json.out)).toMatchObject({ members: [{ nodeId: "n1", status: { core: { epoch: 7 } } }] });
      const one = await cli("status", "--node", `http://127.0.0.1:${server.port}`);
      expect([one.code, one.out.includes("payments/2")]).toEqual([0, true]);
    } finally {
      await coordinator.close();
      await server.stop(true);
    }
  });

  test("without anywhere to ask it is bad usage; a node that does not answer is exit code 3", async () => {
    expect((await cli("status")).code).toBe(2);
    const gone = await cli("status", "--node", "http://127.0.0.1:1", "--timeout-ms", "500");
    expect([gone.code, gone.out]).toEqual([3, ""]);
  });
});
