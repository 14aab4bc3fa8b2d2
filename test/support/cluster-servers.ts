/**
 * The real Kafka and ZooKeeper that clusters of node processes stand on: one pair for all test files of a test process,
 * since a start costs seconds of CPU and every cluster has a topic, a group and a cell of its own. The pair ends with the
 * process (see processes.ts); whoever wants to kill a server starts one for himself and passes it to the cluster.
 */
import { type KafkaServer, startKafka } from "./servers/kafka.ts";
import { startZooKeeper, type ZooKeeperServer } from "./servers/zookeeper.ts";

export interface ClusterServers {
  readonly kafka: KafkaServer;
  readonly zookeeper: ZooKeeperServer;
}

/** ZooKeeper's tickTime in tests; the nodes' `coordinatorTickMs` says the same. */
export const TICK_MS = 200;

/** Test files may each have their own copy of this module; the pair is found by this name. */
const SHARED = Symbol.for("vouch.test.servers");
type Shared = { [SHARED]?: Promise<ClusterServers> };

/** The pair of this test process; started by the first who asks. */
export function sharedServers(): Promise<ClusterServers> {
  const shared = globalThis as Shared;
  shared[SHARED] ??= startServers();
  return shared[SHARED];
}

/** A pair of its own; the caller stops both. */
export async function startServers(): Promise<ClusterServers> {
  const [kafka, zookeeper] = await Promise.all([startKafka(), startZooKeeper({ tickMs: TICK_MS })]);
  return { kafka, zookeeper };
}
