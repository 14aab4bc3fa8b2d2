/** `settled.ts <tasks>`: ends when the cell in $VOUCH_DATA_DIR has finished and committed so many records, and doubts none. */
import { type MemberAnswer, askMembers } from "../../src/ops/status.ts";
import { openEmbeddedCoordinator } from "../../src/coordinator/embedded/embedded-coordinator.ts";

const LIMIT_MS = 60_000;
const tasks = Number(process.argv[2]);
const directory = process.env["VOUCH_DATA_DIR"] ?? "";
const coordinator = openEmbeddedCoordinator({ directory, cell: "default", sessionMs: 2_000 });
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
  seen = `${finished} of ${tasks} committed, ${open} open`;
  return finished === tasks && open === 0;
}
