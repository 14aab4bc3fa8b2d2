/** The judge of the history, on histories written by hand: each of H1-H7 broken alone, and kept. */
import { describe, expect, test } from "bun:test";
import { checkHistory, type HistoryReport } from "./history-checker.ts";
import type { HistoryEvent } from "./history.ts";
import type { SimulationSettings } from "./observer.ts";
import { Random } from "./random.ts";
import { swarmSettings } from "./swarm.ts";

const SETTINGS: SimulationSettings = {
  ...swarmSettings(new Random(1)),
  hasCheck: true,
  checkIsTruthful: true,
  onUnknown: "park",
  effectSettleMs: 400,
  filterCapacity: 100,
  filterGenerations: 2,
};

type Told = HistoryEvent extends infer E ? (E extends HistoryEvent ? Omit<E, "at"> : never) : never;

class Tale {
  readonly events: HistoryEvent[] = [];
  at = 0;
  #runs = 0;
  #checks = 0;
  #offsets = 0;
  readonly #ids: string[] = [];

  tell(event: Told): this {
    this.events.push({ at: this.at, ...event } as HistoryEvent);
    return this;
  }

  pass(ms: number): this {
    this.at += ms;
    return this;
  }

  produce(taskId = ""): this {
    const offset = this.#offsets++;
    this.#ids.push(taskId === "" ? `tasks:0:${offset}` : taskId);
    return this.tell({ type: "produced", partition: 0, offset, taskId: this.#ids[offset]!, payload: 1 });
  }

  started(node: string, pid = 1): this {
    return this.tell({ type: "process", what: "started", node, pid, detail: "" });
  }

  run(pid: number, offset: number, { stamp = this.#runs + 1, attempt = 1 } = {}): number {
    const run = ++this.#runs;
    const taskId = this.#ids[offset]!;
    const who = { node: `n${pid}`, pid, partition: 0, offset, taskId };
    this.tell({ type: "handler-start", run, ...who, epoch: 1, stamp, attempt });
    return run;
  }

  effect(run: number, offset: number): this {
    return this.tell({ type: "effect", run, taskId: this.#ids[offset]! });
  }

  end(run: number, outcome: "success" | "failure" | "hang-ended" | "died"): this {
    return this.pass(1).tell({ type: "handler-end", run, outcome });
  }

  executed(pid: number, offset: number): this {
    const run = this.run(pid, offset);
    return this.effect(run, offset).end(run, "success");
  }

  check(pid: number, offset: number, answer: "executed" | "not-executed" | "unknown", truth = false): this {
    const check = ++this.#checks;
    const who = { node: `n${pid}`, pid, partition: 0, offset, taskId: this.#ids[offset]! };
    return this.tell({ type: "check-start", check, ...who }).tell({ type: "check-end", check, answer, truth });
  }

  commit(position: number, node = "n1"): this {
    return this.tell({ type: "committed", node, partition: 0, position, before: null });
  }

  judge(settings: Partial<SimulationSettings> = {}): HistoryReport {
    return checkHistory({ ...SETTINGS, ...settings }, this.events);
  }
}

function found(report: HistoryReport): string[] {
  return report.violations.map(({ invariant }) => invariant);
}

describe("the judge of the history", () => {
  test("nothing is found in an ordinary history, and everything is counted", () => {
    const tale = new Tale().produce().produce().produce("x").produce("x");
    const lost = tale.executed(1, 0).run(1, 1);
    tale
      .end(lost, "died")
      .pass(1_000)
      .check(2, 1, "not-executed")
      .executed(2, 1)
      .executed(1, 2)
      .check(2, 3, "executed", true);
    const report = tale.commit(4).tell({ type: "quiet" }).judge();
    expect(report).toMatchObject({
      produced: 4,
      executed: 4,
      lost: 0,
      unexpected: 0,
      duplicated: 0,
      recovered: 1,
      checks: 2,
    });
    expect(found(report)).toEqual([]);
  });

  test("H1: a commit passes a record without an end", () => {
    expect(found(new Tale().produce().commit(1).judge())).toEqual(["H1"]);
    expect(found(new Tale().produce().commit(1, "").judge())).toEqual([]); // another client's
    const aside: Told = {
      type: "set-aside",
      kind: "dead",
      reason: "attempts",
      taskId: "",
      node: "n1",
      pid: 1,
      partition: 0,
      offset: 0,
    };
    expect(found(new Tale().produce().tell(aside).commit(1).judge())).toEqual([]);
  });

  test("H2: a second effect needs a reason", () => {
    expect(found(new Tale().produce().executed(1, 0).executed(2, 0).judge())).toEqual(["H2"]);
    const failed = new Tale().produce();
    const run = failed.run(1, 0);
    expect(found(failed.effect(run, 0).end(run, "failure").executed(1, 0).judge())).toEqual([]);
  });

  test("H2: the policy may run it again, a truthful check may not", () => {
    const tale = (answer: "unknown" | "not-executed"): Tale => {
      const told = new Tale().produce();
      const run = told.run(1, 0);
      return told.effect(run, 0).end(run, "died").pass(1_000).check(2, 0, answer, true).executed(2, 0);
    };
    expect(found(tale("unknown").judge({ onUnknown: "execute" }))).toEqual([]);
    expect(found(tale("unknown").judge({ onUnknown: "park" }))).toEqual(["H2"]);
    expect(found(tale("not-executed").judge({ onUnknown: "execute" }))).toEqual(["H2"]);
    expect(found(tale("not-executed").judge({ checkIsTruthful: false }))).toEqual([]);
  });

  test("H2: another record of the task, when the filter no longer knew the first", () => {
    const tale = (keys: number): Tale => {
      const told = new Tale().produce("x");
      told.executed(1, 0).commit(1).produce("x");
      const run = told.run(1, 1, { stamp: keys });
      return told.effect(run, 1).end(run, "success");
    };
    expect(found(tale(10).judge())).toEqual(["H2"]);
    expect(found(tale(120).judge())).toEqual([]);
  });

  test("H3: two handlers of one task", () => {
    const tale = new Tale().produce();
    tale.run(1, 0);
    tale.run(2, 0);
    expect(found(tale.judge())).toEqual(["H3"]);
  });

  test("H3, H2: not for a process that slept through the quarantine, but for one that slept shortly", () => {
    const tale = (ms: number): Tale => {
      const told = new Tale().started("n1", 1).produce();
      const first = told.run(1, 0);
      told.tell({ type: "process", what: "stopped", node: "n1", pid: 1, detail: "" }).pass(ms);
      const second = told.run(2, 0);
      told.effect(second, 0).tell({ type: "process", what: "continued", node: "n1", pid: 1, detail: "" });
      return told.effect(first, 0).end(first, "success").end(second, "success");
    };
    expect(found(tale(100_000).judge())).toEqual([]);
    expect(found(tale(10).judge())).toEqual(["H2"]);
  });

  test("H4: a token that does not rise", () => {
    const tale = new Tale().produce();
    tale.end(tale.run(1, 0, { stamp: 5 }), "failure");
    tale.end(tale.run(1, 0, { stamp: 5, attempt: 2 }), "failure");
    expect(found(tale.judge())).toEqual([]);
    tale.end(tale.run(2, 0, { stamp: 5, attempt: 3 }), "failure");
    expect(found(tale.judge())).toEqual(["H4"]);
  });

  test("H5: what is lost, and what nobody produced", () => {
    expect(found(new Tale().produce().tell({ type: "quiet" }).judge())).toEqual(["H5"]);
    expect(new Tale().produce().judge().lost).toBe(1); // cut short
    const tale = new Tale().produce();
    const run = tale.run(1, 0);
    expect(found(tale.tell({ type: "effect", run, taskId: "nobody's" }).judge())).toEqual(["H5"]);
  });

  test("H6: two leaders of one epoch, and an epoch that falls", () => {
    const tale = (...led: readonly (readonly [pid: number, epoch: number])[]): Tale => {
      const told = new Tale();
      for (const [pid, epoch] of led) told.tell({ type: "leads", node: `n${pid}`, pid, epoch });
      return told;
    };
    expect(found(tale([1, 1], [2, 2], [1, 5]).judge())).toEqual([]);
    expect(found(tale([1, 1], [2, 1]).judge())).toEqual(["H6"]);
    expect(found(tale([1, 2], [2, 1]).judge())).toEqual(["H6"]);
  });

  test("H7: a check while the task runs, or before its effects have settled", () => {
    const tale = new Tale().produce();
    const run = tale.run(1, 0);
    expect(found(new Tale().produce().check(2, 0, "unknown").judge())).toEqual([]);
    tale.check(2, 0, "unknown");
    expect(found(tale.judge())).toEqual(["H7"]);
    tale.end(run, "died").pass(300).check(2, 0, "unknown").pass(100).check(2, 0, "unknown");
    expect(found(tale.judge())).toEqual(["H7", "H7"]);
  });
});
