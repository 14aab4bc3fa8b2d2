/** Seeded bugs in the protocol's rules; see `list.ts`. Rows without a text have the one of `test/mutations/list.ts`. */
import type { Row } from "./list.ts";

const settle = "src/core/leader/settle.ts";
const questions = "src/core/leader/questions.ts";
const state = "src/core/leader/state.ts";

export const rules: readonly Row[] = [
  { id: "r3-lowest", bug: "a grant goes out before the in-sync set has it" },
  { id: "r3-watermark-waits", bug: "a watermark is told before the in-sync set has it" },
  {
    id: "r3-lost-acknowledgement",
    bug: "an acknowledgement that goes one further than the last is lost",
    file: "src/core/leader/leader.ts",
    find: "if (report.appliedSeq > peer.applied) {",
    replace: "if (report.appliedSeq > peer.applied + 1) {",
  },
  {
    id: "r3-acknowledged-ahead",
    bug: "a member acknowledges one delta more than it applied",
    file: "src/core/member/member.ts",
    find: "    this.#appliedSeq = seq;\n",
    replace: "    this.#appliedSeq = seq + 1;\n",
  },
  { id: "r4-push-first", bug: "the set is written before its members have the merged state" },
  { id: "r6-own-dirty", bug: "an adopted entry is given again without a check" },
  { id: "r6-claim-adopts", bug: "a claim is granted what only an adoption may have" },
  { id: "r6-own-settles", bug: "the asker's run that ended unknown is checked before its effect settled" },
  { id: "r6-id-bit", bug: "a task id that the filter knows is granted unchecked" },
  { id: "r6-key-bit", bug: "a filter's bit counts against a delivery key" },
  { id: "chaos-waits", rule: "R6", bug: "a duplicate does not wait for the record of its id that is held" },
  {
    id: "r6-members-test-regrants",
    bug: "members test re-grants against their filters, too",
    file: "src/core/replica.ts",
    find: "if (this.#seen[i] !== 0 && (batch.phases[i]! & FRESH_FLAG) !== 0)",
    replace: "if (this.#seen[i] !== 0)",
  },
  { id: "r7-lost-offset", bug: "a position that is not ours begins the partition anew below W" },
  {
    id: "r7-watermark-one-more",
    bug: "W is raised one beyond the acknowledged commit",
    file: "src/core/leader/partitions.ts",
    find: "leader.raiseWatermark(note.pid, table, note.position);",
    replace: "leader.raiseWatermark(note.pid, table, note.position + 1);",
  },
  {
    id: "r7-drops-one-more",
    bug: "the entry at W leaves the table with those below it",
    file: "src/core/table.ts",
    find: "const end = Math.min(watermark, this.top);",
    replace: "const end = Math.min(watermark + 1, this.top);",
  },
  { id: "r8-joins", bug: "a redelivery of what runs here is asked for beside it" },
  { id: "r9-lease", bug: "the lease is not looked at before a start" },
  { id: "r9-watchdog", bug: "a node without a watchdog starts handlers" },
  { id: "r9-barrier", bug: "handlers start while the group rebalances" },
  {
    id: "r11-release-from-running",
    bug: '"running" is taken for a release',
    file: questions,
    find: '      case "refused":\n        // Only',
    replace: '      case "refused":\n      case "running":\n        // Only',
  },
  { id: "r13-kept", bug: "an executed task is forgotten before W has passed it" },
  { id: "r14-positioned", bug: "after a join a partition is read from its beginning" },
  {
    id: "r14-one-more",
    bug: "the committable position goes one beyond the last final task",
    file: "src/core/member/window.ts",
    find: "    this.committable = at;\n  }",
    replace: "    this.committable = Math.min(at + 1, this.fetchPosition);\n  }",
  },
  {
    id: "r14-forgets-one-more",
    bug: "one record at the acknowledged W is forgotten with those below it",
    file: "src/core/member/window.ts",
    find: "const end = Math.min(offset, this.committed, this.committable);",
    replace: "const end = Math.min(offset, this.committed, this.committable) + 1;",
  },
  { id: "r14-told-after", bug: "W is told before the commit is acknowledged" },
  { id: "r14-unknown", bug: "a commit without an answer counts as made" },
  { id: "r15-below-ceiling", bug: "the ceiling is not written ahead of the claims" },
  { id: "r15-ceiling-read", bug: "a new owner lowers the ceiling that it read" },
  { id: "r16-joins-again", bug: "an isolated node never joins the group again" },
  { id: "r18-rotates", bug: "members do not open the next filter generation" },
  { id: "r20-answers", bug: '"not executed" drops the task' },
  { id: "r21-concurrency", bug: "more handlers run than may" },
];
