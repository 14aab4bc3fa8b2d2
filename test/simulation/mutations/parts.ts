/** Seeded bugs in what stands around the core: ZooKeeper's recipes and session, the filter, the shells; see `list.ts`. */
import type { Row } from "./list.ts";

const recipes = "src/coordinator/zookeeper/recipes.ts";
const supervisor = "src/coordinator/zookeeper/session-supervisor.ts";
const presence = "src/coordinator/zookeeper/presence.ts";
const coordinator = "src/coordinator/zookeeper/zookeeper-coordinator.ts";
const consumption = "src/runtime/consumption.ts";

const inZooKeeper: readonly Row[] = [
  {
    id: "zk-owner",
    bug: "whose leader node it is says its text, not its session (CURATOR-696)",
    file: recipes,
    find: "if (leader.owner !== session) return null;",
    replace: "if (decodeLeader(leader.text)?.nodeId !== self.nodeId) return null;",
  },
  {
    id: "zk-guard",
    bug: "a leader's write checks nothing of its election (KAFKA-6082)",
    file: recipes,
    find: 'connection.multi([{ type: "check", path: paths.epoch, version: won.guard }, set]),\n  );',
    replace: 'connection.multi([{ ...set, path: paths.topics, version: "any" } as Operation, set]),\n  );',
  },
  {
    id: "zk-epoch-number",
    bug: "the next epoch is one above the lower of what is recorded and what is known",
    file: recipes,
    find: "const epoch = Math.max(recorded, highestKnownEpoch) + 1;",
    replace: "const epoch = Math.min(recorded, highestKnownEpoch) + 1;",
  },
  {
    id: "zk-version-any",
    bug: "the in-sync set is written at any version (as version 0 in a multi would be)",
    file: recipes,
    find: 'type: "set", path: paths.inSync, text, version: change.version }',
    replace: 'type: "set", path: paths.inSync, text, version: "any" }',
  },
  {
    id: "zk-unknown-is-written",
    bug: "a write without an answer counts as made",
    file: coordinator,
    find: 'return outcome === "unknown" ? { outcome: "unknown" } : outcome;',
    replace: 'return outcome === "unknown" ? { outcome: "written", version: 2 } : outcome;',
  },
  {
    id: "zk-deadline",
    bug: "a session is relied upon for longer than the server keeps it",
    file: supervisor,
    find: "(session.ticket.timeoutMs * 2) / 3;",
    replace: "session.ticket.timeoutMs * 4;",
  },
  {
    id: "zk-answered-now",
    bug: "the session's time counts from the arrival of an answer, not from its request",
    file: supervisor,
    find: "this.#onAnswered(event.connection, event.sentAtMs);",
    replace: "this.#onAnswered(event.connection, nowMs);",
  },
  {
    id: "zk-other-session",
    bug: "a new session is taken for the old one resumed",
    file: supervisor,
    find: "const resumed = this.#session?.ticket.id === ticket.id;",
    replace: "const resumed = this.#session !== null;",
  },
  {
    id: "zk-silent-server",
    bug: "a server that answers the handshake and then nothing is kept (library test A)",
    file: supervisor,
    find: "    return Math.max(phase.probeSentAtMs + this.#timeoutMs() / 3, phase.graceUntilMs);",
    replace: "    return Number.POSITIVE_INFINITY;",
  },
  {
    id: "zk-watch-forgotten",
    bug: "a watch's call is not followed by a read",
    file: presence,
    find: "    this.#stale[what] = true;\n",
    replace: "",
  },
  {
    id: "zk-ghost-is-ours",
    bug: "a member node of a former session is taken for our own",
    file: recipes,
    find: "} else if (node.owner !== session) {",
    replace: '} else if (node.owner === "") {',
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
    id: "shell-stale-batch",
    bug: "a batch fetched under a former assignment is delivered under the present one",
    file: consumption,
    find: "records === undefined || batch.generation !== this.#generation || this.#over",
    replace: "records === undefined || this.#over",
  },
  {
    id: "shell-commit-unknown",
    bug: "a commit that failed on the way counts as made",
    file: consumption,
    find: 'result = { outcome: "unknown", reason: describeError(error) };',
    replace: 'result = { outcome: "committed" };',
  },
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
