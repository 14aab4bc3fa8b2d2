/** The task log on a real Kafka broker does what every task log must do. */
import { startKafka } from "../support/servers/kafka.ts";
import { taskLogConformance } from "./task-log.ts";
import { serviceFromSpec } from "./task-log-spec.ts";

taskLogConformance(
  "Kafka",
  async () => {
    const kafka = await startKafka();
    return serviceFromSpec({ kind: "kafka", brokers: [kafka.brokers] }, () => kafka.stop());
  },
  {
    sessionTimeoutMs: 1_500,
    rebalanceTimeoutMs: 2_000,
    heartbeatIntervalMs: 200,
    maxWaitMs: 100,
    longSessionTimeoutMs: 60_000,
    waitMs: 20_000,
    quietMs: 200,
    testMs: 30_000,
  },
);
