/** A broker whose disk gives other bytes than it was given: each partition stops where it is damaged, and only there. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { withCluster } from "../support/cluster.ts";
import { type ClusterServers, startServers } from "../support/cluster-servers.ts";
import { javaClient } from "./java-client.ts";

let servers: ClusterServers;
beforeAll(async () => {
  servers = await startServers();
}, 120_000);
afterAll(async () => {
  await Promise.all([servers.kafka.stop(), servers.zookeeper.stop()]);
}, 60_000);

/** A partition each; the last one stays sound. */
const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"];
const SOUND = CODECS.length;
const EACH = 300;

interface Damage {
  /** Of the first record in the damaged batch: all before it can be read. */
  readonly offset: number;
  repair(): Promise<void>;
}

/** Turns one bit around in the data of a batch in the middle of the partition's segment. */
async function damage(topic: string, partition: number): Promise<Damage> {
  const path = join(servers.kafka.dataFolder, `${topic}-${partition}`, "00000000000000000000.log");
  const bytes = await readFile(path);
  let at = 0;
  let end = 12 + bytes.readInt32BE(8);
  while (end < bytes.length / 2) {
    at = end;
    end += 12 + bytes.readInt32BE(at + 8);
  }
  const victim = Math.floor((at + 61 + end) / 2);
  const write = async (value: number): Promise<void> => {
    const file = await open(path, "r+");
    await file.write(Buffer.from([value]), 0, 1, victim);
    await file.close();
  };
  await write(bytes[victim]! ^ 0x10);
  return { offset: Number(bytes.readBigInt64BE(at)), repair: () => write(bytes[victim]!) };
}

test("a damaged batch stops its partition with an error that says where; the rest goes on, and repaired nothing is lost", async () => {
  await withCluster({ nodes: 0, partitions: CODECS.length + 1, servers }, async (cluster) => {
    const { topic } = cluster;
    const { brokers } = servers.kafka;
    const steps = [...CODECS, "lz4"].map((codec, partition) => {
      return ["records", `${topic}:${partition}`, codec, String(EACH), `${partition}-`];
    });
    await javaClient(brokers, ...steps);
    const damages = await Promise.all(CODECS.map((_, partition) => damage(topic, partition)));

    await cluster.addNode({ waitUntilReady: false });
    await cluster.addNode({ waitUntilReady: false });
    await cluster.ready();
    const logs = (): string => cluster.nodes.map((node) => node.log()).join("");
    await cluster.waitFor("what stands before the damage, committed", async () => {
      const offsets = await cluster.offsets();
      return damages.every(({ offset }, partition) => offsets[partition]?.committed === offset);
    });
    for (const [partition, { offset }] of damages.entries()) {
      expect(offset).toBeGreaterThan(0);
      expect(offset).toBeLessThan(EACH);
      expect(logs()).toContain(
        `${topic}/${partition} reads no further: the task log cannot be read from offset ${offset} on`,
      );
    }
    // The log leaves out what it said a moment ago with other numbers: at least one names the reason.
    const where = damages.map(
      ({ offset }, partition) => `${topic}[#/]${partition} [^"]*record batch at offset ${offset}`,
    );
    expect(logs()).toMatch(new RegExp(`(${where.join("|")}) cannot be read: its checksum does not fit its bytes`));
    // The sound partition, also with what comes later.
    await javaClient(brokers, ["records", `${topic}:${SOUND}`, "zstd", "50", "late-"]);
    await cluster.waitFor("the sound partition's end", async () => {
      const sound = (await cluster.offsets())[SOUND];
      return sound?.logEnd === EACH + 50 && sound.committed === sound.logEnd;
    });
    const executed = (): string[] => cluster.effects().flatMap((line) => (line.kind === "effect" ? [line.taskId] : []));
    const readable = damages.reduce((total, { offset }) => total + offset, 0);
    expect(executed().length).toBe(readable + EACH + 50);

    await Promise.all(damages.map((each) => each.repair()));
    expect(await Promise.all(cluster.nodes.map((node) => node.drain()))).toEqual([0, 0]);
    await Promise.all(cluster.nodes.map((node) => node.restart()));
    await cluster.ready();
    await cluster.settled();
    expect(executed().length).toBe(EACH * (CODECS.length + 1) + 50);
    expect(new Set(executed()).size).toBe(executed().length);
    expect(cluster.counter("parked")).toBe(0);
  });
}, 120_000);
