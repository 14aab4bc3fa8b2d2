/** The node options that commands which are no node take as well. */
import { nodeOptions } from "../config/option-table.ts";

const { kafkaBrokers, kafkaTls, kafkaSaslMechanism, kafkaSaslUsername, kafkaSaslPassword } = nodeOptions;
const { dataDir, cell, sessionMs, zookeeper, zookeeperRoot, zookeeperAuth } = nodeOptions;

/** What decides which log is opened, and how. */
export const logOptions = { dataDir, kafkaBrokers, kafkaTls, kafkaSaslMechanism, kafkaSaslUsername, kafkaSaslPassword };

/** What decides which coordinator is opened, and how. */
export const coordinatorOptions = { dataDir, cell, sessionMs, zookeeper, zookeeperRoot, zookeeperAuth };
