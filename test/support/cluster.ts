/**
 * A cell of node processes on real Kafka and real ZooKeeper, as a user runs it: `bun run node.ts run <tasks> …`. The test
 * and the nodes share nothing but brokers, ZooKeeper, HTTP, and the record of effects, which is also what is judged.
 *
 * Use `withCluster`: it prints the nodes' logs when the test fails, and ends every process, also then.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EffectLine } from "../../src/cli/demo/effect-record.ts";
import { DEMO_TIMING } from "../../src/cli/demo/plan.ts";
import type { NodeConfig } from "../../src/config/option-table.ts";
import { partitionOf } from "../../src/core/identity.ts";
import type { CoreCounters, CoreStatus, DoubtsSettled } from "../../src/core/status.ts";
import { openKafkaTaskLog } from "../../src/task-log/kafka/index.ts";
import type { GroupOffset, TaskAdmin, TaskLog, TaskProducer } from "../../src/task-log/task-log.ts";
import { ROOT, TestNode } from "./cluster-node.ts";
import { ClusterRecord } from "./cluster-record.ts";
import { type ClusterServers, sharedServers, TICK_MS } from "./cluster-servers.ts";
import { SETTING_ENVIRONMENT, type CheckMode, type TaskSetting, type TaskWork } from "./cluster-tasks.ts";
import { PeerProxy } from "./proxy.ts";
import { freePorts, temporaryFolder, type TemporaryFolder } from "./servers/processes.ts";

export { TestNode } from "./cluster-node.ts";
export type { CheckMode, TaskWork } from "./cluster-tasks.ts";
export type { PassingFrame, PeerProxy } from "./proxy.ts";

/** As short as the relations and two busy cores allow; `options` of a cluster win. */
export const TEST_TIMING: Partial<NodeConfig> = { ...DEMO_TIMING, coordinatorTickMs: TICK_MS, commitIntervalMs: 50 };

const WAIT_MS = 30_000;
const POLL_MS = 25;

export interface ClusterOptions {
  readonly nodes?: number; // started together, and waited for; default 3
  readonly partitions?: number; // default 6
  /** Options of every node, over TEST_TIMING. */
  readonly options?: Partial<NodeConfig>;
  readonly check?: CheckMode; // default "truth"
  readonly onUnknown?: TaskSetting["onUnknown"]; // default "park"
  /** Put a proxy in front of every node's peer port. */
  readonly proxies?: boolean;
  /** Default: the pair that all test files share. */
  readonly servers?: ClusterServers;
}

export interface AddNodeOptions {
  /** Over the cluster's. */
  readonly options?: Partial<NodeConfig>;
  readonly check?: CheckMode;
  /** A script of the test instead of `node.ts run <tasks>`; it gets the same flags and environment. */
  readonly entry?: string;
  /** A task module of the test instead of the one whose tasks say what they do. */
  readonly tasks?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Of another cell, or of a node that is set up wrongly: instead of the cluster's own. */
  readonly identity?: { readonly cell?: string; readonly kafkaGroupId?: string; readonly kafkaBrokers?: string };
  readonly topic?: string;
  /** Do not wait until it is a member of the cell and the group. */
  readonly waitUntilReady?: boolean;
}

/** One task to produce. Without `id` its own position names it. */
export interface NewTask {
  readonly partition: number;
  readonly id?: string;
  readonly work?: TaskWork;
  /** Instead of the work as JSON: a value as it is. */
  readonly value?: string;
}

let clusters = 0;

/** Runs a test against a new cluster. A failure is reported with the end of every node's log. */
export async function withCluster(options: ClusterOptions, body: (cluster: Cluster) => Promise<void>): Promise<void> {
  const cluster = await Cluster.open(options);
  try {
    await cluster.start();
    await body(cluster);
  } catch (error) {
    process.stderr.write(`\n${cluster.nodes.map((node) => node.logTail()).join("\n")}\n`);
    process.stderr.write(`--- record of effects\n${cluster.effects().slice(-40).map(shownEffect).join("\n")}\n`);
    throw error;
  } finally {
    await cluster[Symbol.asyncDispose]();
  }
}

const shownEffect = (line: EffectLine): string => `${line.kind} ${line.taskId} ${line.node} ${line.token}`;

export class Cluster extends ClusterRecord implements AsyncDisposable {
  readonly topic: string;
  readonly group: string;
  readonly cell: string;
  readonly partitions: number;
  readonly servers: ClusterServers;
  readonly nodes: TestNode[] = [];
  readonly #options: ClusterOptions;
  readonly #folder: TemporaryFolder;
  readonly #log: TaskLog;
  readonly #admin: TaskAdmin;
  readonly #producer: TaskProducer;

  private constructor(options: ClusterOptions, servers: ClusterServers, folder: TemporaryFolder) {
    super(folder.path);
    const name = `t${process.pid}-${++clusters}`;
    this.topic = `${name}-tasks`;
    this.group = `${name}-group`;
    this.cell = name;
    this.partitions = options.partitions ?? 6;
    this.servers = servers;
    this.#options = options;
    this.#folder = folder;
    this.#log = openKafkaTaskLog({ brokers: [servers.kafka.brokers], clientId: name, onWarning: () => undefined });
    this.#admin = this.#log.admin();
    this.#producer = this.#log.producer();
  }

  /** With its topic, and without any node. Prefer `withCluster`. */
  static async open(options: ClusterOptions): Promise<Cluster> {
    const servers = options.servers ?? (await sharedServers());
    const cluster = new Cluster(options, servers, await temporaryFolder("vouch-cluster"));
    try {
      await cluster.#admin.createTopic(cluster.topic, cluster.partitions);
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts the nodes that the options ask for, and waits until they share the partitions. */
  async start(): Promise<void> {
    const count = this.#options.nodes ?? 3;
    for (let i = 0; i < count; i++) await this.addNode({ waitUntilReady: false });
    if (count > 0) await this.ready();
  }

  // --- nodes

  /** Starts one more node, named n1, n2, …; by default waits until it works with the others. */
  async addNode(more: AddNodeOptions = {}): Promise<TestNode> {
    const name = `n${this.nodes.length + 1}`;
    const [peerPort = 0, httpPort = 0] = await freePorts(2);
    const options: Partial<NodeConfig> = { ...TEST_TIMING, ...this.#options.options, ...more.options };
    const proxy = this.#options.proxies === true ? await startProxy(peerPort) : null;
    const config = this.#path(`${name}.json`);
    writeFileSync(config, JSON.stringify({ ...options, ...this.#identity(name, proxy), ...more.identity }, null, 2));
    const listen = ["--peer-listen", `127.0.0.1:${peerPort}`, "--http-listen", `127.0.0.1:${httpPort}`];
    const program = more.entry === undefined ? ["node.ts", "run", more.tasks ?? TASK_MODULE] : [more.entry];
    const node = new TestNode({
      name,
      argv: [...program, "--config", config, ...listen],
      environment: { ...more.environment, [SETTING_ENVIRONMENT]: JSON.stringify(this.#setting(name, more)) },
      httpPort,
      peerPort,
      proxy,
    });
    this.nodes.push(node);
    if (more.waitUntilReady !== false) await this.ready();
    return node;
  }

  #identity(nodeId: string, proxy: PeerProxy | null): Record<string, unknown> {
    const { kafka, zookeeper } = this.servers;
    return {
      nodeId,
      cell: this.cell,
      kafkaBrokers: kafka.brokers,
      kafkaGroupId: this.group,
      zookeeper: zookeeper.address,
      ...(proxy === null ? {} : { advertiseHost: PROXY_HOST }),
    };
  }

  #setting(node: string, more: AddNodeOptions): TaskSetting {
    return {
      ...this.places,
      topic: more.topic ?? this.topic,
      node,
      check: more.check ?? this.#options.check ?? "truth",
      onUnknown: this.#options.onUnknown ?? "park",
    };
  }

  alive(): TestNode[] {
    return this.nodes.filter((node) => node.alive());
  }

  node(name: string): TestNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`no node ${name}`);
    return found;
  }

  /** Answers of the living nodes, by name; without those that did not answer. */
  async statuses(): Promise<Map<string, CoreStatus>> {
    const nodes = this.alive();
    const answers = await Promise.all(nodes.map((node) => node.status()));
    return new Map(nodes.flatMap((node, index) => (answers[index] ? [[node.name, answers[index].core]] : [])));
  }

  /** The active leader, waited for. */
  async leader(): Promise<TestNode> {
    let name = "";
    await this.waitFor("an active leader", async () => {
      for (const [each, status] of await this.statuses()) if (status.leaderStatus?.active === true) name = each;
      return name !== "";
    });
    return this.node(name);
  }

  async followers(): Promise<TestNode[]> {
    const leader = await this.leader();
    return this.alive().filter((node) => node !== leader);
  }

  /** Waits until every living node is in the in-sync set and owns its share of the partitions. */
  async ready(nodes: readonly TestNode[] = this.alive(), timeoutMs: number = WAIT_MS): Promise<void> {
    const share = Math.floor(this.partitions / nodes.length);
    await this.waitFor(
      `${nodes.map((node) => node.name).join(", ")} in the in-sync set, with their partitions`,
      async () => {
        const statuses = await this.statuses();
        const owned = new Set([...statuses.values()].flatMap((status) => status.partitions.map(({ pid }) => pid)));
        return (
          owned.size === this.partitions &&
          nodes.every((node) => {
            const status = statuses.get(node.name);
            return status?.member === true && status.partitions.length >= share;
          })
        );
      },
      timeoutMs,
    );
  }

  /** Which node has the partition, by the nodes' own words; null while it is between two. */
  async owner(partition: number): Promise<TestNode | null> {
    const owners = [...(await this.statuses())].filter(([, status]) =>
      status.partitions.some((each) => partitionOf(each.pid) === partition),
    );
    const [owner] = owners;
    return owner === undefined || owners.length > 1 ? null : this.node(owner[0]);
  }

  /** Partitions by the name of their owner. */
  async owners(): Promise<Map<string, number[]>> {
    const statuses = await this.statuses();
    return new Map(
      [...statuses].map(([name, status]) => [name, status.partitions.map((each) => partitionOf(each.pid))]),
    );
  }

  // --- tasks

  /** Resolves when Kafka has them all. @returns their task ids, in order; "" for a task that its position names */
  async produce(tasks: readonly NewTask[]): Promise<string[]> {
    await this.#producer.send(
      this.topic,
      tasks.map(({ partition, id, work, value }) => ({
        partition,
        value: value ?? JSON.stringify(work ?? {}),
        headers: (id === undefined ? {} : { "task-id": id }) as Record<string, string>,
      })),
    );
    const ids = tasks.map(({ id }) => id ?? "");
    this.produced.push(...ids.filter((id) => id !== ""));
    return ids;
  }

  /** Of the cluster's group in its topic, as Kafka has them. */
  offsets(): Promise<readonly GroupOffset[]> {
    return this.#admin.groupOffsets(this.group, this.topic);
  }

  /** Records that a topic holds; 0 when it does not exist. */
  async recordsIn(topic: string): Promise<number> {
    if ((await this.#admin.describeTopic(topic)) === null) return 0;
    const ends = await this.#admin.groupOffsets(this.group, topic);
    return ends.reduce((sum, { logStart, logEnd }) => sum + logEnd - logStart, 0);
  }

  /** Waits until every record is committed and the living nodes have nothing left in their hands. */
  async settled(timeoutMs: number = 60_000): Promise<void> {
    await this.waitFor(
      "every record committed, nothing in flight, no doubts",
      async () => {
        const statuses = [...(await this.statuses()).values()];
        const quiet = statuses.length > 0 && statuses.every((each) => each.inFlight === 0 && each.doubtful === 0);
        return quiet && (await this.offsets()).every((each) => (each.committed ?? 0) >= each.logEnd);
      },
      timeoutMs,
    );
  }

  /** A counter summed over every process that ever answered; of killed ones the last answer counts. */
  counter(name: Exclude<keyof CoreCounters, "limitHits">): number {
    return this.#samples().reduce((sum, { counters }) => sum + counters[name], 0);
  }

  /** How doubts were settled, summed likewise. */
  doubtsSettled(how: keyof DoubtsSettled): number {
    return this.#samples().reduce((sum, { doubtsSettled }) => sum + doubtsSettled[how], 0);
  }

  #samples(): CoreStatus[] {
    return this.nodes.flatMap((node) => [...node.samples.values()].map((status) => status.core));
  }

  /** @throws Error that names what was waited for and how the nodes stood; also at once when a node ended by itself. */
  async waitFor(what: string, condition: () => boolean | Promise<boolean>, timeoutMs: number = WAIT_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await condition())) {
      const ended = this.nodes.find((node) => node.endedByItself);
      if (ended !== undefined) throw new Error(`${ended.name} ended by itself while waiting for: ${what}`);
      if (performance.now() > deadline) {
        throw new Error(`${what}: not within ${timeoutMs} ms\n${await this.#describe()}`);
      }
      await Bun.sleep(POLL_MS);
    }
  }

  async #describe(): Promise<string> {
    const lines = [...(await this.statuses())].map(([name, core]) => {
      const { role, epoch, member, inFlight, doubtful, running, waitingFor, doubtsSettled, counters } = core;
      const partitions = core.partitions.map((each) => `${partitionOf(each.pid)}@${each.position}/${each.logEnd}`);
      const facts = { role, epoch, member, inFlight, doubtful, running, waitingFor };
      return `${name}: ${JSON.stringify(facts)} ${partitions.join(" ")}\n  ${JSON.stringify(doubtsSettled)} ${JSON.stringify(counters)}`;
    });
    const offsets = (await this.offsets()).map((each) => `${each.partition}:${each.committed}/${each.logEnd}`);
    return [...lines, `group: ${offsets.join(" ")}`].join("\n");
  }

  #path(name: string): string {
    return join(this.#folder.path, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await Promise.all(this.nodes.map(async (node) => node.spec.proxy?.[Symbol.asyncDispose]()));
    await this.#log.close();
    this.closeRecord();
    await this.#folder.remove();
  }
}

const TASK_MODULE = join(ROOT, "test/support/cluster-task-module.ts");

/** Nodes are told to reach each other at this loopback address, where the proxies listen on the nodes' own ports. */
const PROXY_HOST = "127.0.0.2";

function startProxy(port: number): Promise<PeerProxy> {
  return PeerProxy.start({ host: PROXY_HOST, port }, { host: "127.0.0.1", port });
}
