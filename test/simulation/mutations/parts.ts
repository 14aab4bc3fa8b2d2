/** Seeded bugs in what stands around the core: ZooKeeper's recipes and session, the filter, the shells; see `list.ts`. */
import type { Row } from "./list.ts";

const recipes = "src/coordinator/zookeeper/recipes.ts";
const presence = "src/coordinator/zookeeper/presence.ts";

const inZooKeeper: readonly Row[] = [
  {
    id: "zk-epoch-number",
    bug: "the next epoch is one above the lower of what is recorded and what is known",
    file: recipes,
    find: "const epoch = Math.max(recorded, highestKnownEpoch) + 1;",
    replace: "const epoch = Math.min(recorded, highestKnownEpoch) + 1;",
  },
  {
    id: "zk-watch-forgotten",
    bug: "a watch's call is not followed by a read",
    file: presence,
    find: "    this.#stale[what] = true;\n",
    replace: "",
  },
  {
    id: "zk-deadline",
    bug: "a session is relied upon for longer than the server keeps it",
    file: "src/coordinator/zookeeper/session-supervisor.ts",
    find: "(session.ticket.timeoutMs * 2) / 3;",
    replace: "session.ticket.timeoutMs * 4;",
  },
];

const inTheFilter: readonly Row[] = [
  {
    id: "filter-false-negative",
    bug: "the last bit of a key is never set: the filter knows nothing",
    file: "native-ish/bloom-blocks.ts",
    find: "      words[index] = word | (1 << (h >>> 23));",
    replace: "      if (probe < k - 1) words[index] = word | (1 << (h >>> 23));",
  },
  {
    id: "filter-push",
    bug: "segments of the filter are left out of the pushed state",
    file: "src/core/replica.ts",
    find: "for (const { id, insertions } of this.filter.generations) {",
    replace: "for (const { id, insertions } of this.filter.generations.slice(1)) {",
  },
];

const inTheShells: readonly Row[] = [
  {
    id: "shell-sense",
    bug: "the coordinator's deadline is looked at once and never again",
    file: "src/runtime/coordination.ts",
    find: "if (Math.abs(at - this.#deadline) <= DEADLINE_RESOLUTION_MS) return null;",
    replace:
      "if (Number.isFinite(this.#deadline) && this.#deadline > 0) return null;\n    if (at > 0) this.#deadline = Infinity;",
  },
  {
    id: "shell-unknown-is-failure",
    bug: "a handler that threw after its time counts as failed",
    file: "src/execution/runner.ts",
    find: "const certain = !attempt.aborted && now < attempt.deadlineMs;",
    replace: "const certain = now >= 0;",
  },
  {
    id: "shell-death-unseen",
    bug: "a process counts as dead as soon as its member node is gone",
    file: "src/runtime/death-proof.ts",
    find: "const alive = state !== null && state.startTime === watched.startTime && !state.zombie;",
    replace: "const alive = state !== null && watched.unlistedSince === Number.POSITIVE_INFINITY;",
  },
];

export const parts: readonly Row[] = [
  ...inZooKeeper.map((row) => ({ ...row, rule: "ZooKeeper" })),
  ...inTheFilter.map((row) => ({ ...row, rule: "filter" })),
  ...inTheShells.map((row) => ({ ...row, rule: "shell" })),
];
