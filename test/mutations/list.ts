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
const activation = "r04-r05-activation.test.ts";
const settle = "r06-settle.test.ts";
const watermark = "r07-watermark.test.ts";
const starts = "r08-r11-starts.test.ts";
const quarantine = "r12-r13-quarantine.test.ts";
const commits = "r14-commits.test.ts";
const cold = "r15-cold-start.test.ts";
const evicted = "r15-evicted.test.ts";
const stale = "r15-stale-start.test.ts";
const recorded = "r15-recorded.test.ts";
const lease = "r16-r19-lease.test.ts";
const outcomes = "r20-r24-outcomes.test.ts";
const tables = "tables.test.ts";
const chaos = "chaos.slow.test.ts";
const HISTORIES = "G0, G1, G2: 61 random histories lose nothing and run nothing twice";

export const mutations: readonly Mutation[] = [
  ...of("node.ts", epochs, [
    [
      "r1-stale-at-member",
      "if (message.epoch < this.epoch) {",
      "if (message.epoch < 0) {",
      "R1: a message of a lower epoch is refused with mine",
    ],
    [
      "r1-epoch-of-commits",
      "this.#acceptEpoch(highestEpoch(event.partitions, this.ctx.settings.clusterUuid), now);",
      "",
      "R1: an epoch in which this cell committed is one that was: tokens rise over a coordinator that was put back",
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
      "let next: Incarnation[] = stay;",
      "let next: Incarnation[] = stay.length < minInSync ? [...leader.inSync] : stay;",
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

  ...of("leader/activation.ts", activation, [
    [
      "r4-last-set-is-back",
      "if (this.#lastSetIsBack()) {",
      "if (false) {",
      "R4: who begins without the last set overwrites no member of it that comes back before the new set is written",
    ],
    [
      "r4-merge-first",
      "if (leader.lastSet.length === 0 || this.#everyoneMerged()) {",
      "if (leader.lastSet.length === 0 || this.#anyMerged()) {",
      "R4: merge the last set, push to the new one, write it, and only then vote",
    ],
    [
      "r4-push-first",
      '?.standing === "synced")) {',
      '?.standing !== "attached")) {',
      "R4: merge the last set, push to the new one, write it, and only then vote",
    ],
    [
      "r4-resigns",
      "if (someoneRegistered && now - this.#noLeaderSince < leader.ctx.settings.uncleanStartAfterMs) {",
      "if (false) {",
      "R4: a leader that reaches no member of the last set resigns while one is registered",
    ],
    [
      "r4-conflict-version",
      "    leader.inSyncVersion = version;\n  }",
      "    leader.inSyncVersion ||= version;\n  }",
      "R4: on a conflict it begins again from the record that it finds",
    ],
    [
      "r4-conflict-set",
      "    leader.pendingSet = null;\n    this.#takeRecord(inSync);",
      "    leader.pendingSet = null;",
      "R4: on a conflict it begins again from the record that it finds",
    ],
    [
      "r4-too-few",
      "if (reachable.length < minInSync || patient) {",
      "if (patient) {",
      "R4: fewer reachable nodes than minInSync: it waits, and says for whom",
    ],
    [
      "r5-asks-the-last-set",
      "      if (!leader.lastSet.includes(peer.incarnation)) continue;\n",
      "",
      "R5: a node outside the last set tells no entries, asked or not",
    ],
    [
      "r5-own-state",
      "else leader.replica.clear();",
      "",
      "R5: who wins outside the last set begins without its own table",
    ],
    [
      "r5-replace",
      "const replace = !(peer.merged && leader.lastSet.includes(peer.incarnation));",
      "const replace = false;",
      "R5: the active leader's push replaces what a joiner has, the merge's push adds",
    ],
    [
      "r5-lost-its-state",
      "peer.connection === SELF || peer.merged || peer.stateEpoch === 0 ||",
      "peer.connection === SELF || peer.merged ||",
      "R5: a member of the last set that lost its state tells nothing either",
    ],
  ]),
  ...of("leader/leader.ts", activation, [
    [
      "r4-unknown-is-written",
      "this.activation.reread();",
      "this.#setKnown(version, now);",
      "R4: an unknown outcome is read again; it votes when the write is known",
    ],
    [
      "r5-chunk-of-outsider",
      "if (!this.state.lastSet.includes(peer.incarnation) || peer.stateEpoch === 0) return; // R5",
      "",
      "R5: a node outside the last set tells no entries, asked or not",
    ],
    [
      "r5-facts-of-outsider",
      "for (const batch of report.finished) factsReported(",
      "if (leader.inSync.includes(peer.incarnation)) for (const batch of report.finished) factsReported(",
      "R5: what a node outside the set executes or executed is a fact all the same",
    ],
  ]),
  ...of("node.ts", activation, [
    [
      "r4-outsider-waits",
      "const unequal = inSync.incarnations.length > 0 && !informed ? leaseMs : 0;",
      "const unequal = 0;",
      "R4: candidates outside the last set, or without its state, wait a lease before they compete",
    ],
    [
      "r4-stays-out",
      "this.#competeNotBefore = now + 2 * leaseMs + electionBackoffMs * this.ctx.random();",
      "",
      "R4: after a resignation it stays out of the next election for a while",
    ],
    ["r5-half-merged", "if (!complete) this.replica.appliedEpoch = 0;", "", "R5: a half merged state is nobody's"],
  ]),
  ...of("leader/partitions.ts", activation, [
    [
      "r5-executing-fact",
      "if (known && (isFinalPhase(table.phaseOf(offset)) || !table.isFree(offset))) continue;",
      "",
      "R5: an executing fact takes no entry from its holder, and a final phase stays",
    ],
  ]),
  ...of("leader/settle.ts", settle, [
    [
      "r6-committed",
      "results[i] = offset >= table.from ? Verdict.committed : Verdict.refused;",
      "results[i] = Verdict.granted;",
      "R6: step 1: what lies in [from, W) is committed, whatever anybody asks",
    ],
    [
      "r6-final",
      "if (own !== null && isFinalPhase(own.phase)) return Verdict.executed; // step 2",
      "",
      "R6: step 2: a final entry is dropped and committed",
    ],
    [
      "r6-own-anew",
      "if (!free && table.holderOf(offset) !== peer.incarnation) return false;",
      "if (!free) return false;",
      "R6: step 3: the asker's own unstarted grant is given anew, under a new sequence",
    ],
    [
      "r6-own-unknown",
      "if (page.ranUnknown[i] !== 1) {",
      "if (page.ranUnknown[i] !== 2) {",
      "R6: step 3: the asker's own run that ended unknown is an adoption, not before effectSettleMs",
    ],
    [
      "r6-own-settles",
      "if (now < since + leader.ctx.topic(pid).effectSettleMs) return Verdict.wait;",
      "",
      "R6: step 3: the asker's own run that ended unknown is an adoption, not before effectSettleMs",
    ],
    [
      "r6-own-dirty",
      "if (!own.dirty) return Verdict.granted;",
      "return Verdict.granted;",
      "R6: step 3: an unstarted adoption is given anew as an adoption, so that its check runs again",
    ],
    [
      "r6-claim-adopts",
      "if (isFinalPhase(phase) || table.isDirty(offset)) return false;",
      "if (isFinalPhase(phase)) return false;",
      "R6: step 3: an unstarted adoption is given anew as an adoption, so that its check runs again",
    ],
    [
      "r6-full-id",
      "if (known !== undefined && known.taskId !== id) continue; // another task: no evidence",
      "",
      "R6: step 4: an equal hash alone drops nothing",
    ],
    [
      "r6-executor-gone",
      "if (known === undefined) continue; // its executor is gone: no exact evidence, the check answers",
      "if (known === undefined) return Verdict.executed;",
      "R6: step 4: an executor that is gone is no exact evidence: the check answers",
    ],
    [
      "r6-index-asked",
      "return conflicts(page, i, known) ? Verdict.conflict : Verdict.executed;",
      "continue;",
      "R6: step 4: a record whose task id was executed in another record is dropped, on the full id",
    ],
    [
      "r6-moved",
      "const moved = leader.facts(ref.pid).owner !== entry.holder;",
      "const moved = true;",
      "R6: step 4: the same task id while another record of it is held: wait; revoked only when its owner lost it",
    ],
    [
      "r6-conflict",
      "return conflicts(page, i, known) ? Verdict.conflict : Verdict.executed;",
      "return Verdict.executed;",
      "R6: step 4: the same task id with another payload is a conflict",
    ],
    [
      "r6-key-bit",
      "const dirty = equalId || (seen && id !== null);",
      "const dirty = equalId || seen;",
      "R6: step 5: a Bloom bit says nothing about a delivery key, and makes an adoption of a task id",
    ],
    [
      "r6-id-bit",
      "const dirty = equalId || (seen && id !== null);",
      "const dirty = equalId;",
      "R6: step 5: a Bloom bit says nothing about a delivery key, and makes an adoption of a task id",
    ],
    [
      "r6-marks-others",
      "if (!leader.index.hasOther(hi, lo, pid, offset)) return stamp;",
      "return stamp;",
      "R6: giving a task marks every other entry of its hash dirty",
    ],
    [
      "r6-shares-its-id",
      "if (free && leader.index.hasOther(hi, lo, pid, offset)) return false;",
      "",
      "R6: a free and clean entry that shares its id with another is not given to a claim",
    ],
    [
      "r6-exclusive",
      'if (own.holder === "") return null;\n  return settleOther',
      "return null;\n  return settleOther",
      "R6: a doubt is given exclusively: the second asker waits",
    ],
    [
      "r6-waits-for-revoke",
      'if (own.holder === "") return null;\n  return settleOther',
      "return null;\n  return settleOther",
      "R6: step 3: another's entry: the asker waits, the holder is told to give it back, and only then it is free",
    ],
  ]),
  ...of("leader/state.ts", settle, [
    [
      "r6-keeps-dirty",
      "const dirty = entry.dirty || change.dirty;",
      "const dirty = change.dirty;",
      "R6: a release keeps dirty and the counts; only a final phase clears dirty",
    ],
    [
      "r6-told",
      "this.#ended(pid, offset, phase);",
      "{\n    }",
      "R6: step 3: running means wait, and the end is told to who waits",
    ],
  ]),
  ...of("leader/questions.ts", settle, [
    [
      "r6-unknown-settles",
      "if (now < since + leader.ctx.topic(pid).effectSettleMs) return;",
      "",
      "R6: step 3: a holder whose run ended unknown leaves a dirty entry, after effectSettleMs",
    ],
  ]),
  ...of("leader/release.ts", settle, [
    [
      "r6-validated",
      "if (table.stampOf(offset) === stamp && table.holderOf(offset) === what.peer) valid.push(given);",
      "if (true) valid.push(given);",
      "R6: a verdict is validated again when it is released",
    ],
  ]),
  ...of("leader/partitions.ts", settle, [
    [
      "r6-union",
      "entry.stamp !== entries.firstStamp + index",
      "true",
      "R6: the union: a member's filter that knew a fresh task takes the grant back",
    ],
  ]),
  ...of("node.ts", settle, [
    [
      "r6-resend",
      "if (delta.epoch !== replica.appliedEpoch || delta.seq <= replica.appliedSeq) return;",
      "if (delta.epoch !== replica.appliedEpoch) return;\n    replica.appliedSeq = delta.seq - 1;",
      "R6: the union: a member tests what was fresh at the leader, once",
    ],
  ]),
  ...of("leader/settle.ts", watermark, [
    [
      "r7-below-from",
      "results[i] = offset >= table.from ? Verdict.committed : Verdict.refused;",
      "results[i] = Verdict.committed;",
      "R7: a first start begins at the position: from and W, replicated before they are told",
    ],
  ]),
  ...of("leader/partitions.ts", watermark, [
    [
      "r7-other-cell",
      "if (report.hadCommit && report.from === OTHER_CELLS) {",
      "if (false) {",
      "R7: what another cell of ours committed is taken over by nobody, also when that is asked for: its doubts would be lost",
    ],
    [
      "r7-takeover",
      'if (report.hadCommit && !report.ours && leader.ctx.settings.startAt !== "committed") {',
      "if (false) {",
      "R7: a group that was somebody else's is taken over only when that is asked for",
    ],
    [
      "r7-held-first",
      "if (waitsForHeld(leader, questions, pid, table, now)) continue;",
      "",
      "R7: a foreign commit ahead of W begins the partition anew once every held entry has ended",
    ],
    [
      "r7-below-from-stops",
      "if (report.position < table.from) {",
      "if (false) {",
      "R7: a position below from stops the partition with an alarm",
    ],
    [
      "r7-same-from",
      "const ours = report.ours && report.from === table.from;",
      "const ours = report.ours;",
      "R7: a new owner raises W only from our own commit of the same from",
    ],
  ]),
  ...of("leader/state.ts", watermark, [
    [
      "r7-never-falls",
      "if (watermark <= table.watermark) return;",
      "",
      "R7: W rises by acknowledged commits only, never falls, and is told when it is replicated",
    ],
  ]),
  ...of("member/intake.ts", watermark, [
    [
      "r7-redelivered",
      "if (offset < window.watermark && window.infoKnown) settleBelowWatermark(",
      "if (false) settleBelowWatermark(",
      "R7: what is fetched again below W is dropped, and nothing above it",
    ],
  ]),
  ...of("table.ts", watermark, [
    [
      "r7-entries-above",
      "    this.from = from;\n  }",
      "    this.from = from;\n    this.top = from;\n  }",
      "R7: a foreign commit ahead of W begins the partition anew once every held entry has ended",
    ],
  ]),
  ...of("member/intake.ts", starts, [
    ["r8-joins", "window.set(offset, task.state as State);", "", "R8: a redelivery of what runs here joins it"],
    [
      "r8-executed-here",
      "window.set(offset, task.state as State);",
      "",
      "R8: a redelivery of what was executed here is not asked for again",
    ],
    [
      "r8-long-task",
      "window.set(offset, task.state as State);",
      "",
      "R8: in a cell that rebalances all the time a long task runs once",
    ],
  ]),
  ...of("member/state.ts", starts, [
    [
      "r8-discarded",
      "if (state === State.absent || (isUnstarted(state) && attempts === 0 && !ranUnknown)) continue;",
      "if (state === State.absent) continue;",
      "R8: every unstarted copy is discarded at the barrier and asks again when it is redelivered",
    ],
    [
      "r9-lease",
      "return this.admitted && !this.barrier && !this.draining && this.lease.valid(now) && now < this.watchdogUntil;",
      "return this.admitted && !this.barrier && !this.draining && now < this.watchdogUntil;",
      "R9: nothing starts when the lease is over",
    ],
    [
      "r9-attempt-lease",
      "return this.admitted && !this.barrier && !this.draining && this.lease.valid(now) && now < this.watchdogUntil;",
      "return this.admitted && !this.barrier && !this.draining && now < this.watchdogUntil;",
      "R9: the start check is made before every attempt",
    ],
    [
      "r9-watchdog",
      "return this.admitted && !this.barrier && !this.draining && this.lease.valid(now) && now < this.watchdogUntil;",
      "return this.admitted && !this.barrier && !this.draining && this.lease.valid(now);",
      "R9: nothing starts without a recent answer of the watchdog",
    ],
    [
      "r9-barrier",
      "return this.admitted && !this.barrier && !this.draining && this.lease.valid(now) && now < this.watchdogUntil;",
      "return this.admitted && !this.draining && this.lease.valid(now) && now < this.watchdogUntil;",
      "R9: nothing starts while a join is under way",
    ],
    [
      "r10-held",
      "        if (state === State.granted) {\n          window.hold(at);",
      "        if (state === State.granted) {",
      "R10: a higher epoch voids every unstarted grant; what runs goes on",
    ],
    [
      "r10-adopted",
      "} else if (state === State.adopted) {\n          this.doubt(window, at, now, {});",
      "} else if (state === State.adopted) {",
      "R10: an unstarted adoption goes back to doubt, and its check is void",
    ],
    [
      "r10-asked",
      "} else if (state === State.asked) {\n          this.doubt(window, at, now, { verdictLost: true });",
      "} else if (state === State.asked) {\n          this.doubt(window, at, now, {});",
      "R10: with a verdict outstanding at a new lease number it is the same",
    ],
    [
      "r10-link",
      "if (window.stateOf(offset) !== State.asked) continue;\n        this.doubt(window, offset, now, { verdictLost: true });",
      "if (window.stateOf(offset) !== State.asked) continue;",
      "R10: the answers of a broken link are not waited for",
    ],
    [
      "r10-in-a-cell",
      "if (window.stateOf(offset) !== State.asked) continue;\n        this.doubt(window, offset, now, { verdictLost: true });",
      "if (window.stateOf(offset) !== State.asked) continue;",
      "R10: a task whose verdict was outstanding is doubtful, and for that alone is never checked",
    ],
  ]),
  ...of("member/claims.ts", starts, [
    [
      "r21-stands-still",
      "    if (!asksDoubts(window)) continue;\n    for (const doubt",
      "    for (const doubt",
      "R21: doubts of a partition that stands still are not asked, and nothing is said about them",
    ],
    [
      "r9-ownership",
      "    window.ownership !== batch.ownership ||\n    outstanding.pid",
      "    outstanding.pid",
      "R9: a verdict for an ownership that is over is ignored",
    ],
    [
      "r11-refused-through",
      "if (stamp > 0 && stamp <= (state.refusedThrough.get(window.pid) ?? 0)) {",
      "if (false) {",
      "R11: verdicts up to the refused sequence are ignored, those above it count",
    ],
  ]),
  ...of("member/member.ts", starts, [
    [
      "r9-new-lease",
      '=== "new") {\n          state.voidUnstarted(now);',
      '=== "new") {',
      "R9: a renewal after the old lease ended is a new lease: old grants are not startable",
    ],
    ["r11-new-epoch", "    state.refusedThrough.clear();\n", "", "R11: a new epoch counts its sequences anew"],
  ]),
  ...of("member/lease.ts", starts, [
    [
      "r9-number",
      '    if (was) return "renewed";\n',
      '    if (this.number > 0) return "renewed";\n',
      "R9: a lease number rises only when the old lease had ended",
    ],
  ]),
  ...of("member/answers.ts", starts, [
    [
      "r6-own-doubt-is-out",
      'if (status === "unknown" && !item.revoke && doubt?.asking !== 0)',
      "if (false)",
      "R6: an unknown end is not told while this node's own doubt is out: the answer may be its next adoption",
    ],
    [
      "r11-gone-at-once",
      "if (current === State.granted) window.hold(offset);",
      "if (current === State.granted) {\n  }",
      "R11: a revoke is refused unless the task runs, and the grant is gone in the same step",
    ],
    [
      "r11-not-known",
      'return { ...blank(item), status: item.revoke ? "refused" : "absent" };',
      'return { ...blank(item), status: "absent" };',
      "R11: what a node does not know it refuses as well",
    ],
    [
      "r11-unknown",
      'return ranUnknown ? "unknown" : null;',
      "return null;",
      "R11: a task that ended unknown here is said to be unknown, revoked or not",
    ],
  ]),
  ...of("leader/gone.ts", quarantine, [
    [
      "r12-quarantine",
      "heard + quarantineMs(leader.ctx.settings) + settleMs",
      "heard + quarantineMs(leader.ctx.settings) - leader.ctx.settings.quarantineMarginMs + settleMs",
      "R12: an unreachable holder is waited for: lease, grace and margin from its last frame, then the settle time",
    ],
    [
      "r12-proof-settles",
      "return provenAt !== undefined && now >= provenAt + settleMs;",
      "return provenAt !== undefined;",
      "R12: a proven death is believed when its effects have settled",
    ],
    [
      "r12-member-node",
      "return provenAt !== undefined && now >= provenAt + settleMs;",
      "return !leader.registered.has(incarnation);",
      "R12: a member node that is gone proves nothing",
    ],
    [
      "r12-activation",
      "const heard = Math.max(leader.lastFrame.get(incarnation) ?? -Infinity, leader.activatedAt);",
      "const heard = leader.lastFrame.get(incarnation) ?? -Infinity;",
      "R12: for who was never heard in this epoch the time counts from the activation",
    ],
    [
      "r12-partitioned",
      "const heard = Math.max(leader.lastFrame.get(incarnation) ?? -Infinity, leader.activatedAt);",
      "const heard = -Infinity;",
      "R12: a task whose executor is partitioned away runs again only after the executor was stopped",
    ],
  ]),
  ...of("leader/partitions.ts", quarantine, [
    [
      "r12-late-aside",
      "    if (batch.phase !== Phase.executed && table.isHeldByAnother(offset, peer.incarnation)) continue;\n",
      "",
      "R12: what was set aside by who was given up is told late: whoever has the task by then ends it, and its twins wait",
    ],
    [
      "r12-late-executed",
      "if (batch.phase !== Phase.executed && table.isHeldByAnother",
      "if (table.isHeldByAnother",
      "R12: what was set aside by who was given up is told late: whoever has the task by then ends it, and its twins wait",
    ],
  ]),
  ...of("member/intake.ts", quarantine, [
    [
      "r8-aside-comes-back",
      "const isAside = isFinal(task.state) && task.state !== State.executed;",
      "const isAside = false;",
      "R8, R12: what was set aside here and given to another meanwhile is asked for when the partition comes back",
    ],
  ]),
  ...of("leader/questions.ts", quarantine, [
    [
      "r12-comes-back",
      "if (leader.connected(holder)) {",
      'if (holder === "") {',
      "R12: a holder that comes back is asked, whatever time has passed",
    ],
  ]),
  ...of("member/member.ts", quarantine, [
    [
      "r12-aborts",
      "now >= this.isolationDeadline",
      "now >= this.isolationDeadline + 1",
      "R12: a node that is cut off aborts its handlers when lease and grace are over, once",
    ],
    [
      "r12-whatever-epoch",
      "return this.state.lease.lastUntil + this.#ctx.settings.isolationGraceMs;",
      "return this.state.lease.until + this.#ctx.settings.isolationGraceMs;",
      "R12: neither an election nor a lost epoch makes a cut off node live longer",
    ],
    [
      "r13-all-the-time",
      "const finished = active ? [...facts, ...state.takeFinished()] : [];",
      "const finished = facts;",
      "R13: executed tasks are reported all the time, not only when a commit fails",
    ],
  ]),
  ...of("member/state.ts", quarantine, [
    [
      "r13-kept",
      "if (offset < watermark && (isFinal(task.state) || isUnstarted(task.state))) tasks.delete(offset);",
      "tasks.delete(offset);",
      "R13: an executed task is kept until the leader's W has passed it, also when the partition moved away",
    ],
  ]),
  ...of("member/starts.ts", quarantine, [
    [
      "r13-elsewhere",
      "    state.report(pid, offset, State.executed);\n",
      "",
      "R13: what ends while the partition is another's is reported",
    ],
  ]),
  ...of("member/intake.ts", commits, [
    [
      "r14-continuous",
      "if (batch.fetchedFrom !== window.fetchPosition) {",
      "if (batch.fetchedFrom > window.fetchPosition + 100) {",
      "R14: a batch that does not continue the fetch position is discarded and the position set back",
    ],
    [
      "r14-old-batch",
      "if (window === undefined || window.ownership !== batch.ownership || state.barrier) {",
      "if (window === undefined || state.barrier) {",
      "R14: a batch of an ownership that is over is discarded",
    ],
    [
      "r14-positioned",
      "return { pid, ownership, position, paused, leaderEpoch, keptTo",
      "return { pid, ownership, position: 0, paused, leaderEpoch, keptTo",
      "R14: after a join every partition is positioned at what the group has committed",
    ],
    [
      "r14-settled-late",
      "    window.add(offset, hashes[2 * i]!, hashes[2 * i + 1]!, id, payloadHi, payloadLo);\n",
      "    window.add(offset, hashes[2 * i]!, hashes[2 * i + 1]!, id, payloadHi, payloadLo);\n    if (offset < window.watermark && window.infoKnown) settleBelowWatermark(state, window, offset, now);\n",
      "R14: a batch is in the window before any of it is settled",
    ],
    [
      "r14-barrier-missed",
      "if (state.windows.size > 0) state.retainAll();",
      "state.windows.clear();",
      "R14: a join whose barrier did not get through keeps what runs",
    ],
  ]),
  ...of("member/window.ts", commits, [
    [
      "r14-gaps",
      "if (state !== State.absent && state < State.executed) break;",
      "if (state < State.executed) break;",
      "R14: the committable position is the first unfinished delivered record, over gaps of any length",
    ],
  ]),
  ...of("member/commits.ts", commits, [
    [
      "r14-one-in-flight",
      'if (this.#inFlight !== null || this.#generationOver || this.#barrier || this.#state.group !== "in") return;',
      'if (this.#generationOver || this.#barrier || this.#state.group !== "in") return;',
      "R14: one commit is in flight at a time, in the group generation of its records",
    ],
    [
      "r14-told-after",
      "sent.push({ pid: window.pid, ownership: window.ownership, position, ceiling, anchors });",
      "sent.push({ pid: window.pid, ownership: window.ownership, position, ceiling, anchors });\n      state.commitNotes.push({ pid: window.pid, ownership: window.ownership, generation: 1, position });",
      "R14: W is told after the acknowledged commit, not before",
    ],
    [
      "r14-refused",
      "this.#generationOver = true;",
      "",
      "R14: after a refused commit nothing more is committed in that generation",
    ],
    [
      "r14-unknown",
      'if (outcome === "committed") this.#committed(',
      'if (outcome !== "refused") this.#committed(',
      "R14: a commit whose outcome is unknown is made again in the same generation",
    ],
    [
      "r14-asked-in-a-row",
      "this.#notBefore = now + ctx.settings.commitIntervalMs;",
      "",
      "R14: a task log that answers at once that it does not know is not asked again in the same moment",
    ],
    [
      "r14-last-commit",
      'if (this.#barrier && !inFlight.last && outcome === "committed") this.#commit(now, true);',
      "",
      "R14: the barrier before a join: the commit in flight ends, a last one is made, and only then it is through",
    ],
  ]),
  ...of("member/claims.ts", cold, [
    [
      "r15-below-ceiling",
      "const end = Math.min(window.fetchPosition, window.ceilingAcked);",
      "const end = window.fetchPosition;",
      "R15: nothing is claimed before the anchor is committed, and then only below the acknowledged ceiling",
    ],
    [
      "r15-ceiling-top",
      "window.ceilingFloor = Math.max(window.ceilingFloor, info.top);",
      "",
      "R15: the ceiling never falls: not below the one that was read, nor below what the leader knows",
    ],
    [
      "r15-report-first",
      'return window.anchored && window.infoKnown && window.stopped === "" && window.held > 0;',
      'return window.anchored && window.stopped === "" && window.held > 0;',
      "R15: no claim before the leader's answer to the partition's report",
    ],
  ]),
  ...of("member/commits.ts", cold, [
    [
      "r15-ceiling-read",
      "return Math.max(wanted, window.ceilingFloor, position);",
      "return Math.max(wanted, position);",
      "R15: the ceiling never falls: not below the one that was read, nor below what the leader knows",
    ],
    [
      "r15-not-the-maximum",
      "const wanted = Math.min(position + spanMax, arriving);",
      "const wanted = position + spanMax;",
      "R15: the ceiling is not the maximum: every reserved offset is suspect after a crash",
    ],
    [
      "r15-bitmap",
      "finals: window.finalsAbove(position, BITMAP_BYTES_MAX),",
      "finals: new Uint8Array(0),",
      "R15: commits carry the bitmap of what is final above the position",
    ],
    [
      "r15-old-answer",
      'if (outcome === "committed" && inFlight.epoch === this.#state.epoch) window.confirmed = true;',
      'if (outcome === "committed") window.confirmed = true;',
      "R15: the answer to a commit of the old epoch shows nothing",
    ],
  ]),
  ...of("member/metadata.ts", cold, [
    [
      "r15-metadata-fits",
      "const finals = metadata.finals.subarray(0, BITMAP_BYTES_MAX);",
      "const { finals } = metadata;",
      "R15: metadata survives the round trip, fits 4,096 bytes, and what is not ours is nothing",
    ],
  ]),
  ...of("member/window.ts", cold, [
    [
      "r15-keeps-bits",
      "return bitAt(this.readFinals, offset - this.readPosition);",
      "return false;",
      "R15: a new owner takes final bits for what they are, and keeps those of what it has not fetched",
    ],
    [
      "r15-shown",
      'this.confirmed = this.stopped !== "" && !this.#tellsCeiling;',
      "this.confirmed = true;",
      "R15: after an election an owner reports only what a commit has shown to be its own still",
    ],
  ]),
  ...of("member/intake.ts", starts, [
    [
      "r13-final-beats-executed",
      " && task?.state !== State.executed",
      "",
      "R13: what was executed here stays executed, though the commit that is read calls it only final",
    ],
  ]),
  ...of("member/state.ts", quarantine, [
    [
      "r13-kept-below-w",
      "if (at < window.watermark && (isFinal(state) || isUnstarted(state))) continue;",
      "",
      "R13: what W has passed by another owner's commit is not kept when the partition moves away",
    ],
  ]),
  ...of("leader/settle.ts", settle, [
    [
      "r6-dropped-without-name",
      "if (other === Verdict.executed && own === null) dropDuplicate(leader, peer, page.pid, offset, hi, lo, table);",
      "",
      "R6: step 4: a duplicate that is dropped is named: its node tells of its end without a hash",
    ],
  ]),
  ...of("leader/recorded.ts", recorded, [
    [
      "r15-given-unrecorded",
      'if (what.kind !== "verdicts" || what.stamps.length === 0 || this.#known.has(what.pid)) return false;',
      "if (this.#held.length === 0) return false;",
      "R15: a partition is recorded at once when its first commit is acknowledged, and nothing in it is given before",
    ],
    [
      "r15-recorded-is-not-sent",
      "this.#writing = [...this.#due];",
      "this.#writing = [...this.#due];\n    for (const pid of this.#due) this.#known.add(pid);",
      "R15: a record whose outcome is unknown is written again, and what waits for it goes on waiting",
    ],
    [
      "r15-recorded-all-or-none",
      "this.#held = held.filter(({ pid }) => !this.#known.has(pid));\n    return held.filter(({ pid }) => this.#known.has(pid));",
      "if (this.#due.size > 0) return [];\n    this.#held = [];\n    return held;",
      "R15: what is given in other partitions does not wait for one that is not recorded",
    ],
  ]),
  ...of("leader/state.ts", recorded, [
    [
      "r15-recorded-unbegun",
      "this.replica.watermarkRows().filter(({ pid }) => this.recorded.names(pid));",
      "this.replica.watermarkRows();",
      "R15: a cell that dies before any partition has a commit has recorded none: its start is a first start",
    ],
  ]),
  ...of("leader/leader.ts", recorded, [
    [
      "r15-recorded-later",
      "const isMissing = this.state.recorded.isDue && now >= this.#recordAgainAt;",
      "const isMissing = false;",
      "R15: the next leader gives nothing in a partition that the record does not name, until its owner shows a commit",
    ],
  ]),
  ...of("leader/partitions.ts", recorded, [
    [
      "r15-lost-silently",
      "if (table.watermark > table.from || leader.recorded.has(report.pid)) {",
      "if (table.watermark > table.from) {",
      "R15: a partition that is recorded and has no commit any more is suspect up to the log's end, also where W never rose",
    ],
  ]),
  ...of("leader/release.ts", recorded, [
    [
      "r15-recorded-reconnected",
      "else if (leader.peers.get(what.peer)?.connection === what.connection) {",
      "else {",
      "R15: a verdict for who has reconnected meanwhile is not said when the record is written",
    ],
  ]),
  ...of("leader/suspects.ts", cold, [
    [
      "r15-final-without-name",
      "if (!unmarked && !isFinal && !isSuspect(table, offset)) return;",
      "if (!unmarked && !isSuspect(table, offset)) return;",
      "R15: a task that is final and has no name has one when its record is asked for, and its duplicates wait no longer",
    ],
  ]),
  ...of("leader/suspects.ts", cold, [
    [
      "r18-restored",
      "leader.replica.remember();",
      "",
      "R18: what W passes when a partition begins, or is restored, is in the window from then",
    ],
  ]),
  ...of("leader/partitions.ts", cold, [
    [
      "r18-begun",
      "  table.advance(report.position);\n  leader.replica.remember();",
      "  table.advance(report.position);",
      "R18: what W passes when a partition begins, or is restored, is in the window from then",
    ],
  ]),
  ...of("leader/suspects.ts", recorded, [
    [
      "r15-commit-gone-at-from",
      "gone = !report.hadCommit || !report.ours || report.position < stored.watermark;",
      "gone = report.hadCommit ? !report.ours || report.position < stored.watermark : stored.watermark > stored.from;",
      "R15: the group's offsets are lost and then all nodes, in a cell's first seconds: what ran is checked, not run again",
    ],
  ]),
  ...of("leader/activation.ts", cold, [
    [
      "r15-clean-mark",
      'this.phase = "marking"; // the clean mark goes before the first vote (R15b)',
      'this.phase = "marking";\n      this.marked();',
      "R15: the clean mark is taken away before the first vote, and W is written all the time",
    ],
    [
      "r15-persisted",
      "if (table.from < 0) leader.persisted.set(pid, { pid, from, watermark });",
      "if (table.from < 0) table.restartAt(from);",
      "R15: a partition that no table knows is suspect under any leader",
    ],
  ]),
  ...of("leader/state.ts", cold, [
    [
      "r15-rows-kept",
      "for (const row of this.persisted.values()) if (!known.has(row.pid)) rows.push(row);",
      "",
      "R15: what the coordinator keeps of a partition stays there until its owner has reported",
    ],
  ]),
  ...of("leader/state.ts", lease, [
    [
      "r18-from-its-end",
      "    this.replica.remember();\n",
      "",
      "R18: a task that ran longer than the filter remembers is in the window from its end",
    ],
  ]),
  ...of("replica.ts", lease, [
    [
      "r18-pushed-open",
      'if (chunk.purpose === "merge") this.remember',
      "if (chunk.last) this.remember",
      "R18: what W passes by a sync stays in the leader's generation, and is not put into the open one (seed 10151)",
    ],
    [
      "r18-broken-off",
      "    this.remember(); // what W passed in a sync that never came to its end\n",
      "",
      "R18: what W passed by a sync that broke off is told to the next leader",
    ],
  ]),
  ...of("table.ts", lease, [
    [
      "r18-only-the-aged",
      "if ((meta & AGED) === 0) continue;",
      "",
      "R18: a task that ran longer than the filter remembers is in the window from its end",
    ],
    [
      "r18-changes-keep-age",
      "(phaseByte & KEPT) | (before & AGED)",
      "(phaseByte & KEPT)",
      "R18: a task that ran longer than the filter remembers is in the window from its end",
    ],
    [
      "r18-merged-is-aged",
      "partition.meta[partition.slot(offset)]! |= AGED;",
      "",
      "R18: a task that ran longer than the filter remembers is in the window of every member, for the next leader",
    ],
  ]),
  ...of("replica.ts", lease, [
    [
      "r18-members-remember",
      "this.remember(); // after",
      "// after",
      "R18: a task that ran longer than the filter remembers is in the window of every member, for the next leader",
    ],
    [
      "r18-ages",
      "this.filter.rotate(generation);\n    this.table.age();",
      "this.filter.rotate(generation);",
      "R18: a task that ran longer than the filter remembers is in the window from its end",
    ],
  ]),
  ...of("leader/partitions.ts", lease, [
    [
      "r18-passed-over",
      "table.restartAt(jump.to);\n      leader.replica.remember();",
      "table.restartAt(jump.to);",
      "R18: a foreign commit that passes over a task lets it be known as long as any other",
    ],
  ]),
  ...of("member/window.ts", stale, [
    [
      "r15-stale-start",
      'this.confirmed = this.stopped !== "" && !this.#tellsCeiling;',
      "this.confirmed = !this.#tellsCeiling;",
      "R15: that nothing was committed is told only to the leader in whose epoch it was read; else the group is joined anew",
    ],
    [
      "r15-stale-start-loses",
      'this.confirmed = this.stopped !== "" && !this.#tellsCeiling;',
      "this.confirmed = !this.#tellsCeiling;",
      "R15: a node that never heard that its partition was begun by another does not make the next leader forget it",
    ],
    [
      "r15-stale-start-anchored",
      'return !this.confirmed && this.stopped === "" && !this.#tellsCeiling;',
      'return !this.confirmed && this.stopped === "";',
      "R15: an owner with an anchor shows by a commit that it still owns the partition, and stays in the group",
    ],
    [
      "r15-stale-start-stopped",
      'this.confirmed = this.stopped !== "" && !this.#tellsCeiling;',
      "this.confirmed = false;",
      "R15: a partition that stands still because it is another's does not make its node leave the group",
    ],
  ]),
  ...of("member/intake.ts", stale, [
    [
      "r15-stale-join",
      "if (state.joinEpoch !== state.epoch) window.doubtOwnership();",
      "",
      "R15: what was read in a join that began before the election is not newer than the election",
    ],
  ]),
  ...of("member/commits.ts", stale, [
    [
      "r15-proof-reserves-nothing",
      "const spanMax = window.infoKnown ? state.ctx.settings.uncommittedSpanMax : 0;",
      "const spanMax = state.ctx.settings.uncommittedSpanMax;",
      "R15: what was read in a join that began before the election is not newer than the election",
    ],
  ]),
  ...of("leader/suspects.ts", evicted, [
    [
      "r15-evicted-may-run",
      "leader.lastEvicted.every((incarnation) => leader.connected(incarnation) || isDead(leader, incarnation, now))",
      "true",
      "R15: suspects wait for who was evicted from the last set as well, whose death nobody has proven",
    ],
    [
      "r15-evicted-outlives",
      "leader.lastEvicted.every((incarnation) => leader.connected(incarnation) || isDead(leader, incarnation, now))",
      "leader.lastEvicted.length < 9",
      "R15: what a member runs that was evicted before the rest of the set died is not given to anybody while it runs",
    ],
    [
      "r15-evicted-told",
      "leader.lastEvicted.every((incarnation) => leader.connected(incarnation) || isDead(leader, incarnation, now))",
      "leader.lastEvicted.every((incarnation) => isDead(leader, incarnation, now))",
      "R15: who was evicted and has told what it runs is not waited for",
    ],
  ]),
  ...of("leader/evicted.ts", evicted, [
    [
      "r15-evicted-quarantine",
      "return now < quarantineEnd(leader, incarnation, settleMs(leader.ctx));",
      "return false;",
      "R15: who left the set stands beside it until its quarantine is over",
    ],
    [
      "r15-evicted-death",
      "if (isDead(leader, incarnation, now)) return false;",
      "if (leader.provenDead.has(incarnation)) return false;",
      "R15: who left the set stands beside it until its death is proven and its effects have settled",
    ],
    [
      "r15-evicted-linked",
      "if (peer !== undefined) return !peer.runsNothing;",
      "if (peer !== undefined) return false;",
      "R15: who left the set and is linked again may run something for ever, until it is in the set again",
    ],
    [
      "r15-evicted-drained",
      "if (peer !== undefined) return !peer.runsNothing;",
      "if (peer !== undefined) return true;",
      "R15: who runs nothing more leaves the set without a trace",
    ],
    [
      "r15-evicted-last-set",
      "(leader.active ? leader.inSync : leader.lastSet)",
      "leader.inSync",
      "R15: a new leader writes beside its set who was of the last one, and who stood beside that",
    ],
    [
      "r15-evicted-many",
      "return anybody || left.length > EVICTED_MAX ? [ANYBODY] : left;",
      "return left.slice(0, EVICTED_MAX);",
      "R15: names that are too many are one name, whose death nobody proves",
    ],
    [
      "r15-evicted-anybody",
      "(now < leader.activatedAt + longestQuarantineMs(leader.ctx) || known.some(stays))",
      "now < leader.activatedAt + longestQuarantineMs(leader.ctx)",
      "R15: names that are too many are one name, whose death nobody proves",
    ],
  ]),
  ...of("leader/in-sync.ts", evicted, [
    [
      "r15-evicted-not-written",
      "if (leader.pendingSet !== null) leader.evicted = leader.pendingEvicted;",
      "",
      "R15: a write that was not made changes nothing beside the set either",
    ],
  ]),
  ...of("leader/activation.ts", evicted, [
    [
      "r15-evicted-older-record",
      "#takeRecord({ incarnations, evicted = [], version }: InSyncState): void {",
      '#takeRecord({ incarnations, evicted = ["*"], version }: InSyncState): void {',
      "R15: a record of an older version names nobody beside the set",
    ],
  ]),
  ...of("leader/suspects.ts", cold, [
    [
      "r15-first-start",
      "if (stored === undefined && !report.ours) return null;\n  let gone = false;",
      "let gone = true;",
      "R15: at a first start nothing is suspect",
    ],
    [
      "r15-suspects",
      "for (let offset = table.watermark; offset < lost.ceiling; offset++) {",
      "for (let offset = table.watermark; offset < 0; offset++) {",
      "R15: after an unclean start what lies below the ceiling is suspect, unless it has a final bit",
    ],
    [
      "r15-final-bits",
      "const bits = report.ours ? report.finals : NO_BITS;",
      "const bits = NO_BITS;",
      "R15: after an unclean start what lies below the ceiling is suspect, unless it has a final bit",
    ],
    [
      "r15-quarantine",
      "if (now >= leader.activatedAt + longestQuarantineMs(leader.ctx)) return true;",
      "return true;",
      "R15: suspects are adopted when the quarantine since the activation is over",
    ],
    [
      "r15-all-dead",
      "leader.lastSet.every((incarnation) => isDead(leader, incarnation, now)) &&",
      "leader.lastSet.some((incarnation) => isDead(leader, incarnation, now)) &&",
      "R15: suspects are adopted earlier when every incarnation of the last set is proven dead",
    ],
    [
      "r15-all-heard",
      "for (const peer of leader.peers.values()) if (!peer.factsComplete) return false;",
      "",
      "R15: every node is heard before a suspect is adopted",
    ],
    [
      "r15-log-end",
      "gone ? report.logEnd : report.ceiling",
      "report.ceiling",
      "R15: a commit that is not ours, or older than W, makes everything up to the log's end suspect",
    ],
    [
      "r15-clean-start",
      "if (lost.clean) return;",
      "",
      "R15: after a clean start at the position that was left nothing is suspect",
    ],
    [
      "r15-other-position",
      "clean: leader.startedClean && report.ours && report.position === table.watermark,",
      "clean: leader.startedClean,",
      "R15: after a clean stop another position is an unclean start",
    ],
    [
      "r15-named",
      "if (!leader.uncleanStart || leader.suspectsNamed) return false;",
      "return false;",
      "R15: a task id of its own waits until every suspect has its hash, then finds it",
    ],
    [
      "r15-unreported",
      "if (unreported(leader)) return true;",
      "",
      "R15: a task id of its own waits for partitions that nobody has reported",
    ],
    [
      "r15-inherited",
      "      leader.uncleanStart = true;\n    }\n  }\n}",
      "    }\n  }\n}",
      "R15: suspects outlive the leader that found them",
    ],
    [
      "r15-power-loss",
      "if (lost.clean) return;",
      "if (lost.clean || leader.epoch > 0) return;",
      "R15: after a power loss every offset that was granted is checked, and runs once",
    ],
  ]),
  ...of("member/member.ts", lease, [
    [
      "r16-pauses",
      "setSuspended(state, !state.lease.valid(now) || !state.admitted);",
      "",
      "R16: fetching pauses when the lease ends, and goes on with the next one",
    ],
    [
      "r16-leaves",
      "now - lastUntil >= this.#ctx.settings.isolateAfterMs",
      "now - state.lease.until >= this.#ctx.settings.isolateAfterMs",
      "R16: without a leader's word for isolateAfterMs the node leaves the group, whatever the epoch",
    ],
    [
      "r16-joins-again",
      '        state.group = "out";\n',
      "",
      "R16: a node that left the group joins again when it is admitted",
    ],
  ]),
  ...of("member/lease.ts", lease, [
    [
      "r17-from-sending",
      "const until = sentAt + leaseMs;",
      "const until = now + leaseMs;",
      "R17: a lease runs from the moment before the report was sent",
    ],
    [
      "r17-old-reports",
      "  forgetReports(): void {\n    this.#inFlight.clear();",
      "  forgetReports(): void {",
      "R17: an acknowledgement of a report that was not sent on this connection gives nothing",
    ],
    [
      "r17-newest",
      "this.until = Math.max(this.until, until);",
      "this.until = until;",
      "R17: no order of acknowledgements makes a lease longer than the newest report allows",
    ],
    [
      "r17-clocks",
      "this.#notBeforeSent = now;",
      "",
      "R17: clocks that disagree end the lease until a report sent afterwards is answered",
    ],
  ]),
  ...of("leader/leader.ts", lease, [
    [
      "r17-remaining",
      "const leaseMs = Math.min(this.#ctx.settings.leaseMs, remaining);",
      "const { leaseMs } = this.#ctx.settings;",
      "R17: an acknowledgement gives no more than the leader itself has left",
    ],
    [
      "r17-no-acks",
      "if (remaining <= 0) return;",
      "",
      "R17: past the coordinator's deadline nothing is acknowledged, decided or released",
    ],
    [
      "r17-quorum",
      "if (live >= minInSync) {",
      "if (true) {",
      "R17: a leader without enough live members resigns for another that is registered",
    ],
    [
      "r17-nobody-else",
      "if (now - this.#quorumSince >= checkQuorumMs && another)",
      "if (now - this.#quorumSince >= checkQuorumMs)",
      "R17: with nobody else registered it goes on waiting",
    ],
    [
      "r18-rotates",
      "    this.state.builder.rotate(next);\n",
      "",
      "R18: the leader opens the next filter generation, and everybody opens it at the same place",
    ],
  ]),
  ...of("leader/settle.ts", lease, [
    [
      "r18-index",
      "leader.replica.filter.testAndAdd(hi, lo) || leader.index.hasOther(hi, lo, page.pid, offset)",
      "leader.replica.filter.testAndAdd(hi, lo)",
      "R18: what is still in the table is answered by its index when the filter has forgotten it",
    ],
  ]),
  ...of("member/starts.ts", outcomes, [
    [
      "r20-policy",
      '} else if (onUnknown === "drop" && !maybe) {',
      '} else if (onUnknown === "drop") {',
      "R20: without a check the task definition decides; exact evidence may drop, a Bloom bit alone never does",
    ],
    [
      "r20-backs-off",
      "doubt.checking || doubt.checkAt > now) continue;",
      "doubt.checking) continue;",
      "R20: a check that does not know is asked again with back-off, then the task definition decides",
    ],
    [
      "r20-answers",
      'if (answer === "executed") {',
      'if (answer !== "unknown") {',
      "R20: the check answers: executed is dropped, not executed starts",
    ],
    [
      "r20-checked-first",
      "if (!topic.hasCheck) {",
      "if (true) {",
      "R20: an adoption is never started unchecked when there is a check",
    ],
    [
      "r21-concurrency",
      "let room = state.ctx.settings.concurrency - state.running;",
      "let room = 100;",
      "R21: as many handlers and checks run as may",
    ],
    [
      "r23-same-grant",
      "  window.retryAt.set(offset, now + backoff * (0.5 + state.ctx.random()));\n",
      "  window.ready.push(offset);\n",
      "R23: an attempt that failed is made again under the same grant, after a back-off; the last one is dead",
    ],
    [
      "r23-refused-write",
      "aside.retryAt = now + 1_000;",
      "",
      "R23: dead is final only when the write was acknowledged; a refused write is tried again",
    ],
    [
      "r23-acknowledged",
      "    if (!acknowledged) {\n      aside.retryAt",
      "    if (false) {\n      aside.retryAt",
      "R23: dead is final only when the write was acknowledged; a refused write is tried again",
    ],
    [
      "r23-unknown",
      "state.doubt(window, offset, now, { ranUnknown: true });",
      "attemptFailed(state, window, offset, now);",
      "R23: a run that ended unknown is never a failure: it is doubted, and counted",
    ],
    [
      "r23-for-good",
      'setAside(state, window, offset, "dead", "failed-for-good");',
      "attemptFailed(state, window, offset, now);",
      "R23: an attempt that failed for good is the last one, and dead only when the write was acknowledged",
    ],
    [
      "r23-for-good-elsewhere",
      "return outcome === Outcome.failure || outcome === Outcome.failedForGood;",
      "return outcome === Outcome.failure;",
      "R23: what failed for good after its partition moved is an attempt more for the next owner",
    ],
    [
      "r23-not-the-owner",
      'task.state = acknowledged ? (task.aside?.kind === "parked" ? State.parked : State.dead) : State.held;',
      "task.state = State.dead;",
      "R23: who no longer owns the partition does not write its dead record again",
    ],
    [
      "r23-not-started",
      "    case Outcome.notStarted:\n      window.hold(offset);",
      "    case Outcome.notStarted:\n      window.attempts[window.slot(offset)]!++;\n      window.hold(offset);",
      "R23: a start that the runner refused at the last moment was no attempt",
    ],
  ]),
  ...of("member/claim-room.ts", outcomes, [
    [
      "r20-unchecked-room",
      'return !hasCheck && onUnknown !== "execute";',
      "return false;",
      "R20: without a check no more is granted than can start, for what a dead node was granted is decided unchecked",
    ],
    [
      "r20-unchecked-starves",
      "Math.max(1, state.ctx.settings.concurrency - state.running)",
      "0",
      "R20: without a check every task is claimed in the end, as handlers end",
    ],
  ]),
  ...of("member/intake.ts", outcomes, [
    [
      "r21-span",
      "pausePartition(state, window);\n  } else if (state.doubtCount",
      "} else if (state.doubtCount",
      "R21: a partition pauses at its span and at the doubts of the node, and says so",
    ],
  ]),
  ...of("leader/settle.ts", outcomes, [
    [
      "r20-hash-is-no-evidence",
      "DIRTY_FLAG | MAYBE_FLAG | (entry",
      "DIRTY_FLAG | (entry",
      "R20: that another record was given is no exact evidence, not even of an equal full id: who was given a task need not run it",
    ],
    [
      "r21-slots",
      "if (!table.fits(offset) || room <= 0) {",
      "if (!table.fits(offset)) {",
      "R21: at tableSlotsMax nothing more is granted, and the limit is counted",
    ],
    [
      "r23-poison",
      "if ((own?.unknownRuns ?? 0) >= leader.ctx.settings.unknownMax) return Verdict.poison;",
      "",
      "R23: a task whose runs ended unknown unknownMax times is parked as poison",
    ],
    [
      "r23-last-runs",
      "if (isLast && leader.lastRuns.waits(leader, peer.incarnation, page.pid, offset, now)) return Verdict.wait;",
      "",
      "R23: of tasks whose next run may be the last before poison a node is given one at a time: the next when it ends, or 5 s later",
    ],
    [
      "r23-poison-in-a-cell",
      "if ((own?.unknownRuns ?? 0) >= leader.ctx.settings.unknownMax) return Verdict.poison;",
      "",
      "R23: in a cell the third unknown end parks the task, and the partition goes on",
    ],
    [
      "r23-only-executed",
      "if (!held && entry.phase !== Phase.executed) continue; // free, dropped, dead or parked: go on",
      "if (isFinalPhase(entry.phase)) return Verdict.executed;",
      "R23: only executed lets another record with the same task id be dropped",
    ],
    [
      "r24-generation",
      "claim.generation < facts.ownerGeneration ||",
      "false ||",
      "R24: claims of a group generation below the owner's are refused",
    ],
  ]),
  ...of("table.ts", outcomes, [
    [
      "r21-window",
      "return offset >= this.watermark && offset - this.watermark < SLOTS_MAX;",
      "return offset >= this.watermark;",
      "R21: an offset beyond the table's window is not granted",
    ],
  ]),
  ...of("leader/state.ts", outcomes, [
    [
      "r21-delta-log",
      "if (this.log.length > this.ctx.settings.deltaLogMax)",
      "if (false)",
      "R21: a member that fell behind the delta log gets the whole state",
    ],
    [
      "r23-attempts-travel",
      "const attempts = Math.max(entry.attempts, change.attempts ?? 0);",
      "const { attempts } = entry;",
      "R23: between attempts a task is unstarted: it can be revoked, and its attempts go with it",
    ],
  ]),
  ...of("node.ts", outcomes, [
    [
      "r22-stranger",
      'this.#stop(true, "drained; it was in no cell yet");',
      "",
      "R22: a node that was in no cell yet has nobody to wait for",
    ],
  ]),
  ...of("member/state.ts", outcomes, [
    [
      "r21-void-checks",
      "if (known.checking) this.checking--; // the answer of the check under way is void",
      "",
      "R21: checks that an epoch made void give their places back",
    ],
    [
      "r22-claims-nothing",
      "return this.admitted && !this.barrier && !this.draining && this.lease.valid(now) && now < this.watchdogUntil;",
      "return this.admitted && !this.barrier && this.lease.valid(now) && now < this.watchdogUntil;",
      "R22: a draining node claims and starts nothing, finishes, commits, leaves, and says that it runs nothing more",
    ],
  ]),
  ...of("leader/in-sync.ts", outcomes, [
    [
      "r22-large-enough",
      "return peer.holdsNothing && leader.inSync.length > minInSync; // R22",
      "return true;",
      "R22: a drained member stays and acknowledges until the set without it is large enough",
    ],
    [
      "r22-asked-back",
      "return peer.holdsNothing && leader.inSync.length > minInSync; // R22",
      "return peer.runsNothing && leader.inSync.length > minInSync;",
      "R22: what the table still gives to a drained member is asked back first",
    ],
  ]),
  ...of("node.ts", outcomes, [
    [
      "r22-resigns-first",
      'this.#resign(now, "draining");',
      "",
      "R22: a draining leader first lets another member lead",
    ],
    [
      "r22-timeout",
      "} else if (waited >= this.ctx.settings.drainTimeoutMs) {",
      "} else if (false) {",
      "R22: drainTimeoutMs ends it",
    ],
  ]),
  ...of("leader/leader.ts", outcomes, [
    [
      "r22-clean-mark",
      "this.#writeWatermarks(nothingToForget(leader));",
      "this.#writeWatermarks(true);",
      "R22: the clean mark is written only when nothing would be forgotten",
    ],
    [
      "r24-status",
      "progress: [...peer.progress.values()],",
      "progress: [],",
      "R24: the status shows where each node stands",
    ],
  ]),
  ...of("member/member.ts", outcomes, [
    [
      "r24-progress",
      "progress: progress ? this.#progress() : [],",
      "progress: [],",
      "R24: a member tells how far it has come",
    ],
  ]),
  {
    id: "r19-compared",
    rule: "R19",
    file: "src/config/node-config.ts",
    find: '    ["span", settings.uncommittedSpanMax],\n',
    replace: "",
    test: `test/core/${lease}`,
    title: "R19: every setting of the core is compared in the handshake, or is a node's own affair",
  },

  ...of("leader/partitions.ts", watermark, [
    [
      "r7-lost-offset",
      'leader.raiseWatermark(report.pid, table, report.position);\n    return "";',
      'table.restartAt(report.position);\n    leader.builder.watermark(report.pid, table.from, report.position);\n    return "";',
      "R7: offsets that the group lost and finds again run nothing twice",
    ],
  ]),
  ...of("member/state.ts", quarantine, [
    [
      "r13-survives-leader",
      "if (state === State.absent || (isUnstarted(state)",
      "if (state === State.absent || isFinal(state) || (isUnstarted(state)",
      "R13: the executor's fact survives the leader that never replicated it",
    ],
  ]),
  ...of("leader/leader.ts", lease, [
    [
      "r17-own-tasks",
      "const leaseMs = Math.min(this.#ctx.settings.leaseMs, remaining);",
      "const { leaseMs } = this.#ctx.settings;",
      "R17: a leader without the coordinator starts nothing itself",
    ],
  ]),
  ...of("member/commits.ts", cold, [
    [
      "r15-no-anchor",
      "    if (anchors) window.anchored = true;\n",
      "    window.anchored = true;\n",
      "R15: a commit that only shows the ownership is no anchor",
    ],
    [
      "r15-acknowledged",
      "window.ceilingSent = ceiling;",
      "window.ceilingSent = ceiling;\n      window.ceilingAcked = ceiling;",
      "R15: nothing is claimed before the anchor is committed, and then only below the acknowledged ceiling",
    ],
  ]),

  ...of("leader/leader.ts", cold, [
    [
      "r15-clean-cell",
      "this.#writeWatermarks(nothingToForget(leader));",
      "this.#writeWatermarks(false);",
      "R15: a clean stop and start of the whole cell checks nothing",
    ],
  ]),
  ...of("leader/leader.ts", outcomes, [
    [
      "r22-given-back",
      "peer.draining && peer.runsNothing && peer.holdsNothing)",
      "peer.draining && peer.runsNothing)",
      "R22: the clean mark waits for what drained members have to give back",
    ],
  ]),
  ...of("node.ts", activation, [
    [
      "r5-returning",
      "if (chunk.first && chunk.replace) this.replica.clear();",
      "",
      "R5: a returning leader drops its table and takes the pushed one",
    ],
  ]),
  ...of("member/state.ts", starts, [
    [
      "r10-verdict-lost",
      "if (window.stateOf(offset) !== State.asked) continue;\n        this.doubt(window, offset, now, { verdictLost: true });",
      "if (window.stateOf(offset) !== State.asked) continue;\n        this.doubt(window, offset, now, {});",
      "R10: with a verdict outstanding at an election the task is asked for as a doubt that lost its verdict",
    ],
  ]),

  // The models of the tables, and the random histories.
  ...of("table.ts", tables, [
    [
      "tables-final-first",
      "if (theirs !== ours) return theirs;",
      "",
      "PartitionTable > a merge is the best of all rows, in whatever order and however often they come",
    ],
    [
      "tables-entries",
      "      this.entries--;\n",
      "",
      "PartitionTable > writes, advances and restarts like a map of offsets",
    ],
    [
      "tables-fits",
      "return offset >= this.watermark && offset - this.watermark < SLOTS_MAX;",
      "return offset >= this.watermark;",
      "PartitionTable > holds what fits, and says what does not",
    ],
  ]),
  ...of("leader/hash-index.ts", tables, [
    [
      "tables-other-hash",
      "return partition.hashes[2 * at] === hi && partition.hashes[2 * at + 1] === lo ? offset : -1;",
      "return offset;",
      "HashIndex > finds every other entry with a hash, and none that is gone or has another",
    ],
    [
      "tables-rebuild",
      "for (const [pid, partition] of this.#table.partitions) this.#addPartition(pid, partition);",
      "",
      "HashIndex > grows with the table and stays exact",
    ],
  ]),
  ...of("leader/delta-builder.ts", tables, [
    [
      "tables-holder",
      "      open.holder === holder &&\n",
      "",
      "DeltaBuilder > what it takes apart, apply puts together: a replica has what the leader wrote",
    ],
    [
      "tables-company",
      "stamp === open.firstStamp + this.#offsets.length &&",
      "false &&",
      "DeltaBuilder > neighbours travel in one batch, and FRESH is told but not kept",
    ],
  ]),
  ...of("offsets.ts", tables, [
    [
      "tables-packed",
      "if (list[end - 1]! - base === count - 1)",
      "if (count > 0)",
      "packed offsets come out as they went in",
    ],
  ]),
  ...of("leader/settle.ts", chaos, [
    [
      "chaos-waits",
      "if (settleOther(leader, questions, peer, page.pid, ref.pid, entry, table, moved, now)) return Verdict.wait;",
      "",
      HISTORIES,
    ],
  ]),
  ...of("leader/gone.ts", chaos, [
    ["chaos-quarantine", "return heard + quarantineMs(leader.ctx.settings) + settleMs;", "return heard;", HISTORIES],
  ]),
  ...of("leader/suspects.ts", chaos, [
    ["chaos-suspects", "if (lost.clean) return;", "if (lost.clean || leader.epoch > 0) return;", HISTORIES],
  ]),
  ...of("member/member.ts", cold, [
    [
      "r15-bits-from-position",
      "finals: window.finalsAbove(window.committed, BITMAP_BYTES_MAX),",
      "finals: window.readFinals,",
      "R15: final bits are told from the position that is told, also when the commit that shows it moved it",
    ],
  ]),
];
