/** The embedded task log does what every task log must do. */
import { temporaryFolder } from "../support/servers/processes.ts";
import { taskLogConformance } from "./task-log.ts";
import { serviceFromSpec } from "./task-log-spec.ts";

taskLogConformance(
  "embedded",
  async () => {
    const folder = await temporaryFolder("vouch-task-log");
    return serviceFromSpec({ kind: "embedded", directory: folder.path }, () => folder.remove());
  },
  {
    sessionTimeoutMs: 1_200,
    rebalanceTimeoutMs: 2_000,
    heartbeatIntervalMs: 200,
    maxWaitMs: 100,
    longSessionTimeoutMs: 60_000,
    waitMs: 20_000,
    quietMs: 200,
    testMs: 30_000,
  },
);
