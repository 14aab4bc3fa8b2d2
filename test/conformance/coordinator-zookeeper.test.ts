/** The conformance suite on a real ZooKeeper 3.9.3, and what only an ensemble of three can show. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ZooKeeperConnection } from "../../src/coordinator/zookeeper/connection.ts";
import { parseConnectString } from "../../src/coordinator/zookeeper/connect-string.ts";
import { waitUntil } from "../support/servers/processes.ts";
import { type ZooKeeperEnsemble, startEnsemble, startZooKeeper } from "../support/servers/zookeeper.ts";
import { type CoordinatorService, coordinatorConformance } from "./coordinator.ts";
import { TestNode, WAIT_MS } from "./coordinator-nodes.ts";
import type { ZooKeeperSpec } from "./coordinator-spec.ts";

const SESSION_MS = 1_500;
const ROOT = "/vouch-test/cells";

/** A plain connection with a session of its own, as a person's client is one. */
export async function withClient<T>(address: string, use: (client: ZooKeeperConnection) => Promise<T>): Promise<T> {
  const [server] = parseConnectString(address).servers;
  if (server === undefined) throw new Error(`no server in ${address}`);
  const ready = Promise.withResolvers<void>();
  const client = new ZooKeeperConnection(
    { server, sessionMs: 10_000, resume: null, zxid: 0n, auth: null, nowMs: () => performance.now() },
    {
      handshake: () => ready.resolve(),
      expired: () => ready.reject(new Error("expired")),
      answered: () => undefined,
      ended: (reason) => ready.reject(new Error(reason)),
    },
  );
  try {
    await ready.promise;
    return await use(client);
  } finally {
    await client.endSession(2_000);
  }
}

async function zooKeeperService(): Promise<CoordinatorService> {
  const server = await startZooKeeper({ tickMs: 100 });
  return {
    sessionMs: SESSION_MS,
    spec: (cell): ZooKeeperSpec => ({
      kind: "zookeeper",
      connectString: server.address,
      root: ROOT,
      cell,
      sessionMs: SESSION_MS,
    }),
    pause: () => server.kill("SIGSTOP"),
    resume: () => server.kill("SIGCONT"),
    async removeLeader(cell) {
      const reply = await withClient(server.address, (client) =>
        client.multi([{ type: "remove", path: `${ROOT}/${cell}/leader`, version: "any" }]),
      );
      expect(reply.kind).toBe("ok");
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

coordinatorConformance("zookeeper", zooKeeperService);
