/**
 * A cell of node processes whose tasks misbehave, under a supervisor that starts again whatever ended, as in production.
 * With the embedded log and coordinator, or on real servers when they are given. One record of effects, which is judged.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EffectReader, type EffectLine } from "../../src/cli/demo/effect-record.ts";
import { judge, type Judgement } from "../../src/cli/demo/proof.ts";
import type { NodeConfig } from "../../src/config/option-table.ts";
import { partitionOf } from "../../src/core/identity.ts";
import type { CoreStatus } from "../../src/core/status.ts";
import { openEmbeddedTaskLog } from "../../src/task-log/embedded/embedded-task-log.ts";
import { openKafkaTaskLog } from "../../src/task-log/kafka/index.ts";
import type { GroupOffset, OutgoingRecord, TaskAdmin, TaskLog, TaskProducer } from "../../src/task-log/task-log.ts";
import { ROOT, TestNode } from "./cluster-node.ts";
import type { ClusterServers } from "./cluster-servers.ts";
import { TEST_TIMING } from "./cluster.ts";
import {
  CHECKS_FILE,
  type Misbehaviour,
  type MisbehavingSetting,
  RECORD_FILE,
  SETTING_ENVIRONMENT,
} from "./misbehaving-tasks.ts";
import { type FoundRecord, readTopicOf } from "./read-topic.ts";
import { freePorts, temporaryFolder, type TemporaryFolder } from "./servers/processes.ts";

const POLL_MS = 25;
const SUPERVISOR_MS = 100;
const MODULE = join(ROOT, "test/support/misbehaving-module.ts");

export interface ProcessCellOptions {
  readonly name: string;
  readonly nodes: number;
  readonly partitions: number;
  /** Over TEST_TIMING. */
  readonly options?: Partial<NodeConfig>;
  readonly servers?: ClusterServers;
}

export interface ReadyAnswer {
  readonly code: number;
  /** What the checks that fail say, by their names. */
  readonly failing: Readonly<Record<string, string>>;
}

/** One record; `work` becomes its value unless `value` is given. */
export interface CellRecord extends Omit<OutgoingRecord, "value"> {
  readonly partition: number;
  readonly id?: string;
  readonly work?: Misbehaviour;
  readonly value?: Uint8Array | string | null;
}

let cells = 0;

export class ProcessCell implements AsyncDisposable {
  readonly topic: string;
  readonly group: string;
  readonly nodes: TestNode[] = [];
  readonly log: TaskLog;
  readonly #options: ProcessCellOptions;
  readonly #folder: TemporaryFolder;
  readonly #admin: TaskAdmin;
  readonly #producer: TaskProducer;
  readonly #reader: EffectReader;
  readonly #effects: EffectLine[] = [];
  readonly #left = new Set<TestNode>();
  #supervisor: ReturnType<typeof setInterval> | null = null;
  #restarts = 0;

  private constructor(options: ProcessCellOptions, folder: TemporaryFolder) {
    const name = `${options.name}-${process.pid}-${++cells}`;
    this.topic = options.name;
    this.group = `${name}-group`;
    if (options.servers !== undefined) this.topic = name;
    this.#options = options;
    this.#folder = folder;
    const { servers } = options;
    this.log =
      servers === undefined
        ? openEmbeddedTaskLog({ directory: join(folder.path, "data") })
        : openKafkaTaskLog({ brokers: [servers.kafka.brokers], clientId: name, onWarning: () => undefined });
    this.#admin = this.log.admin();
    this.#producer = this.log.producer();
    this.#reader = new EffectReader(join(folder.path, RECORD_FILE));
  }

  /** With its topic and its nodes, which share the partitions. */
  static async open(options: ProcessCellOptions): Promise<ProcessCell> {
    const cell = new ProcessCell(options, await temporaryFolder("vouch-misbehaving"));
    try {
      await cell.#admin.createTopic(cell.topic, options.partitions);
      const ports = await freePorts(2 * options.nodes); // at once, so that no two nodes are given the same one
      for (let i = 0; i < options.nodes; i++) cell.#startNode(ports[2 * i]!, ports[2 * i + 1]!);
      cell.#supervisor = setInterval(() => cell.#supervise(), SUPERVISOR_MS);
      await cell.ready();
      return cell;
    } catch (error) {
      cell.printLogs();
      await cell[Symbol.asyncDispose]();
      throw error;
    }
  }

  #startNode(peerPort: number, httpPort: number): void {
    const name = `n${this.nodes.length + 1}`;
    const config = join(this.#folder.path, `${name}.json`);
    const { options, servers } = this.#options;
    const outside =
      servers === undefined
        ? { dataDir: join(this.#folder.path, "data") }
        : { kafkaBrokers: servers.kafka.brokers, zookeeper: servers.zookeeper.address, cell: this.group };
    const identity = { nodeId: name, kafkaGroupId: this.group, ...outside };
    writeFileSync(config, JSON.stringify({ ...TEST_TIMING, ...options, ...identity }));
    const setting: MisbehavingSetting = { topic: this.topic, node: name, folder: this.#folder.path };
    const listen = ["--peer-listen", `127.0.0.1:${peerPort}`, "--http-listen", `127.0.0.1:${httpPort}`];
    const node = new TestNode({
      name,
      argv: ["node.ts", "run", MODULE, "--config", config, ...listen],
      environment: { [SETTING_ENVIRONMENT]: JSON.stringify(setting) },
      httpPort,
      peerPort,
      proxy: null,
    });
    this.nodes.push(node);
  }

  #supervise(): void {
    for (const node of this.nodes) {
      if (node.alive() || this.#left.has(node)) continue;
      this.#restarts++;
      this.#left.add(node);
      void node.restart().finally(() => this.#left.delete(node));
    }
  }

  /** How often a node was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  async statuses(): Promise<Map<string, CoreStatus>> {
    const answers = await Promise.all(this.nodes.map((node) => node.status()));
    return new Map(this.nodes.flatMap((node, index) => (answers[index] ? [[node.name, answers[index].core]] : [])));
  }

  async leader(): Promise<TestNode> {
    let name = "";
    await this.waitFor("an active leader", async () => {
      for (const [each, status] of await this.statuses()) if (status.leaderStatus?.active === true) name = each;
      return name !== "";
    });
    return this.nodes.find((node) => node.name === name)!;
  }

  /** Which node has the partition, by the nodes' own words. */
  async owner(partition: number): Promise<TestNode> {
    let owner: TestNode | undefined;
    await this.waitFor(`one owner of partition ${partition}`, async () => {
      const owners = [...(await this.statuses())].filter(([, status]) =>
        status.partitions.some((each) => partitionOf(each.pid) === partition),
      );
      owner = this.nodes.find((node) => owners.length === 1 && node.name === owners[0]?.[0]);
      return owner !== undefined;
    });
    return owner!;
  }

  /** Every node is in the in-sync set and has its share of the partitions. */
  async ready(): Promise<void> {
    const share = Math.floor(this.#options.partitions / this.nodes.length);
    await this.waitFor("all nodes in the in-sync set, with their partitions", async () => {
      const statuses = await this.statuses();
      const owned = new Set([...statuses.values()].flatMap((status) => status.partitions.map(({ pid }) => pid)));
      return (
        owned.size === this.#options.partitions &&
        this.nodes.every((node) => {
          const status = statuses.get(node.name);
          return status?.member === true && status.partitions.length >= share;
        })
      );
    });
  }

  async produce(records: readonly CellRecord[]): Promise<void> {
    await this.#producer.send(
      this.topic,
      records.map(({ id, work, value, headers, ...record }) => ({
        ...record,
        value: value === undefined ? JSON.stringify(work ?? {}) : value,
        headers: { ...headers, ...(id === undefined ? {} : ({ "task-id": id } as Record<string, string>)) },
      })),
    );
  }

  offsets(): Promise<readonly GroupOffset[]> {
    return this.#admin.groupOffsets(this.group, this.topic);
  }

  /** Of a partition. */
  async lag(partition: number): Promise<number> {
    const offset = (await this.offsets()).find((each) => each.partition === partition);
    return (offset?.logEnd ?? 0) - (offset?.committed ?? 0);
  }

  /** Every record is committed, and nobody has anything left in hand. */
  async settled(timeoutMs = 60_000): Promise<void> {
    await this.waitFor(
      "every record committed, nothing in flight, no doubts",
      async () => {
        const statuses = [...(await this.statuses()).values()];
        const quiet =
          statuses.length === this.nodes.length && statuses.every((each) => each.inFlight === 0 && each.doubtful === 0);
        return quiet && (await this.offsets()).every((each) => (each.committed ?? 0) >= each.logEnd);
      },
      timeoutMs,
    );
  }

  async readyz(node: TestNode): Promise<ReadyAnswer> {
    const response = await fetch(`${node.url}/readyz`).catch(() => null);
    if (response === null) return { code: 0, failing: {} };
    const { checks } = (await response.json()) as { checks: { name: string; ok: boolean; detail: string }[] };
    const failing = checks.filter(({ ok }) => !ok).map(({ name, detail }) => [name, detail]);
    return { code: response.status, failing: Object.fromEntries(failing) as Record<string, string> };
  }

  /** All records of `<topic>.dead` or `<topic>.parked`. */
  async setAside(kind: "dead" | "parked"): Promise<FoundRecord[]> {
    return readTopicOf(this.log, `${this.topic}.${kind}`);
  }

  effects(): readonly EffectLine[] {
    this.#effects.push(...this.#reader.readNew());
    return this.#effects;
  }

  starts(id: string): EffectLine[] {
    return this.effects().filter(({ kind, taskId }) => kind === "start" && taskId === id);
  }

  effectsOf(id: string): EffectLine[] {
    return this.effects().filter(({ kind, taskId }) => kind === "effect" && taskId === id);
  }

  /** "task node trick" of each check that was asked. */
  checks(): string[] {
    const path = join(this.#folder.path, CHECKS_FILE);
    return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
  }

  judge(ids: readonly string[]): Judgement {
    return judge(
      this.effects().filter(({ taskId }) => ids.includes(taskId)),
      ids,
    );
  }

  /** All that the nodes wrote. */
  output(): string {
    return this.nodes.map((node) => node.log()).join("\n");
  }

  printLogs(): void {
    process.stderr.write(`\n${this.nodes.map((node) => node.logTail()).join("\n")}\n`);
    const lines = this.effects().map(({ kind, taskId, node, token }) => `${kind} ${taskId} ${node} ${token}`);
    process.stderr.write(`--- record of effects\n${lines.slice(-60).join("\n")}\n`);
  }

  /** @throws Error that names what was waited for, and how the nodes stood. */
  async waitFor(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await condition())) {
      if (performance.now() > deadline) {
        this.printLogs();
        const statuses = [...(await this.statuses())].map(([name, { role, epoch, inFlight, doubtful, waitingFor }]) =>
          JSON.stringify({ name, role, epoch, inFlight, doubtful, waitingFor }),
        );
        throw new Error(`${what}: not within ${timeoutMs} ms\n${statuses.join("\n")}`);
      }
      await Bun.sleep(POLL_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#supervisor !== null) clearInterval(this.#supervisor);
    while (this.#left.size > 0) await Bun.sleep(POLL_MS); // one that is being started again
    await Promise.all(this.nodes.map((node) => node.stop()));
    await this.#producer.close();
    await this.#admin.close();
    await this.log.close();
    this.#reader[Symbol.dispose]();
    await this.#folder.remove();
  }
}
