import { afterEach, describe, expect, test } from "bun:test";
import { VouchError } from "../../src/errors.ts";
import { type HttpServer, openHttp } from "../../src/ops/http.ts";
import { NodeMetrics } from "../../src/ops/metrics.ts";
import { type NodeStatus, readiness } from "../../src/ops/node-status.ts";
import { partitionId } from "../../src/core/identity.ts";
import { coreStatus, nodeStatus, vitals } from "./node-fixture.ts";

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0)) await thing.close();
});

function serve(status: () => NodeStatus | null, dead = ""): HttpServer {
  const metrics = new NodeMetrics(vitals());
  const server = openHttp({ listen: { host: "127.0.0.1", port: 0 }, status, metrics, dead: () => dead });
  opened.push(server);
  return server;
}

async function get(server: HttpServer, path: string, init: RequestInit = {}): Promise<{ code: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
  return { code: response.status, body: await response.text() };
}

describe("the HTTP port", () => {
  test("before the node has a status it lives, is not ready, and says that it is starting", async () => {
    const server = serve(() => null);
    expect((await get(server, "/livez")).code).toBe(200);
    const ready = await get(server, "/readyz");
    expect(ready.code).toBe(503);
    expect(JSON.parse(ready.body)).toEqual({
      ok: false,
      role: "starting",
      waitingFor: "",
      checks: [{ name: "started", ok: false, detail: "starting" }],
    });
    expect((await get(server, "/status")).code).toBe(503);
    expect((await get(server, "/metrics")).body).toContain("process_resident_memory_bytes");
  });

  test("a member is ready, and /status is the status itself", async () => {
    const server = serve(() => nodeStatus());
    expect((await get(server, "/readyz")).code).toBe(200);
    expect(JSON.parse((await get(server, "/status")).body)).toEqual(nodeStatus());
  });

  test("a node that should be restarted says why on /livez", async () => {
    const answer = await get(
      serve(() => null, "the consumer is dead"),
      "/livez",
    );
    expect(answer).toEqual({ code: 503, body: JSON.stringify({ ok: false, reason: "the consumer is dead" }) });
  });

  test("other paths and methods are refused", async () => {
    const server = serve(() => null);
    expect((await get(server, "/")).code).toBe(404);
    for (const method of ["POST", "DELETE"]) expect((await get(server, "/status", { method })).code).not.toBe(200);
  });

  test("an address in use is an error that names it", () => {
    const port = serve(() => null).port;
    const metrics = new NodeMetrics(vitals());
    const again = (): HttpServer => openHttp({ listen: { host: "127.0.0.1", port }, status: () => null, metrics });
    expect(again).toThrow(VouchError);
    expect(again).toThrow(String(port));
  });
});

describe("readiness", () => {
  const failing = (node: NodeStatus): string[] =>
    readiness(node)
      .filter((check) => !check.ok)
      .map((check) => check.name);

  test("each condition fails by itself", () => {
    expect(failing(nodeStatus())).toEqual([]);
    expect(failing(nodeStatus({}, { member: false }))).toEqual(["in-sync"]);
    expect(failing(nodeStatus({}, { leaseRemainingMs: 0 }))).toEqual(["lease"]);
    expect(failing(nodeStatus({}, { role: "draining" }))).toEqual(["lease"]);
    expect(failing(nodeStatus({ groupJoined: false }))).toEqual(["group"]);
    const stopped = coreStatus().partitions.map((partition) => ({ ...partition, stopped: "truncated" }));
    expect(failing(nodeStatus({}, { partitions: stopped }))).toEqual(["partitions"]);
    expect(failing(nodeStatus({ setAsideTrouble: "payments.dead takes no records" }))).toEqual(["set-aside"]);
  });

  test("what the node waits for, and which partition stopped, is said in words", () => {
    const waitingFor = "waiting for 1 more node (min-in-sync 2); start another, or --single-node on all";
    const waiting = readiness(nodeStatus({}, { member: false, waitingFor }));
    expect(waiting.find((check) => check.name === "in-sync")?.detail).toBe(waitingFor);
    const partitions = coreStatus().partitions.map((partition) => ({
      ...partition,
      pid: partitionId(0, 5),
      stopped: "out of range",
    }));
    const stopped = readiness(nodeStatus({}, { partitions }));
    expect(stopped.find((check) => check.name === "partitions")?.detail).toBe("payments/5: out of range");
  });
});
