import { afterEach, describe, expect, test } from "bun:test";
import { runCli } from "../../src/cli/cli.ts";
import { openHttp } from "../../src/ops/http.ts";
import type { NodeMetrics } from "../../src/ops/metrics.ts";
import type { NodeStatus } from "../../src/ops/node-status.ts";
import { nodeStatus } from "../ops/node-fixture.ts";

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0)) await thing.close();
});

/** The node's own HTTP port: the command must ask for routes that are there. */
function serve(status: NodeStatus | null, dead = ""): number {
  const server = openHttp({
    listen: { host: "127.0.0.1", port: 0 },
    status: () => status,
    metrics: {} as NodeMetrics, // nobody asks for them here
    dead: () => dead,
  });
  opened.push(server);
  return server.port;
}

async function health(listen: string, ...flags: string[]): Promise<{ code: number; text: string }> {
  let text = "";
  const add = (more: string): void => void (text += more);
  // A node's environment: none of it is a mistake here.
  const environment = { VOUCH_HTTP_LISTEN: listen, VOUCH_NODE_ID: "n1", KAFKA_BROKERS: "kafka:9092" };
  const code = await runCli({ argv: ["health", ...flags], environment, out: add, err: add, live: false });
  return { code, text };
}

describe("health", () => {
  test("a node that lives but is not ready", async () => {
    const port = serve(null);
    expect(await health(`127.0.0.1:${port}`)).toEqual({ code: 0, text: '{"ok":true,"reason":""}\n' });
    const ready = await health(`127.0.0.1:${port}`, "--ready");
    expect(ready.code).toBe(3);
    expect(ready.text).toContain('"detail":"starting"');
  });

  test("a ready node, asked on loopback when it listens on every address", async () => {
    const port = serve(nodeStatus());
    expect((await health(`0.0.0.0:${port}`, "--ready")).code).toBe(0);
  });

  test("a node that should be started anew says why", async () => {
    const { code, text } = await health(`127.0.0.1:${serve(null, "the consumer is dead")}`);
    expect(code).toBe(3);
    expect(text).toContain("the consumer is dead");
  });

  test("nobody there: what was asked, and what to look at", async () => {
    const port = serve(null);
    for (const thing of opened.splice(0)) await thing.close();
    const { code, text } = await health(`127.0.0.1:${port}`);
    expect(code).toBe(3);
    expect(text).toContain(`http://127.0.0.1:${port}/livez`);
    expect(text).toContain("--http-listen");
  });

  test("a node that answers nobody is a mistake of the configuration", async () => {
    const { code, text } = await health("off");
    expect(code).toBe(2);
    expect(text).toContain("VOUCH_HTTP_LISTEN");
  });
});
