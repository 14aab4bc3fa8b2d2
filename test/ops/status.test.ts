import { afterEach, expect, test } from "bun:test";
import type { MemberInfo } from "../../src/coordinator/coordinator.ts";
import { partitionId } from "../../src/core/identity.ts";
import { askMembers, askUrl, cellText, table } from "../../src/ops/status.ts";
import { coreStatus, nodeStatus } from "./node-fixture.ts";

const servers: ReturnType<typeof Bun.serve>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

function serve(answer: () => Response | Promise<Response>): string {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  servers.push(server);
  return `127.0.0.1:${server.port}`;
}

function member(nodeId: string, httpAddress: string): MemberInfo {
  const process = { kernelBootId: "", pidNamespace: "", pid: 1, startTime: "" };
  return { nodeId, bootId: "0", peerAddress: "127.0.0.1:1", httpAddress, protocolVersion: 1, process };
}

test("every member is in the answer, also one that fails, hangs, speaks nonsense or has no port", async () => {
  const answers = await askMembers(
    [
      member(
        "good",
        serve(() => Response.json(nodeStatus({ nodeId: "good" }))),
      ),
      member(
        "starting",
        serve(() => new Response("", { status: 503 })),
      ),
      member(
        "nonsense",
        serve(() => new Response("<html>")),
      ),
      member(
        "null",
        serve(() => Response.json(null)),
      ),
      member(
        "hanging",
        serve(() => new Promise(() => undefined)),
      ),
      member("without", ""),
    ],
    150,
  );
  expect(answers.map(({ nodeId, status }) => [nodeId, status !== null])).toEqual([
    ["good", true],
    ["starting", false],
    ["nonsense", false],
    ["null", false],
    ["hanging", false],
    ["without", false],
  ]);
  expect(answers.slice(1).every(({ error }) => error !== "")).toBe(true);
});

test("a node named by URL is asked as well, and a URL that is none is an answer with an error", async () => {
  const address = serve(() => Response.json(nodeStatus()));
  expect((await askUrl(`http://${address}`, 500)).nodeId).toBe("n1");
  expect((await askUrl("not a url", 500)).error).not.toBe("");
});

test("the cell as text: summary, nodes, partitions in order, and what needs attention", () => {
  const second = coreStatus({
    role: "member",
    leaderStatus: null,
    waitingFor: "the log",
    partitions: coreStatus().partitions.map((partition) => ({
      ...partition,
      pid: partitionId(0, 1),
      stopped: "truncated",
    })),
  });
  const text = cellText({
    leader: { nodeId: "n1", bootId: "boot", epoch: 7 },
    members: [
      { nodeId: "n1", url: "", status: nodeStatus(), error: "" },
      { nodeId: "n2", url: "", status: nodeStatus({ nodeId: "n2", core: second }), error: "" },
      { nodeId: "n3", url: "", status: null, error: "connection refused" },
    ],
  });
  const lines = text.split("\n");
  expect(lines[0]).toBe("cell default   leader n1   epoch 7   in-sync n1 n2   2 of 3 nodes answered");
  expect(text.indexOf("payments/1  n2")).toBeGreaterThan(0);
  expect(text.indexOf("payments/1  n2")).toBeLessThan(text.indexOf("payments/2  n1"));
  expect(text).toContain("payments/1: stopped: truncated");
  expect(text).toContain("n2: the log");
  expect(text).toContain("n3: no answer: connection refused");
  expect(lines.find((line) => line.startsWith("n3"))).toContain("no answer");
});

test("a cell without a leader says so", () => {
  expect(cellText({ leader: null, members: [] })).toStartWith("leader none   epoch ?   in-sync ?");
});

test("numbers are aligned to the right, texts to the left, and short rows are filled", () => {
  expect(table(["name", "count"], [["a", "7"], ["long name", "1234"], ["b"]])).toBe(
    ["name       count", "a              7", "long name   1234", "b"].join("\n"),
  );
});

test("names that are long lose their middle, so that every line of a table fits on 80 columns", () => {
  const names = ["a", "b"].map((end) => `payments-worker-7f9c6d5b9-x2x4${end}`);
  const topic = `orders-of-${"all-".repeat(20)}kinds`;
  const busy = coreStatus({ oldestUnfinishedMs: 7_200_000, running: 100, inFlight: 20_000 });
  const [partition] = busy.partitions;
  const partitions = [{ ...partition!, position: 9_876_543_210, fetchPosition: 9_876_563_210, logEnd: 9_999_999_999 }];
  const members = names.map((nodeId) => {
    const core = { ...busy, incarnation: `${nodeId}/boot`, partitions };
    return { nodeId, url: "", status: nodeStatus({ nodeId, topics: [topic], core }), error: "" };
  });
  const lines = cellText({ leader: null, members }).split("\n");
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
  const [first, second] = lines.filter((line) => line.startsWith("payments-"));
  expect(first).toMatch(/^payments-\S*…\S*-x2x4a +leader .* 2 h$/);
  expect(second).toContain("x2x4b");
  expect(lines.filter((line) => line.startsWith("orders-of") && line.includes("…"))).toHaveLength(2);
});
