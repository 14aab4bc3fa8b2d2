/**
 * The guard above the port (R14). A task log accepts a commit of any partition from a member of the present generation, and
 * a commit may fall; so it is the node that must never commit what it does not own. Here real nodes work on the log under
 * test while their batches and commits are delayed across rebalances. The port's own fence is tested in
 * `task-log-groups.ts`; nothing here relies on more than it.
 */
import { expect } from "bun:test";
import { DEMO_TIMING } from "../../src/cli/demo/plan.ts";
import { nodeConfig } from "../../src/config/node-config.ts";
import { resolveTasks } from "../../src/execution/resolve.ts";
import { createLogger } from "../../src/ops/log.ts";
import { runtimeOptions } from "../../src/runtime/node.ts";
import { type RunningNode, startRuntime } from "../../src/runtime/running-node.ts";
import { temporaryFolder, type TemporaryFolder } from "../support/servers/processes.ts";
import { TappedLog } from "./tapped-log.ts";
import type { Group, Suite } from "./task-log-member.ts";

const PARTITIONS = 3;
/** Of the nodes, in place of the suite's: three nodes in this process must not lose their sessions to a busy machine. */
const GROUP_TIMING = { sessionTimeoutMs: 8_000, rebalanceTimeoutMs: 2_500 };
const SAMPLE_MS = 20;
/** More than the waiting handlers of one partition, so that none is kept from its turn; fewer than those of two. */
const CONCURRENCY = 25;

export function ownershipGuard({ rule, group, openLog }: Suite): void {
  rule(
    "R14: a batch and a commit that a rebalance overtakes move nothing; nodes commit only what they own",
    async () => {
      await using g = await group(PARTITIONS);
      await using cell = await GuardedCell.open(g, openLog);
      const { taps } = cell;
      await cell.twoNodes();
      await cell.produce(0, 30);
      cell.allowBelow(10);
      await cell.untilCommitted([0, 1, 2], 10);
      const loser = taps.find((tap) => tap.owned().length === 2)!;
      const had = loser.owned();

      // Both kinds are under way: a batch that was fetched and not handed over, a commit that was sent and not answered.
      loser.holdBatches = true;
      await cell.produce(30, 40);
      await g.until("held batches", () => had.every((p) => loser.heldBatches.some(({ partition }) => partition === p)));
      const held = loser.heldBatches.length;
      loser.commitDelay = "lost-answer";
      cell.allowBelow(11);
      await g.until("late commits", () =>
        had.every((p) => loser.lateCommits().some(({ positions }) => positions.get(p) === 11)),
      );

      await cell.start("c");
      await g.until("one partition each", () => taps.every((tap) => tap.owned().length === 1));
      const lost = had.find((partition) => !loser.owned().includes(partition))!;
      // Under the new generation it may have committed already, for what it kept.
      const generation = loser.assignments.at(-1)!.generation;
      const overtaken = (await loser.release()).filter((sent) => sent.generation < generation);
      expect(overtaken.some(({ positions }) => positions.get(lost) === 11)).toBe(true);
      expect(new Set(overtaken.map(({ outcome }) => outcome))).toEqual(new Set(["refused"]));
      expect(cell.nodeOf(loser).status()!.edges!["staleBatches"]).toBeGreaterThanOrEqual(held);

      cell.allowBelow(Infinity);
      await cell.untilCommitted([0, 1, 2], 40);
      const commitsOfLost = loser.commits.filter(
        ({ outcome, positions }) => outcome === "committed" && positions.has(lost),
      );
      expect(Math.max(...commitsOfLost.map(({ positions }) => positions.get(lost)!))).toBe(10);
      cell.expectSound(40);
    },
  );

  rule("R14: a node that the group left behind in its barrier moves nothing when it wakes up", async () => {
    await using g = await group(PARTITIONS);
    await using cell = await GuardedCell.open(g, openLog);
    const { taps } = cell;
    await cell.twoNodes();
    await cell.produce(0, 20);
    cell.allowBelow(5);
    await cell.untilCommitted([0, 1, 2], 5);
    const loser = taps.find((tap) => tap.owned().length === 2)!;
    const had = loser.owned();
    loser.commitDelay = "no-answer";
    cell.allowBelow(10);
    await g.until("a commit without an answer", () => loser.lateCommits().length > 0);

    // Its barrier waits for the answer, longer than the group waits for it.
    await cell.start("c");
    const others = taps.filter((tap) => tap !== loser);
    await g.until("the others own everything", () => others.flatMap((tap) => tap.owned()).length === PARTITIONS);
    // What it executed and could not commit, the new owners commit from the ledger; what still runs there, they wait for.
    await cell.untilCommitted(had, 10);
    cell.allowBelow(Infinity);
    await cell.untilCommitted([0, 1, 2], 20);
    const outcomes = (await loser.release()).map(({ outcome }) => outcome);
    expect(new Set(outcomes)).toEqual(new Set(["refused"]));
    await g.until("one partition each", () => taps.every((tap) => tap.owned().length === 1));
    await cell.untilCommitted([0, 1, 2], 20);
    cell.expectSound(20);
  });
}

/** Nodes in this process on one group's topic; each has its own tap. */
class GuardedCell implements AsyncDisposable {
  readonly taps: TappedLog[] = [];
  readonly #group: Group;
  readonly #openLog: Suite["openLog"];
  readonly #folder: TemporaryFolder;
  readonly #nodes: RunningNode[] = [];
  readonly #log: string[] = [];
  /** How often each task had its effect, by `partition:offset`. */
  readonly #effects = new Map<string, number>();
  /** Committed positions that fell. */
  readonly #falls: string[] = [];
  readonly #highest = new Map<number, number>();
  #below = 0;
  #sampling = true;
  readonly #sampler: Promise<void>;

  private constructor(group: Group, openLog: Suite["openLog"], folder: TemporaryFolder) {
    this.#group = group;
    this.#openLog = openLog;
    this.#folder = folder;
    this.#sampler = this.#sample();
  }

  static async open(group: Group, openLog: Suite["openLog"]): Promise<GuardedCell> {
    return new GuardedCell(group, openLog, await temporaryFolder("vouch-guard"));
  }

  async start(nodeId: string): Promise<void> {
    const { topic, groupId } = this.#group;
    const config = nodeConfig({
      ...DEMO_TIMING,
      nodeId,
      dataDir: this.#folder.path,
      kafkaGroupId: groupId,
      concurrency: CONCURRENCY,
      peerListen: { host: "127.0.0.1", port: 0 },
      httpListen: null,
      handlerTimeoutMs: 60_000,
    });
    const execute = async (task: { partition: number; offset: number }): Promise<void> => {
      while (task.offset >= this.#below) await Bun.sleep(2);
      const name = `${task.partition}:${task.offset}`;
      this.#effects.set(name, (this.#effects.get(name) ?? 0) + 1);
    };
    const tasks = resolveTasks([{ name: "test", exported: { topic, onUnknown: "park", execute } }], config);
    const write = (line: string): void => void this.#log.push(line);
    const logger = createLogger({ level: "info", plain: true, write, now: Date.now });
    const options = runtimeOptions(config, tasks, { logger });
    await options.taskLog.close();
    const tap = new TappedLog(this.#openLog());
    const node = await startRuntime({
      ...options,
      taskLog: tap.log,
      consumer: { ...options.consumer, ...GROUP_TIMING },
    });
    this.taps.push(tap);
    this.#nodes.push(node);
  }

  nodeOf(tap: TappedLog): RunningNode {
    return this.#nodes[this.taps.indexOf(tap)]!;
  }

  /** One of them has two of the three partitions. */
  async twoNodes(): Promise<void> {
    await Promise.all([this.start("a"), this.start("b")]);
    await this.#until("two nodes share the partitions", () => {
      const counts = this.taps.map((tap) => tap.owned().length);
      return counts.length === 2 && counts.includes(1) && counts.includes(2);
    });
  }

  async produce(from: number, to: number): Promise<void> {
    for (let partition = 0; partition < PARTITIONS; partition++) await this.#group.produce(partition, to - from, from);
  }

  /** Handlers of offsets below it end; the others wait. */
  allowBelow(offset: number): void {
    this.#below = offset;
  }

  async untilCommitted(partitions: readonly number[], position: number): Promise<void> {
    await this.#until(`partitions ${partitions.join()} committed up to ${position}`, async () => {
      const rows = await this.#group.admin.groupOffsets(this.#group.groupId, this.#group.topic);
      return partitions.every((partition) => rows.find((row) => row.partition === partition)?.committed === position);
    });
  }

  /** What must be true of every run: `count` tasks a partition, once each; no foreign commit; no position ever fell. */
  expectSound(count: number): void {
    expect(this.taps.flatMap((tap) => tap.foreignCommits())).toEqual([]);
    expect(this.#falls).toEqual([]);
    expect([...this.#effects].filter(([, times]) => times > 1)).toEqual([]);
    expect(this.#effects.size).toBe(count * PARTITIONS);
  }

  async #until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    await this.#group.until(what, condition).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.#log.join("")}`);
    });
  }

  async #sample(): Promise<void> {
    while (this.#sampling) {
      const rows = await this.#group.admin.groupOffsets(this.#group.groupId, this.#group.topic);
      for (const { partition, committed } of rows) {
        const highest = this.#highest.get(partition) ?? 0;
        const now = committed ?? 0;
        if (now < highest) this.#falls.push(`partition ${partition}: ${highest} -> ${now}`);
        this.#highest.set(partition, Math.max(highest, now));
      }
      await Bun.sleep(SAMPLE_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#below = Infinity;
    await Promise.all(this.taps.map((tap) => tap.release()));
    await Promise.all(this.#nodes.map((node) => node.stop()));
    this.#sampling = false;
    await this.#sampler;
    await this.#folder.remove();
  }
}
