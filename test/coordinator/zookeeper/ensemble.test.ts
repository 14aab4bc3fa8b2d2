/** An ensemble of three: the session outlives the server that it is connected to, and leadership with it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestNode, WAIT_MS } from "../../conformance/coordinator-nodes.ts";
import type { ZooKeeperSpec } from "../../conformance/coordinator-spec.ts";
import { connectedSessions, readNode } from "../../conformance/zookeeper-client.ts";
import { waitUntil } from "../../support/servers/processes.ts";
import { startEnsemble, type ZooKeeperEnsemble, type ZooKeeperServer } from "../../support/servers/zookeeper.ts";

const SESSION_MS = 9_000; // an election among the servers takes its time on a busy machine
const TEST_MS = 60_000;
let ensemble: ZooKeeperEnsemble;

beforeAll(async () => {
  ensemble = await startEnsemble(3, { tickMs: 200, heapMb: 96 });
}, 120_000);
afterAll(() => ensemble?.stop());

/**
 * The servers that the node may use. A killed server's peers hear of it at once, whoever it is; of a stopped leader they hear after
 * `syncLimit` ticks, which is longer than a session may wait: so it is a follower that is stopped.
 */
async function candidates(signal: "SIGKILL" | "SIGSTOP"): Promise<readonly ZooKeeperServer[]> {
  if (signal === "SIGKILL") return ensemble.servers;
  const modes = await Promise.all(ensemble.servers.map((server) => server.mode()));
  return ensemble.servers.filter((_, index) => modes[index] === "follower");
}

function spec(cell: string, servers: readonly ZooKeeperServer[]): ZooKeeperSpec {
  const connectString = servers.map((server) => server.address).join(",");
  return { kind: "zookeeper", connectString, root: "/vouch", cell, sessionMs: SESSION_MS };
}

async function sessionOf(cell: string, nodeId: string, server: ZooKeeperServer): Promise<string> {
  return (await readNode(server.address, `/vouch/${cell}/members/${nodeId}`)).owner ?? "";
}

async function serverOf(session: string): Promise<ZooKeeperServer> {
  for (const server of ensemble.servers) {
    if ((await connectedSessions(server.port)).includes(session)) return server;
  }
  throw new Error(`session ${session} is connected to no server`);
}

for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
  test(
    `${signal} to the connected server: the same session and the same epoch go on elsewhere`,
    async () => {
      const cell = `cell-${signal}`;
      const servers = await candidates(signal);
      expect(servers.length).toBeGreaterThanOrEqual(2);
      await using node = await TestNode.start(spec(cell, servers), "a");
      const epoch = await node.win();
      const { version } = await node.coordinator.readInSync();
      const session = await sessionOf(cell, "a", servers[0]!);
      const connected = await serverOf(session);
      await connected.kill(signal);
      try {
        await waitUntil("suspended", () => node.sessionStates().includes("suspended"), WAIT_MS);
        await waitUntil("connected again", () => node.sessionStates().at(-1) === "connected", WAIT_MS);
        expect(node.sessionStates()).not.toContain("lost");
        const other = servers.find((server) => server !== connected)!;
        expect(await sessionOf(cell, "a", other)).toBe(session);
        expect(await node.coordinator.compete(0)).toEqual({ outcome: "won", epoch });
        expect(await node.coordinator.writeInSync(epoch, { epoch, incarnations: ["a/1"] }, version)).toEqual({
          outcome: "written",
          version: version + 1,
        });
        expect(node.coordinator.remainingMs()).toBeGreaterThan(0);
      } finally {
        if (signal === "SIGSTOP") await connected.kill("SIGCONT");
        else await connected.restart();
      }
    },
    TEST_MS,
  );
}
