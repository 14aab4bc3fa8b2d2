/** The `task` command at its edges: wrong usage, silent nodes, strangers; what it says of tasks is in task.slow.test.ts. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCli } from "../../src/cli/cli.ts";
import { openEmbeddedCoordinator } from "../../src/coordinator/embedded/embedded-coordinator.ts";
import { nodeTaskAnswer, type TaskReport } from "../../src/ops/task.ts";
import { nodeStatus } from "../ops/node-fixture.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const code = await runCli({
    argv,
    environment: {},
    out: (text) => (out += text),
    err: (text) => (err += text),
    live: false,
  });
  return { code, out, err };
}

/** A node that was never asked for anything; `asked` gets what it is asked. */
function serve(nodeId: string, asked: string[], answer?: () => Response | Promise<Response>): string {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const id = new URL(request.url).searchParams.get("id") ?? "";
      asked.push(id);
      if (answer !== undefined) return answer();
      return Response.json(nodeTaskAnswer(id, nodeStatus({ nodeId }), { seen: false, records: [] }, new Date(0)));
    },
  });
  closing.push(() => server.stop(true));
  return `127.0.0.1:${server.port}`;
}

/** A cell that lists these nodes. */
async function register(nodes: Readonly<Record<string, string>>): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "vouch-task-"));
  closing.push(() => rmSync(directory, { recursive: true }));
  for (const [nodeId, httpAddress] of Object.entries(nodes)) {
    const coordinator = openEmbeddedCoordinator({ directory, cell: "default" });
    closing.push(() => coordinator.close());
    const process = { kernelBootId: "", pidNamespace: "", pid: 1, startTime: "" };
    const bootId = nodeId
      .charCodeAt(nodeId.length - 1)
      .toString(16)
      .padStart(32, "0");
    await coordinator.start(
      { nodeId, bootId, peerAddress: "127.0.0.1:1", httpAddress, protocolVersion: 1, process },
      () => undefined,
    );
  }
  return directory;
}

test("without a task, with two, with an empty one, and with nobody to ask: exit code 2, and what is wrong", async () => {
  const none = await cli("task");
  expect(none).toMatchObject({ code: 2, out: "" });
  expect(none.err).toContain("the argument <task id> is missing");
  expect(none.err).toContain("no cell to ask: expected --node, --zookeeper or");
  expect((await cli("task", "a", "b", "--node", "http://127.0.0.1:1")).err).toContain('"b": one argument too many');
  expect((await cli("task", "", "--node", "http://127.0.0.1:1")).err).toContain("expected a text that is not empty");
  expect(await cli("task", "a", "--node", "127.0.0.1:1")).toMatchObject({ code: 2 });
  expect(await cli("task", "a", "--speed")).toMatchObject({ code: 2 });
  expect((await cli("task", "--help")).out).toContain("topic:partition:offset");
});

test("every member that the coordinator lists is asked, with the id as it is; who is silent is named", async () => {
  const asked: string[] = [];
  const other: string[] = [];
  const id = "order 1/2&id=x ü";
  const dataDir = await register({
    n1: serve("n1", asked),
    n2: serve("n2", other, () => Response.json({ error: "starting: ZooKeeper does not answer" }, { status: 503 })),
    n3: "",
  });
  const { code, out, err } = await cli("task", id, "--data-dir", dataDir, "--json");
  expect([code, err]).toEqual([0, ""]);
  expect([asked, other]).toEqual([[id], [id]]);
  const report = JSON.parse(out) as TaskReport;
  expect(report).toMatchObject({ id, state: "unknown", seen: false, complete: false, records: [] });
  expect(report.nodes.map(({ nodeId, error }) => [nodeId, error])).toEqual([
    ["n1", ""],
    ["n2", "answered 503: starting: ZooKeeper does not answer"],
    ["n3", "this node has no HTTP port"],
  ]);
  const text = await cli("task", "order-9", "--data-dir", dataDir);
  expect(text.out).toContain("order-9: unseen");
  expect(text.out).toContain("n2: no answer: answered 503: starting: ZooKeeper does not answer");
  expect(text.out).toContain("1 of 3 nodes answered: who is silent may know more");
});

test("nobody answers: exit code 3, why, and still one JSON object", async () => {
  const dataDir = await register({ n1: serve("n1", [], () => new Promise(() => undefined)) });
  const text = await cli("task", "a", "--data-dir", dataDir, "--timeout-ms", "300");
  expect(text).toMatchObject({ code: 3, out: "" });
  expect(text.err).toBe(
    'n1: no answer: no answer within 300 ms\nnothing is known of "a": no node answered; is one running, and is its HTTP port reachable from here?\n',
  );
  const json = await cli("task", "a", "--data-dir", dataDir, "--timeout-ms", "300", "--json");
  expect(json.code).toBe(3);
  expect(JSON.parse(json.out)).toMatchObject({ state: "unknown", seen: null, complete: false });
});

test("a cell of which nobody is registered: exit code 3, where it was looked for", async () => {
  const directory = mkdtempSync(join(tmpdir(), "vouch-task-"));
  closing.push(() => rmSync(directory, { recursive: true }));
  const { code, err } = await cli("task", "a", "--data-dir", directory, "--cell", "paymnts");
  expect(code).toBe(3);
  expect(err).toContain(`no node of cell "paymnts" is registered in ${directory}`);
});

test("--node: that one only; a stranger that answers something else is told apart", async () => {
  const asked: string[] = [];
  const one = await cli("task", "a", "--node", `http://${serve("n7", asked)}`);
  expect([one.code, asked]).toEqual([0, ["a"]]);
  expect(one.out).toContain("leader n7 (epoch 7); 1 of 1 node answered");
  const stranger = await cli("task", "a", "--node", `http://${serve("n7", [], () => Response.json({ ok: true }))}`);
  expect(stranger.code).toBe(3);
  expect(stranger.err).toContain("answered something else than a task");
  const old = serve("n7", [], () => Response.json({ error: "not found" }, { status: 404 }));
  expect((await cli("task", "a", "--node", `http://${old}`)).err).toContain("answered 404: not found");
});
