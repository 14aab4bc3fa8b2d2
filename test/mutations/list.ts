/**
 * One line of the core taken out or turned round at a time, and the test that must notice. Run all of them with
 * `bun test/mutations/try.ts` (minutes: each runs one test file in a copy of the source), some with
 * `bun test/mutations/try.ts R9` or by id. `list.test.ts` checks on every run of the suite that each `find` occurs exactly
 * once and that every test of a rule in `test/core` is named here.
 */

export interface Mutation {
  readonly id: string;
  readonly rule: string;
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  readonly test: string;
  /** Title of the test that must fail. */
  readonly title: string;
}

/** id (its rule is what stands before the first dash), find, replace, title of the test that must fail. */
type Row = readonly [id: string, find: string, replace: string, title: string];

function of(file: string, test: string, rows: readonly Row[]): Mutation[] {
  return rows.map(([id, find, replace, title]) => ({
    id,
    rule: id.slice(0, id.indexOf("-")).toUpperCase(),
    file: `src/core/${file}`,
    find,
    replace,
    test: `test/core/${test}`,
    title,
  }));
}

const epochs = "r01-r02-epochs.test.ts";
const inSync = "r03-in-sync.test.ts";

export const mutations: readonly Mutation[] = [
  ...of("node.ts", epochs, [
    [
      "r1-stale-at-member",
      "if (message.epoch < this.epoch) {",
      "if (message.epoch < 0) {",
      "R1: a message of a lower epoch is refused with mine",
    ],
    [
      "r1-candidate",
      "highestKnownEpoch: this.epoch",
      "highestKnownEpoch: 0",
      "R1: the next epoch is sought above every epoch that this node heard of",
    ],
    [
      "r1-depose",
      "if (this.leader !== null && this.leader.state.epoch < epoch) this.#depose(",
      "if (false) this.#depose(",
      "R1: a leader that hears of a higher epoch deposes itself at once and drops what was pending",
    ],
    [
      "r1-stale-at-leader",
      "message.epoch < this.leader.state.epoch",
      "false",
      "R1: a report of a lower epoch is refused, not acknowledged",
    ],
    [
      "r1-old-win",
      'if (epoch <= this.epoch || this.#session !== "connected") {',
      'if (this.#session !== "connected") {',
      "R1: an election won for an epoch that is over is given back",
    ],
    [
      "r2-receiver",
      "if (to !== this.incarnation) {",
      'if (to === "") {',
      "R2: a message for another incarnation is refused",
    ],
  ]),
  ...of("member/member.ts", epochs, [
    [
      "r1-facts-again",
      "    this.state.queueAllFacts();\n",
      "",
      "R1: what an old leader was told is told again to the next one",
    ],
  ]),
  ...of("leader/state.ts", epochs, [
    [
      "r2-second-life",
      "set.filter((incarnation) => nodeIdOf(incarnation) !== nodeIdOf(joiner))",
      "set",
      "R2: a restarted node is another member; its first life's place goes to the second in the same write",
    ],
  ]),
  ...of("leader/state.ts", inSync, [
    [
      "r3-lowest",
      "if (peer.applied < lowest) lowest = peer.applied;",
      "",
      "R3: a grant is released when the last member of the set has acknowledged it, not before",
    ],
    [
      "r3-missing-member",
      'if (peer === undefined || peer.standing !== "synced") return this.released;',
      "if (peer === undefined) continue;",
      "R3: a member whose link broke holds up every release until the set without it is known to be written",
    ],
    [
      "r3-union",
      "if (this.pendingSet === null) return;",
      "return;",
      "R3: from when a change is sent the joiner's acknowledgement counts too",
    ],
    [
      "r3-watermark-waits",
      'this.queue({ kind: "watermark", row: { pid, from: table.from, watermark } });',
      'for (const peer of this.peers.values()) this.send(peer.connection, peer.incarnation, { kind: "watermarks", epoch: this.epoch, rows: [{ pid, from: table.from, watermark }] });',
      "R3: an acknowledged ledger entry and a watermark wait for the whole set as well",
    ],
  ]),
  ...of("leader/in-sync.ts", inSync, [
    [
      "r3-one-at-a-time",
      "if (!leader.mayAct(now) || leader.pendingSet !== null) return;",
      "if (!leader.mayAct(now)) return;",
      "R3: one change at a time",
    ],
    [
      "r3-unknown-is-pending",
      "if (!leader.mayAct(now) || leader.pendingSet !== null) return;",
      "if (!leader.mayAct(now)) return;",
      "R3: after an unknown outcome the union counts, nothing else is written, and a read settles it",
    ],
    [
      "r3-too-few",
      "if (next.length < minInSync) {",
      "if (next.length < 0) {",
      "R3: the set is never written with fewer than minInSync members, and then nothing is granted",
    ],
    [
      "r3-replaced",
      "        next = leader.withMember(next, peer.incarnation);\n  }\n  if (sameSet",
      "        next = [];\n  }\n  if (sameSet",
      "R3: a dead member is replaced in the same write by a synchronised joiner",
    ],
    [
      "r3-joiner-behind",
      "peer.applied >= leader.released",
      "true",
      "R3: a joiner that lacks something released is not let in",
    ],
    [
      "r3-laggard",
      "if (peer.applied < leader.seq && now - peer.behindSince >= inSyncEvictionMs) return true;",
      "",
      "R3: a member that lags for inSyncEvictionMs is removed, and then disconnected",
    ],
    [
      "r3-old-version",
      "leader.inSyncVersion = read.version;\n",
      "",
      "R3: an unknown write that was not made is settled as the old set, at the version that was read",
    ],
    [
      "r3-foreign",
      '  return "foreign";',
      '  return "old";',
      "R3: only the old and the new set are recognised in what was read",
    ],
    [
      "r3-applied-unknown",
      'sameSet(read.incarnations, leader.pendingSet)) return "new";',
      'sameSet(read.incarnations, leader.pendingSet)) return "foreign";',
      "R3: writes whose outcome is unknown, applied or not, cost a running cell nothing",
    ],
  ]),
  ...of("leader/leader.ts", inSync, [
    [
      "r3-foreign-ends",
      'if (found === "foreign") this.#giveUp(',
      "if (false) this.#giveUp(",
      "R3: a record that somebody else wrote ends this leader",
    ],
    [
      "r3-old-connection",
      "if (peer === undefined || peer.connection !== connection) return;\n    switch",
      "if (peer === undefined) return;\n    switch",
      "R3: acknowledgements of an old connection are ignored",
    ],
  ]),
];
