/**
 * `settled.ts <cell> <tasks>`: ends when the cell in $VOUCH_DATA_DIR has finished and committed so many records, and doubts
 * none. "all" instead of a number: as many as there are, for a cell whose one node has every partition.
 */
import { type MemberAnswer, askMembers } from "../../src/ops/status.ts";
import { openEmbeddedCoordinator } from "../../src/coordinator/embedded/embedded-coordinator.ts";

const LIMIT_MS = 60_000;
const [cell = "default", tasks = "all"] = process.argv.slice(2);
const directory = process.env["VOUCH_DATA_DIR"] ?? "";
const coordinator = openEmbeddedCoordinator({ directory, cell, sessionMs: 2_000 });
const began = performance.now();
let seen = "";
try {
  for (;;) {
    const members = await askMembers((await coordinator.observe()).members, 1_000);
    if (settled(members)) break;
    if (performance.now() - began > LIMIT_MS) throw new Error(`not settled after ${LIMIT_MS} ms: ${seen}`);
    await Bun.sleep(200);
  }
} finally {
  await coordinator.close();
}

/** A dead node's partitions are nobody's for a while: what counts is that the committed positions add up. */
function settled(members: readonly MemberAnswer[]): boolean {
  const cores = members.flatMap(({ status }) => (status === null ? [] : [status.core]));
  const partitions = cores.flatMap((core) => core.partitions);
  const finished = partitions.reduce((sum, { position }) => sum + position, 0);
  const open = cores.reduce((sum, { inFlight, doubtful, running }) => sum + inFlight + doubtful + running, 0);
  const produced = partitions.reduce((sum, { logEnd }) => sum + logEnd, 0);
  const wanted = tasks === "all" && partitions.length > 0 ? produced : Number(tasks);
  seen = `${finished} of ${wanted} committed, ${open} open`;
  return finished === wanted && open === 0;
}
