/** The conformance suite on a real ZooKeeper. */
import { expect } from "bun:test";
import { startZooKeeper } from "../support/servers/zookeeper.ts";
import { type CoordinatorService, coordinatorConformance } from "./coordinator.ts";
import { cellOf } from "./coordinator-nodes.ts";
import { withClient } from "./zookeeper-client.ts";

const SESSION_MS = 1_500;
const ROOT = "/vouch-test/cells";

async function zooKeeperService(): Promise<CoordinatorService> {
  const server = await startZooKeeper({ tickMs: 100 });
  return {
    sessionMs: SESSION_MS,
    cell: (cell) =>
      cellOf({ kind: "zookeeper", connectString: server.address, root: ROOT, cell, sessionMs: SESSION_MS }),
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
