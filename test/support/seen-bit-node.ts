/**
 * A node like any other, started by a test in the place of `node.ts run`, with one difference: once it is a member, the bit
 * of one task id is put into its own copy of the Bloom filter, which no other node knows. So the union of the verdicts (S2)
 * can be seen at work without a switch in the product.
 */
import { loadKeyHash } from "../../native-ish/key-hash.ts";
import { loadNodeConfig } from "../../src/config/node-config.ts";
import { NodeCore } from "../../src/core/node.ts";
import { resolveTasks } from "../../src/execution/resolve.ts";
import { aboutCore } from "../../src/runtime/assemble.ts";
import { BatchHasher } from "../../src/runtime/batch-hasher.ts";
import { runtimeOptions } from "../../src/runtime/node.ts";
import { startRuntime } from "../../src/runtime/running-node.ts";
import { clusterTasks, readSetting } from "./cluster-tasks.ts";

/** Names the task id, in the environment. */
export const SEEN_ID_ENVIRONMENT = "TEST_SEEN_ID";
/** Standard output says this when the bit is there. */
export const BIT_IS_PUT = "the bit is put";

const POLL_MS = 10;

if (import.meta.main) await main(process.env[SEEN_ID_ENVIRONMENT] ?? "");

async function main(seenId: string): Promise<void> {
  const { config } = loadNodeConfig({ argv: process.argv.slice(2), environment: process.env, positionals: [] });
  const tasks = resolveTasks([{ name: "test", exported: clusterTasks(readSetting()) }], config, () => undefined);
  let core: NodeCore | null = null;
  const node = await startRuntime({
    ...runtimeOptions(config, tasks),
    core(settings, random, now) {
      const made = new NodeCore(settings, random, now);
      core = made;
      return {
        step: (event, at) => made.step(event, at),
        ...aboutCore(made),
      };
    },
  });
  process.once("SIGTERM", () => void node.stop());
  while (node.status()?.core.role !== "member") await Bun.sleep(POLL_MS);
  const [high, low] = await hashOf(seenId, config);
  (core as NodeCore | null)?.replica.filter.testAndAdd(high, low);
  process.stdout.write(`${BIT_IS_PUT}\n`);
  const { clean } = await node.ended;
  process.exitCode = clean ? 0 : 3;
}

/** As the node itself hashes the id of a delivered record. */
async function hashOf(id: string, config: { filterSeed: number; dedupEpoch: number }): Promise<[number, number]> {
  const topic = { name: "any", generation: 1, taskId: () => id };
  const hasher = new BatchHasher(await loadKeyHash(config.filterSeed), config.dedupEpoch, [topic]);
  const record = { offset: 0, key: null, value: null, headers: {}, timestampMs: 0 };
  const { hashes } = hasher.hash(0, 0, [record]);
  return [hashes[0]!, hashes[1]!];
}
