import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatLine, parseLine, type EffectLine } from "../../../src/cli/demo/effect-record.ts";
import {
  complaints,
  type DoubtCounts,
  type FaultCounts,
  faultComplaints,
  type Judgement,
  judge,
  OpenStarts,
} from "../../../src/cli/demo/proof.ts";

/** "s a 1 5": task a starts in process 1 with token 5; "e" is its effect. */
function lines(...texts: string[]): EffectLine[] {
  return texts.map((text) => {
    const [kind, taskId = "", pid, token = "0"] = text.split(" ");
    return { kind: kind === "s" ? "start" : "effect", taskId, node: `n${pid}`, pid: Number(pid), token };
  });
}

function judged(produced: string[], ...texts: string[]): Judgement {
  return judge(lines(...texts), produced);
}

describe("the judge", () => {
  test("each task once: nothing to complain of", () => {
    const judgement = judged(["a", "b"], "s a 1 1", "s b 2 2", "e b 2 2", "e a 1 1");
    expect(judgement).toMatchObject({ tasks: 2, executed: 2, executedTwice: 0, lost: 0, starts: 2 });
    expect(complaints(judgement, 0)).toEqual([]);
  });

  test("two effects are an execution twice, also by the same process", () => {
    const judgement = judged(["a", "b"], "s a 1 1", "e a 1 1", "s a 2 2", "e a 2 2", "s b 1 1", "e b 1 1", "e b 1 1");
    expect(judgement).toMatchObject({ executed: 2, executedTwice: 2, lost: 0 });
    expect(judgement.examples.executedTwice).toEqual(["a", "b"]);
    expect(complaints(judgement, 0)).toEqual(["2 task(s) executed twice: a b"]);
  });

  test("three effects are still one task that was executed twice", () => {
    expect(judged(["a"], "s a 1 1", "e a 1 1", "e a 1 1", "e a 1 1").executedTwice).toBe(1);
  });

  test("a start without an effect is no execution: the task is lost", () => {
    const judgement = judged(["a", "b"], "s a 1 1", "s b 1 2", "e b 1 2");
    expect(judgement).toMatchObject({ executed: 1, lost: 1 });
    expect(complaints(judgement, 0)).toEqual(["1 produced task(s) without an effect (lost): a"]);
  });

  test("a second start after a death is fine when only one effect follows", () => {
    expect(complaints(judged(["a"], "s a 1 1", "s a 2 2", "e a 2 2"), 0)).toEqual([]);
  });

  test("an effect of a task that nobody produced does not stand in for a lost one", () => {
    const judgement = judged(["a"], "s x 1 1", "e x 1 1");
    expect(judgement).toMatchObject({ tasks: 1, executed: 0, lost: 1, foreign: 1 });
    expect(complaints(judgement, 0)).toHaveLength(2);
  });

  test("an effect without a start by the same process is a hole in the record", () => {
    expect(judged(["a"], "e a 1 1").withoutStart).toBe(1);
    expect(judged(["a"], "s a 1 1", "e a 2 1").withoutStart).toBe(1);
  });

  test("a token that falls is a stale grant, an equal one is another attempt", () => {
    expect(judged(["a"], "s a 1 2", "s a 2 1", "e a 1 2")).toMatchObject({ tokensFell: 1, executedTwice: 0 });
    expect(judged(["a"], "s a 1 2", "s a 1 2", "e a 1 2").tokensFell).toBe(0);
  });

  test("an empty record loses everything, and nothing produced proves nothing", () => {
    expect(judged(["a", "b"])).toMatchObject({ executed: 0, lost: 2 });
    expect(complaints(judged([]), 0)).toEqual(["1 no task was produced"]);
  });

  test("damaged lines fail the proof", () => {
    expect(complaints(judged(["a"], "s a 1 1", "e a 1 1"), 3)).toEqual(["3 damaged line(s) in the record"]);
  });

  test("at most ten examples are named, and it is said that there are more", () => {
    const produced = Array.from({ length: 25 }, (_, index) => `t${index}`);
    const judgement = judged(produced);
    expect(judgement.lost).toBe(25);
    expect(judgement.examples.lost).toHaveLength(10);
    expect(complaints(judgement, 0)[0]).toEndWith("t9 …");
  });

  test("agrees with a count by hand on any record", () => {
    const run = fc.record({ task: fc.integer({ min: 0, max: 12 }), effects: fc.integer({ min: 0, max: 3 }) });
    fc.assert(
      fc.property(fc.array(run, { maxLength: 30 }), (runs) => {
        const produced = Array.from({ length: 10 }, (_, index) => `t${index}`);
        const record = runs.flatMap(({ task, effects }) => [
          `s t${task} 1 1`,
          ...Array.from({ length: effects }, () => `e t${task} 1 1`),
        ]);
        const sums = produced.map((id) =>
          runs.filter(({ task }) => `t${task}` === id).reduce((sum, { effects }) => sum + effects, 0),
        );
        const judgement = judged(produced, ...record);
        expect(judgement.executed).toBe(sums.filter((sum) => sum > 0).length);
        expect(judgement.executedTwice).toBe(sums.filter((sum) => sum > 1).length);
        expect(judgement.lost).toBe(sums.filter((sum) => sum === 0).length);
      }),
      { numRuns: 200 },
    );
  });
});

describe("faults that were none", () => {
  const faults: FaultCounts = { nodesAdded: 1, nodesKilled: 1, executingAtKill: 3 };
  const doubts: DoubtCounts = {
    attestedExecuted: 1,
    waitedForHolder: 0,
    checkedExecuted: 0,
    checkedNotExecuted: 1,
    falsePositive: 5,
    committed: 5,
    regranted: 5,
    byPolicy: 5,
  };

  test("are named, each by itself", () => {
    expect(faultComplaints(faults, doubts)).toEqual([]);
    expect(faultComplaints({ ...faults, nodesAdded: 0 }, doubts)).toEqual(["no node was added"]);
    expect(faultComplaints({ ...faults, nodesKilled: 0 }, doubts)).toEqual(["no node was killed"]);
    expect(faultComplaints({ ...faults, executingAtKill: 0 }, doubts)).toEqual([
      "the killed node was executing nothing",
    ]);
    expect(faultComplaints(faults, { ...doubts, attestedExecuted: 0 })[0]).toContain("attestation");
    expect(faultComplaints(faults, { ...doubts, checkedNotExecuted: 0 })[0]).toContain("check");
  });

  test("either kind of attestation and either answer of a check is enough", () => {
    const other = { ...doubts, attestedExecuted: 0, waitedForHolder: 1, checkedNotExecuted: 0, checkedExecuted: 1 };
    expect(faultComplaints(faults, other)).toEqual([]);
  });
});

test("open starts are counted by process, and close with the effect", () => {
  const open = new OpenStarts();
  open.take(lines("s a 1", "s b 1", "s c 2", "e a 1"));
  expect([...open.of(1)]).toEqual(["b"]);
  open.take(lines("e b 1", "s d 1"));
  expect([...open.of(1)]).toEqual(["d"]);
  expect(open.of(2).size).toBe(1);
  expect(open.of(3).size).toBe(0);
  expect(open.effects).toBe(2);
});

test("a line reads back as it was written, and nothing else is a line", () => {
  const line: EffectLine = { kind: "effect", taskId: "task-7", node: "n1", pid: 42, token: "0001-0002" };
  expect(parseLine(formatLine(line).trimEnd())).toEqual(line);
  for (const text of [
    "",
    "effect a n1 x t",
    "effect a n1 1",
    "effect a n1 1 t t",
    "begin a n1 1 t",
    "xeffect a n1 1 t",
  ]) {
    expect(parseLine(text)).toBeNull();
  }
});
