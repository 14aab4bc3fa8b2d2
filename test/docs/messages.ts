/**
 * What README and docs/operating.md quote from the product: each item of two lists begins with a message in backticks, in
 * which "…" stands for anything. `PROVOKED` has every one of them, with the test that makes the product say it.
 */
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "..", "..");

/** The lists, by file and heading. */
const LISTS = [
  ["README.md", "## Troubleshooting"],
  ["docs/operating.md", "## When a node asks for a person"],
] as const;

/**
 * Which test file beside this one shows a message: processes with the embedded log, a cell in virtual time, or real servers.
 * Or another test that expects these words of it.
 */
export type Stage = "processes" | "cell" | "servers" | { readonly file: string; readonly words: string };

export const Message = {
  onUnknown: 'payments.ts: onUnknown: expected "execute", "drop" or "park", got nothing; …',
  together:
    "--kafka-brokers (KAFKA_BROKERS) and --zookeeper (ZOOKEEPER_CONNECT) need each other: expected both or neither, got …",
  kafkaPort: "topic payments cannot be opened yet: Kafka …: describing payments failed: …",
  zookeeperPort: "ZooKeeper …: connect ECONNREFUSED …",
  noTopic: "topic payments does not exist yet: create it, the cell waits for it",
  alone: "waiting for 1 more node (min-in-sync 2); start another, or --single-node on all",
  noLink:
    "waiting for 1 more node (min-in-sync 2); no link from n2: can it reach this node's --peer-listen, or its --advertise-host?",
  unreachable: "waiting for a link to the leader n1: n1 at … cannot be reached: …",
  parameters:
    "waiting for a link to the leader n1: no link to n1: the other end refused: parameter …: n1 has …, n2 has …",
  portTaken: "--http-listen … cannot be opened: another process has this port; …",
  notLoopback:
    "peers are not authenticated: expected --peer-listen on a loopback address, or --insecure where only peers reach it; got …",
  nodeIdTaken: "node id n1 is still registered by another session, perhaps of its last run: waiting until that expires",
  takeover: "… stopped: takeover refused: the group has committed offset …, which is not Vouch's; …",
  otherCell:
    "… stopped: takeover refused: committed offset … is another cell's: either two cells share this consumer group, …; or ZooKeeper's data of the cell was lost, …",
  groupInUse:
    "Kafka …: group vouch is in use by another cell or another program, …: give this cell a group of its own (--kafka-group-id), or stop the other …",
  recordsGone: "ZooKeeper … has no records of this cell any more (…). …",
  belowFrom: "… stopped: position … lies below …, where this cell began to read; …",
  epochFell: "… stopped: the partition's leader epoch fell from … to …",
  cut: "… stopped: the log was cut and written anew (…): …",
  deleted: "… stopped: offsets … to … were deleted from the log before they were read, …",
  replaced: "… stopped: topic payments was deleted and created again (…): …",
  unreadable: "… reads no further: the task log cannot be read from offset … on",
  commitRefused: "… stopped: the task log refuses commits: …",
  foreignCommit: "…: committed offset … was not written by this cell (watermark …)",
  skipped: "…: … offsets were skipped by a commit that is not this cell's; begins anew at …",
  offsetsLost: "…: the group's committed offset is gone; …",
  filterAnew: "the Bloom filter begins anew, since all its holders were down: …",
  unexpectedSeen: "…: a member's filter knew offset …, the leader's did not",
  hangs: "the handler of … neither ended in its time nor obeyed its abort signal…; killing process …. …",
  exits: "vouch: this process ends while the handler of … ran, and nobody stopped the node: …",
  rejected: "a promise was rejected and nobody awaited it: …; to do: await every promise in the handler that makes it",
  setAside: "a task is …; its record is in ….…",
  loopLag: "the event loop stood still for … (alarm at …): …",
  slowVerdicts: "… (alarm at …): each waits for the leader and for the slowest member of the in-sync set…",
  dedupEpoch: "dedup-epoch: topic payments is at dedup epoch 1 in this cell, expected at least that, got 0",
  cannotSetAside: "could not write to …; it will be tried again",
} as const;

export const PROVOKED: Readonly<Record<keyof typeof Message, Stage>> = {
  onUnknown: "processes",
  together: "processes",
  kafkaPort: "servers",
  zookeeperPort: "processes",
  noTopic: "processes",
  alone: "processes",
  noLink: "processes",
  unreachable: "processes",
  parameters: "processes",
  portTaken: "processes",
  notLoopback: "processes",
  nodeIdTaken: "processes",
  takeover: "cell",
  otherCell: "cell",
  groupInUse: {
    file: "test/requirements/meddling-cells.test.ts",
    words: "give this cell a group of its own (--kafka-group-id), or stop the other",
  },
  recordsGone: {
    file: "test/requirements/meddling-zookeeper.test.ts",
    words: "has no records of this cell any more",
  },
  belowFrom: "cell",
  epochFell: "cell",
  cut: { file: "test/requirements/meddling-topics.test.ts", words: "the log was cut and written anew" },
  deleted: {
    file: "test/requirements/meddling-offsets.test.ts",
    words: "were deleted from the log before they were read",
  },
  replaced: { file: "test/requirements/meddling-topics.test.ts", words: "was deleted and created again (" },
  unreadable: "cell",
  commitRefused: "cell",
  foreignCommit: "cell",
  skipped: "cell",
  offsetsLost: "cell",
  filterAnew: "cell",
  unexpectedSeen: "cell",
  hangs: {
    file: "test/requirements/misbehaving-handlers.test.ts",
    words: "neither ended in its time nor obeyed its abort signal",
  },
  exits: { file: "test/requirements/misbehaving-handlers.test.ts", words: "nobody stopped the node: " },
  rejected: {
    file: "test/requirements/misbehaving-handlers.test.ts",
    words: "a promise was rejected and nobody awaited it: ",
  },
  setAside: { file: "test/requirements/misbehaving-handlers.test.ts", words: "; its record is in " },
  loopLag: "cell",
  slowVerdicts: "cell",
  dedupEpoch: "processes",
  cannotSetAside: "cell",
};

/** The keys that one test file must provoke. */
export function messagesOf(stage: string): readonly (keyof typeof Message)[] {
  return (Object.keys(PROVOKED) as (keyof typeof Message)[]).filter((key) => PROVOKED[key] === stage);
}

/** The first code span of each item of the lists, as it is written. */
export async function quotedMessages(): Promise<readonly string[]> {
  const found: string[] = [];
  for (const [file, heading] of LISTS) {
    const text = await Bun.file(join(ROOT, file)).text();
    const begin = text.indexOf(`\n${heading}\n`);
    if (begin < 0) throw new Error(`${file} has no ${heading}`);
    const end = text.indexOf("\n## ", begin + heading.length);
    const section = text.slice(begin, end < 0 ? undefined : end);
    found.push(...[...section.matchAll(/^- `([^`]+)`/gm)].map((match) => match[1]!));
  }
  return found;
}

/** Log lines are JSON: their messages; any other line as it is. */
export function spoken(output: string): string {
  return output
    .split("\n")
    .map((line) => {
      if (!line.startsWith("{")) return line;
      const { message, error } = JSON.parse(line) as { message?: string; error?: string };
      return `${message ?? ""} ${error ?? ""}`;
    })
    .join("\n");
}

/** Whether this output says it, "…" being anything within a line. */
export function says(output: string, quoted: string): boolean {
  const parts = quoted.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(parts.join(".*"), "m").test(spoken(output));
}
