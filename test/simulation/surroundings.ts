/** What a simulated node finds in the place of ZooKeeper: the real coordinator on a connection to the simulated ensemble. */
import type { NodeConfig } from "../../src/config/option-table.ts";
import type { Coordinator } from "../../src/coordinator/coordinator.ts";
import { openZooKeeperCoordinator } from "../../src/coordinator/zookeeper/zookeeper-coordinator.ts";
import type { SimulatedProcess } from "./virtual-time.ts";
import type { SimulatedZooKeeper } from "./zookeeper/ensemble.ts";

/** Three servers: a client that loses one asks the next. */
const SERVERS = "zk1:2181,zk2:2181,zk3:2181";

export function coordinatorOf(
  zookeeper: SimulatedZooKeeper,
  process: SimulatedProcess,
  config: NodeConfig,
): Coordinator {
  const { zookeeperRoot: root, cell, sessionMs } = config;
  const machine = zookeeper.machineOf(process);
  return openZooKeeperCoordinator({ connectString: SERVERS, root, cell, sessionMs, machine });
}
