/**
 * What the coordinator does in ZooKeeper, step by step, on a session that somebody else keeps alive. No state, no watches'
 * consequences, no retries over time: a request that got no answer ends the recipe.
 *
 * Every function throws VouchError "unavailable" when a request had no answer or could not be sent, and "refused" when ZooKeeper
 * refused it for a reason that asking again will not mend.
 *
 * Slightly over 300 lines: one short recipe a need of the port, which share the four helpers at the top.
 */
import { VouchError } from "../../errors.ts";
import type {
  InSyncRecord,
  LeaderInfo,
  MemberInfo,
  TopicRecord,
  Versioned,
  WatermarksRecord,
  WriteOutcome,
} from "../coordinator.ts";
import {
  INITIAL_IN_SYNC,
  INITIAL_WATERMARKS,
  decodeEpoch,
  decodeInSync,
  decodeLeader,
  decodeMember,
  decodeTopic,
  decodeWatermarks,
  encodeEpoch,
  encodeInSync,
  encodeLeader,
  encodeMember,
  encodeTopic,
  encodeWatermarks,
} from "../records.ts";
import type { CellPaths } from "./connect-string.ts";
import type { Connection } from "./connection-port.ts";
import type { NodeData, Operation, Reply } from "./requests.ts";

/** Sends one request, in one session: "unsent" as soon as that is over. */
export type Ask = <T>(send: (connection: Connection) => Promise<Reply<T>>) => Promise<Reply<T>>;

/** An election won: the epoch's number, and the version of the epoch node that guards this leader's writes. */
export interface Won {
  readonly epoch: number;
  readonly guard: number;
  readonly session: string;
}

export interface Look<T> {
  readonly value: T;
  /** What could not be read, in words. */
  readonly unreadable: readonly string[];
}

const TRIES_MAX = 5;

function valueOf<T>(reply: Reply<T>, what: string): T {
  switch (reply.kind) {
    case "ok":
      return reply.value;
    case "refused":
      throw new VouchError("refused", `ZooKeeper refuses to ${what}: ${reply.text}`);
    case "unknown":
    case "unsent":
      throw new VouchError("unavailable", `ZooKeeper did not answer the request to ${what}`);
    default:
      return reply satisfies never;
  }
}

/** Like `valueOf`, with the refusals that the caller expects answered by null. */
function unless<T>(reply: Reply<T>, what: string, ...expected: readonly string[]): T | null {
  if (reply.kind === "refused" && expected.includes(reply.refusal)) return null;
  return valueOf(reply, what);
}

function decoded<T>(path: string, text: string, decode: (text: string) => T | null): T {
  const value = decode(text);
  if (value === null) throw new VouchError("protocol", `ZooKeeper node ${path} is unreadable: ${text.slice(0, 200)}`);
  return value;
}

async function createNode(ask: Ask, path: string, text: string, mode: "persistent" | "ephemeral"): Promise<boolean> {
  const reply = await ask((connection) => connection.create(path, text, mode));
  return unless(reply, `create ${path}`, "node-exists") !== null;
}

function readNode(ask: Ask, path: string): Promise<NodeData | null> {
  return ask((connection) => connection.getData(path)).then((reply) => unless(reply, `read ${path}`, "no-node"));
}

async function readRequired(ask: Ask, path: string): Promise<NodeData> {
  const node = await readNode(ask, path);
  if (node === null) throw new VouchError("unavailable", `ZooKeeper node ${path} is missing`);
  return node;
}

/** The cluster UUID that stands there now, null when there is none. */
export async function readUuid(ask: Ask, paths: CellPaths): Promise<string | null> {
  return (await readNode(ask, paths.uuid))?.text ?? null;
}

/** Creates what a cell needs and is missing. @returns the cluster UUID: the one that is there, or `drawUuid`'s. */
export async function prepareCell(ask: Ask, paths: CellPaths, drawUuid: () => string): Promise<string> {
  // Asked first: creating below a node that we may only read is refused even when the child is already there.
  const folders = [...paths.ancestors(), paths.members, paths.topics];
  const replies = await Promise.all(folders.map((path) => ask((connection) => connection.exists(path))));
  const there = replies.map((reply, index) => valueOf(reply, `look for ${folders[index] ?? ""}`));
  const missing = folders.filter((_, index) => there[index] !== true);
  for (const path of missing) await createNode(ask, path, "", "persistent");
  await Promise.all([
    prepareGuarded(ask, paths.epoch, encodeEpoch(0)),
    prepareGuarded(ask, paths.inSync, encodeInSync(INITIAL_IN_SYNC)),
    prepareGuarded(ask, paths.watermarks, encodeWatermarks(INITIAL_WATERMARKS)),
  ]);
  if ((await readNode(ask, paths.uuid)) === null) {
    await createNode(ask, paths.uuid, drawUuid(), "persistent");
  }
  return (await readRequired(ask, paths.uuid)).text;
}

/** A node that guards writes must never have version 0: the library sends that as "any version" in a `multi`. */
async function prepareGuarded(ask: Ask, path: string, initial: string): Promise<void> {
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const node = await readNode(ask, path);
    if (node === null) {
      await createNode(ask, path, initial, "persistent");
    } else if (node.version >= 1) {
      return;
    } else {
      const reply = await ask((connection) => connection.setData(path, node.text, 0));
      unless(reply, `set ${path}`, "bad-version", "no-node");
    }
  }
  throw new VouchError("unavailable", `ZooKeeper node ${path} changes too often to be prepared`);
}

/** Reads a node that guards writes; one that somebody made anew by hand is brought to a version that can guard. */
async function readGuarded(ask: Ask, path: string): Promise<NodeData> {
  const node = await readRequired(ask, path);
  if (node.version >= 1) return node;
  await prepareGuarded(ask, path, node.text);
  return readRequired(ask, path);
}

/**
 * Makes our ephemeral member node stand with our data. The write at its end also brings the connected server up to date with
 * everything that was written before it, as ZooKeeper's `sync` does, which the library lacks.
 * @returns "taken" while another session owns the node. It is never deleted: it goes when that session expires.
 */
export async function register(
  ask: Ask,
  paths: CellPaths,
  self: MemberInfo,
  session: string,
): Promise<"registered" | "taken"> {
  const path = paths.member(self.nodeId);
  const text = encodeMember(self);
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const node = await readNode(ask, path);
    if (node === null) {
      if (await createNode(ask, path, text, "ephemeral")) return "registered";
    } else if (node.owner !== session) {
      return "taken";
    } else {
      const reply = await ask((connection) => connection.setData(path, text, node.version));
      if (unless(reply, `set ${path}`, "no-node", "bad-version") !== null) return "registered";
    }
  }
  throw new VouchError("unavailable", `ZooKeeper node ${path} changes too often to be registered`);
}

/** One election: a single `multi` creates the leader node and raises the epoch. @returns null when somebody else leads. */
export async function elect(
  ask: Ask,
  paths: CellPaths,
  candidate: { readonly self: MemberInfo; readonly session: string; readonly highestKnownEpoch: number },
): Promise<Won | null> {
  const { self, session, highestKnownEpoch } = candidate;
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const leader = await readNode(ask, paths.leader);
    const node = await readGuarded(ask, paths.epoch);
    const recorded = decoded(paths.epoch, node.text, decodeEpoch);
    if (leader !== null) {
      // Whose it is says its session, not its text: an earlier run of ours wrote the same name (CURATOR-696).
      if (leader.owner !== session) return null;
      const { epoch } = decoded(paths.leader, leader.text, decodeLeader);
      if (epoch === recorded) return { epoch, guard: node.version, session };
      continue; // the two reads saw different moments
    }
    const epoch = Math.max(recorded, highestKnownEpoch) + 1;
    const text = encodeLeader({ nodeId: self.nodeId, bootId: self.bootId, epoch });
    const reply = await ask((connection) =>
      connection.multi([
        { type: "create-ephemeral", path: paths.leader, text },
        { type: "set", path: paths.epoch, text: encodeEpoch(epoch), version: node.version },
      ]),
    );
    const versions = unless(reply, "elect a leader", "node-exists", "bad-version");
    if (versions !== null) return { epoch, guard: node.version + 1, session };
    // Somebody was faster, or an earlier request of ours arrived after all: look again whose it is.
  }
  throw new VouchError("unavailable", "the leader node changes too often");
}

/** Removes our leader node. Without effect when a later election took place. */
export async function removeLeader(ask: Ask, paths: CellPaths, won: Won): Promise<void> {
  const reply = await ask((connection) =>
    connection.multi([
      { type: "check", path: paths.epoch, version: won.guard },
      { type: "remove", path: paths.leader, version: "any" }, // the check has shown that it can only be ours
    ]),
  );
  unless(reply, "resign", "no-node", "bad-version");
}

/** A leader's write: refused when the epoch node is no longer as this leader's election left it (R3). */
async function writeGuarded(ask: Ask, paths: CellPaths, won: Won, set: Operation): Promise<WriteOutcome> {
  const reply = await ask((connection) =>
    connection.multi([{ type: "check", path: paths.epoch, version: won.guard }, set]),
  );
  if (reply.kind === "refused" && reply.refusal === "bad-version") {
    return { outcome: "refused", reason: reply.operation === 0 ? "fenced" : "conflict" };
  }
  const version = valueOf(reply, `set ${set.path}`)[1];
  return version === undefined ? { outcome: "unknown" } : { outcome: "written", version };
}

export function writeInSync(
  ask: Ask,
  paths: CellPaths,
  won: Won,
  change: { readonly record: InSyncRecord; readonly version: number },
): Promise<WriteOutcome> {
  const text = encodeInSync(change.record);
  return writeGuarded(ask, paths, won, { type: "set", path: paths.inSync, text, version: change.version });
}

export function writeWatermarks(ask: Ask, paths: CellPaths, won: Won, record: WatermarksRecord): Promise<WriteOutcome> {
  const text = encodeWatermarks(record);
  return writeGuarded(ask, paths, won, { type: "set", path: paths.watermarks, text, version: "any" });
}

export async function readInSync(ask: Ask, paths: CellPaths): Promise<Versioned<InSyncRecord>> {
  const node = await readGuarded(ask, paths.inSync);
  return { value: decoded(paths.inSync, node.text, decodeInSync), version: node.version };
}

export async function readWatermarks(ask: Ask, paths: CellPaths): Promise<Versioned<WatermarksRecord>> {
  const node = await readGuarded(ask, paths.watermarks);
  return { value: decoded(paths.watermarks, node.text, decodeWatermarks), version: node.version };
}

export async function ensureTopic(
  ask: Ask,
  paths: CellPaths,
  topic: string,
  initial: TopicRecord,
): Promise<TopicRecord> {
  const path = paths.topic(topic);
  const node = await readNode(ask, path);
  if (node !== null) return decoded(path, node.text, decodeTopic);
  if (await createNode(ask, path, encodeTopic(initial), "persistent")) return initial;
  return decoded(path, (await readRequired(ask, path)).text, decodeTopic);
}

export async function replaceTopic(ask: Ask, paths: CellPaths, topic: string, record: TopicRecord): Promise<void> {
  const path = paths.topic(topic);
  const text = encodeTopic(record);
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const reply = await ask((connection) => connection.setData(path, text, "any"));
    if (unless(reply, `set ${path}`, "no-node") !== null) return;
    if (await createNode(ask, path, text, "persistent")) return;
  }
  throw new VouchError("unavailable", `ZooKeeper node ${path} changes too often to be replaced`);
}

/** The members now. With `watcher`: called once when one comes or goes. No cell: no members. */
export async function readMembers(
  ask: Ask,
  paths: CellPaths,
  watcher?: () => void,
): Promise<Look<readonly MemberInfo[]>> {
  const names = unless(
    await ask((connection) => connection.getChildren(paths.members, watcher)),
    "list the members",
    "no-node",
  );
  const nodes = [...(names ?? [])].sort().map((name) => `${paths.members}/${name}`);
  const read = await Promise.all(nodes.map(async (path) => ({ path, node: await readNode(ask, path) })));
  const unreadable: string[] = [];
  const value: MemberInfo[] = [];
  for (const { path, node } of read) {
    if (node === null) continue; // gone meanwhile: the watch says so too
    const member = decodeMember(node.text);
    if (member === null) unreadable.push(path);
    else value.push(member);
  }
  return { value, unreadable };
}

/** The leader now. With `watcher`: called once when the leader node comes, goes or changes. */
export async function readLeader(ask: Ask, paths: CellPaths, watcher?: () => void): Promise<Look<LeaderInfo | null>> {
  if (watcher !== undefined) {
    const there = valueOf(await ask((connection) => connection.exists(paths.leader, watcher)), "look for the leader");
    if (!there) return { value: null, unreadable: [] };
  }
  const node = await readNode(ask, paths.leader);
  const value = node === null ? null : decodeLeader(node.text);
  return { value, unreadable: node !== null && value === null ? [paths.leader] : [] };
}
