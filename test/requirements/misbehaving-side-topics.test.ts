/**
 * `.dead` or `.parked` cannot be written, on real Kafka and ZooKeeper: the tasks above go on, the commit waits, /readyz says
 * why and what to do, and when somebody has done it everything ends as it should, without a restart.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Admin, Kafka, logLevel } from "kafkajs";
import { sharedServers } from "../support/cluster-servers.ts";
import { ProcessCell } from "../support/process-cell.ts";

const LIMIT_MS = 60_000;
const PARTITIONS = 4;

let cell: ProcessCell;
let admin: Admin;

beforeAll(async () => {
  const servers = await sharedServers();
  admin = new Kafka({ brokers: [servers.kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  cell = await ProcessCell.open({
    name: "side",
    nodes: 2,
    partitions: PARTITIONS,
    servers,
    options: { attemptsMax: 2, retryBackoffMs: 20, effectSettleMs: 200, checkAttemptsMax: 1 },
  });
}, 2 * LIMIT_MS);

afterAll(async () => {
  await cell?.[Symbol.asyncDispose]();
  await admin?.disconnect();
});

async function configure(topic: string, name: string, value: string): Promise<void> {
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: 2, name: topic, configEntries: [{ name, value }] }],
  });
}

const deadTopic = (): string => `${cell.topic}.dead`;
const parkedTopic = (): string => `${cell.topic}.parked`;

/** What /readyz of the partition's owner says about records that are to be set aside; "" when it says nothing. */
async function trouble(partition: number): Promise<string> {
  const { code, failing } = await cell.readyz(await cell.owner(partition));
  const said = failing["set-aside"] ?? "";
  if (said !== "") expect(code).toBe(503);
  return said;
}

async function idsIn(kind: "dead" | "parked"): Promise<string[]> {
  const ids = (await cell.setAside(kind)).map(({ headers }) => new TextDecoder().decode(headers["task-id"]));
  return [...new Set(ids)];
}

test(
  "R23: .dead refuses a record and .parked is gone: the commit waits, /readyz says why, and it goes on when that is mended",
  async () => {
    await configure(deadTopic(), "max.message.bytes", "60");
    await admin.deleteTopics({ topics: [parkedTopic()] });
    const above = [0, 1, 2, 3].map((partition) => ({ partition, id: `above-${partition}` }));
    await cell.produce([
      { partition: 0, id: "fails", work: { handler: "throws-string" } },
      { partition: 1, id: "unknown", work: { handler: "says-unknown", check: "says-unknown" } },
      ...above,
    ]);
    await cell.waitFor("the effects above them", () => above.every(({ id }) => cell.effectsOf(id).length === 1));

    await cell.waitFor("why, for .dead", async () => (await trouble(0)).includes(deadTopic()));
    expect(await trouble(0)).toMatch(
      /takes no records, for \d+ s; the commits .* wait for it: writing to .* failed: .*larger than the max message size/,
    );
    expect(await trouble(0)).toContain(`; to do: raise max.message.bytes of ${deadTopic()}`);
    const create = `to do: create topic ${parkedTopic()}`;
    await cell.waitFor("why, for .parked", async () => (await trouble(1)).includes(create));
    for (const partition of [0, 1]) expect(await cell.lag(partition)).toBe(2);
    await cell.waitFor("the other partitions' commits", async () => (await cell.lag(2)) + (await cell.lag(3)) === 0);

    // Who dies meanwhile leaves it to the next owner.
    await (await cell.owner(0)).kill();
    await cell.waitFor("why, from its next owner", async () => {
      const answers = await Promise.all(cell.nodes.map((node) => cell.readyz(node)));
      return cell.restarts > 0 && answers.some(({ failing }) => failing["set-aside"]?.includes(deadTopic()) === true);
    });
    expect(await idsIn("dead")).toEqual([]);
    expect(await cell.lag(0)).toBe(2);

    await configure(deadTopic(), "max.message.bytes", "1000000");
    await admin.createTopics({ topics: [{ topic: parkedTopic(), numPartitions: 2 }] });
    await cell.settled();
    expect(await idsIn("dead")).toEqual(["fails"]);
    expect(await idsIn("parked")).toEqual(["unknown"]);
    await cell.waitFor("readiness", async () =>
      (await Promise.all(cell.nodes.map((node) => cell.readyz(node)))).every(({ code }) => code === 200),
    );
    expect(cell.output()).toContain(`could not write to ${deadTopic()}; it will be tried again`);
    expect(cell.output()).toContain(`${deadTopic()} takes records again`);
    expect(cell.output()).toContain(`a task is dead: every attempt failed; its record is in ${deadTopic()}`);
    expect(cell.starts("unknown")).toHaveLength(1);
    const effects = cell.effects().filter(({ kind }) => kind === "effect");
    expect(effects.map(({ taskId }) => taskId).toSorted()).toEqual(above.map(({ id }) => id));
  },
  LIMIT_MS,
);
