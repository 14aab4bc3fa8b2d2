import { afterEach, expect, test } from "bun:test";
import type { MemberInfo } from "../../src/coordinator/coordinator.ts";
import { partitionId } from "../../src/core/identity.ts";
import type { ProgressRow } from "../../src/core/messages.ts";
import type { PartitionStatus } from "../../src/core/status.ts";
import { askMembers, askUrl, cellText, type CellView, table } from "../../src/ops/status.ts";
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

test("partitions of which nobody speaks are named", () => {
  const core = coreStatus();
  const owned = core.partitions.map(({ pid }) => pid);
  expect(owned).toEqual([partitionId(0, 2)]);
  const status = nodeStatus({ partitionCounts: [5], core });
  const text = cellText({ leader: null, members: [{ nodeId: "n1", url: "", status, error: "" }] });
  expect(text.replaceAll(/\s+/g, " ")).toContain(
    "payments: no node that answers owns partitions 0-1 3-4: a rebalance, or",
  );
  const all = nodeStatus({ core });
  expect(cellText({ leader: null, members: [{ nodeId: "n1", url: "", status: all, error: "" }] })).not.toContain(
    "owns",
  );
});

const LONG = "payments-worker-7f9c6d5b9-x2x4"; // and a number

/** Seven nodes with long names and 256 partitions of one long topic; `silent` of them do not answer. */
function largeCell(silent: readonly number[] = []): CellView {
  const topic = `orders-of-${"all-".repeat(30)}kinds`;
  const names = Array.from({ length: 7 }, (_, i) => `${LONG}${i}`);
  const [example] = coreStatus().partitions;
  const owned = (node: number): PartitionStatus[] =>
    Array.from({ length: 256 }, (_, p) => p)
      .filter((p) => p % 7 === node)
      .map((p) => ({
        ...example!,
        pid: partitionId(0, p),
        position: 9e15 - 100 - p,
        fetchPosition: 9e15,
        logEnd: 9e15,
      }));
  const progress = (node: number): ProgressRow[] =>
    owned(node).map(({ pid }) => ({ pid, generation: 1, delivered: 50, claimed: 50, executed: 40, committed: 30 }));
  const leaderStatus = {
    ...coreStatus().leaderStatus!,
    inSync: names.map((name) => `${name}/boot`),
    peers: names.map((name, node) => ({
      incarnation: `${name}/boot`,
      connected: true,
      standing: "member" as const,
      lag: 0,
      progress: progress(node),
    })),
  };
  const members = names.map((nodeId, node) => {
    if (silent.includes(node))
      return { nodeId, url: `http://${nodeId}:7480`, status: null, error: `${"no answer ".repeat(12)}` };
    const counters = { ...coreStatus().counters, executed: 987_654_321_012 };
    const core = coreStatus({
      incarnation: `${nodeId}/boot`,
      role: node === 0 ? "leader" : "member",
      leaderStatus: node === 0 ? leaderStatus : null,
      partitions: owned(node),
      counters,
      inFlight: 140_000,
      oldestUnfinishedMs: 99_900,
      waitingFor: node === 3 ? `a link to the leader ${names[0]}: ${"it cannot be reached ".repeat(6)}` : "",
    });
    return { nodeId, url: "", status: nodeStatus({ nodeId, topics: [topic], core }), error: "" };
  });
  return { leader: { nodeId: names[0]!, bootId: "boot", epoch: 7 }, members };
}

const tooLong = (text: string): string[] => text.split("\n").filter((line) => line.length > 80);

test("seven nodes with long names and 256 partitions: summed up by owner, and no line over 80 columns", () => {
  const text = cellText(largeCell());
  expect(tooLong(text)).toEqual([]);
  const lines = text.split("\n");
  expect(lines.length).toBeLessThan(40);
  const shares = lines.slice(
    lines.findIndex((line) => line.startsWith("topic")) + 1,
    lines.indexOf("(--partitions lists each)"),
  );
  expect(shares).toHaveLength(7);
  // 37 partitions 0, 7, …, 252 with 100 to 352 offsets each behind, the worst by 352.
  expect(shares[0]).toMatch(/^orders\S*…\S*nds +\S*…\S*x2x40 +37 +0 7 14\S*.*… ?.* 252 +8362 +352$/);
  expect(text).toContain("in-sync");
});

test("--partitions lists each of them all the same, and a cell of few partitions is never summed up", () => {
  const text = cellText(largeCell(), true);
  expect(tooLong(text)).toEqual([]);
  expect(text.split("\n").filter((line) => line.startsWith("orders"))).toHaveLength(256);
});

test("nodes that do not answer are in every table, with what the leader last heard of their partitions", () => {
  const text = cellText(largeCell([2, 5]));
  expect(tooLong(text)).toEqual([]);
  expect(text).toContain("5 of 7 nodes answered");
  const lines = text.split("\n");
  expect(lines.filter((line) => /…\S*x2x4[25] +no answer +\? +\?/.test(line))).toHaveLength(2);
  expect(lines.filter((line) => /x2x4[25] .*\? +\? +3[67] no answer$/.test(line))).toHaveLength(2);
  expect(text).toContain(`${LONG}2: no answer: no answer`);
});

test("a leader that does not answer: what is not known is said, and who claims to lead is not believed for it", () => {
  const view = largeCell([0]);
  const text = cellText(view);
  expect(tooLong(text)).toEqual([]);
  const flat = text.replace(/\s+/g, " ");
  expect(flat).toContain(`leader ${LONG}0 (does not answer as leader) epoch 7 in-sync ?`);
  expect(flat).toContain("which nodes are in sync, and what the silent ones do, is not known");
});

test("two that say they lead: the higher epoch counts, and the other is told apart", () => {
  const older = coreStatus({ epoch: 6, incarnation: "n2/boot" });
  const text = cellText({
    leader: { nodeId: "n1", bootId: "boot", epoch: 7 },
    members: [
      { nodeId: "n2", url: "", status: nodeStatus({ nodeId: "n2", core: older }), error: "" },
      { nodeId: "n1", url: "", status: nodeStatus(), error: "" },
    ],
  });
  expect(text).toStartWith("cell default   leader n1   epoch 7");
  expect(text.replace(/\s+/g, " ")).toContain("n2 says that it leads too, in epoch 6");
});

test("stopped partitions are named with their reason, ten of them; alarms and a stranger at an address are told", () => {
  const partitions = Array.from({ length: 40 }, (_, p) => ({
    ...coreStatus().partitions[0]!,
    pid: partitionId(0, p),
    stopped: p < 12 ? "truncated" : "",
  }));
  const status = nodeStatus({ nodeId: "n1", core: coreStatus({ partitions }), alarms: ["the event loop stood still"] });
  const text = cellText({ leader: null, members: [{ nodeId: "n7", url: "", status, error: "" }] });
  expect(text.match(/payments\/\d+: stopped: truncated/g)).toHaveLength(10);
  expect(text).toContain("and 2 more partitions are stopped");
  expect(text).toContain("12 stopped");
  expect(text).toContain("n7: the event loop stood still");
  expect(text).toContain("n7: at its address answers n1");
});

test("a node that the log keeps out of the consumer group says why", () => {
  const groupTrouble = "group vouch is in use by another cell";
  const trouble = (groupJoined: boolean): string => {
    const status = nodeStatus({ nodeId: "n1", groupJoined, groupTrouble });
    return cellText({ leader: null, members: [{ nodeId: "n1", url: "http://a", status, error: "" }] });
  };
  expect(trouble(false)).toContain(`n1: not in the consumer group: ${groupTrouble}`);
  expect(trouble(true)).not.toContain("consumer group");
});
