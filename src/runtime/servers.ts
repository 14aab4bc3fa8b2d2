/** Opens the log and the coordinator that a configuration names: Kafka and ZooKeeper, or the embedded ones. */
import type { NodeConfig } from "../config/option-table.ts";
import type { Coordinator } from "../coordinator/coordinator.ts";
import { openEmbeddedCoordinator } from "../coordinator/embedded/embedded-coordinator.ts";
import { openZooKeeperCoordinator } from "../coordinator/zookeeper/zookeeper-coordinator.ts";
import { openEmbeddedTaskLog } from "../task-log/embedded/embedded-task-log.ts";
import { openKafkaTaskLog } from "../task-log/kafka/index.ts";
import type { TaskLog } from "../task-log/task-log.ts";

type LogOption =
  "dataDir" | "kafkaBrokers" | "kafkaTls" | "kafkaSaslMechanism" | "kafkaSaslUsername" | "kafkaSaslPassword";
type CoordinatorOption = "dataDir" | "cell" | "sessionMs" | "zookeeper" | "zookeeperRoot" | "zookeeperAuth";
type Warn = (message: string) => void;

/** @throws ConfigurationError when a broker's address cannot be used. */
export function openTaskLog(config: Pick<NodeConfig, LogOption>, clientId: string, onWarning: Warn): TaskLog {
  if (config.kafkaBrokers.length === 0) return openEmbeddedTaskLog({ directory: config.dataDir });
  const { kafkaSaslMechanism: mechanism, kafkaSaslUsername: username, kafkaSaslPassword: password } = config;
  return openKafkaTaskLog({
    brokers: config.kafkaBrokers,
    clientId: `vouch-${clientId}`,
    onWarning,
    ...(config.kafkaTls ? { tls: {} } : {}),
    ...(mechanism === "none" ? {} : { sasl: { mechanism, username, password } as const }),
  });
}

/** @throws VouchError "configuration" when the servers, the cell's name or the session cannot be used. */
export function openCoordinator(config: Pick<NodeConfig, CoordinatorOption>, onWarning: Warn): Coordinator {
  const { cell, sessionMs } = config;
  if (config.zookeeper === "") return openEmbeddedCoordinator({ directory: config.dataDir, cell, sessionMs });
  return openZooKeeperCoordinator({
    connectString: config.zookeeper,
    root: config.zookeeperRoot,
    cell,
    sessionMs,
    onWarning,
    ...(config.zookeeperAuth === "" ? {} : { auth: { scheme: "digest", credentials: config.zookeeperAuth } }),
  });
}
