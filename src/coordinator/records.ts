/**
 * The records of a cell as text (JSON), in and out, for both coordinators. What is read was written by another process or
 * by hand, so every decoder checks the whole shape and answers `null` instead of trusting it. Pure.
 */
import type {
  InSyncRecord,
  LeaderInfo,
  MemberInfo,
  ProcessIdentity,
  TopicRecord,
  WatermarksRecord,
} from "./coordinator.ts";

/** What stands in a new cell. `clean` is false: "never written" is no evidence of a clean stop. */
export const INITIAL_IN_SYNC: InSyncRecord = { epoch: 0, incarnations: [] };
export const INITIAL_WATERMARKS: WatermarksRecord = { clean: false, partitions: {} };

type Fields = Readonly<Record<string, unknown>>;

function parseObject(text: string): Fields | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
  return asFields(value);
}

function asFields(value: unknown): Fields | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return value as Fields;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isText);
}

function decodeProcess(value: unknown): ProcessIdentity | null {
  const fields = asFields(value);
  if (fields === null) return null;
  const { kernelBootId, pidNamespace, pid, startTime } = fields;
  if (!isText(kernelBootId) || !isText(pidNamespace) || !isCount(pid) || !isText(startTime)) return null;
  return { kernelBootId, pidNamespace, pid, startTime };
}

export function encodeMember(member: MemberInfo): string {
  const { nodeId, bootId, peerAddress, httpAddress, protocolVersion, process } = member;
  return JSON.stringify({ nodeId, bootId, peerAddress, httpAddress, protocolVersion, process });
}

/** @returns null when the text is not a member's record. */
export function decodeMember(text: string): MemberInfo | null {
  const fields = parseObject(text);
  if (fields === null) return null;
  const { nodeId, bootId, peerAddress, httpAddress, protocolVersion } = fields;
  const process = decodeProcess(fields["process"]);
  if (process === null || !isText(nodeId) || nodeId === "" || !isText(bootId)) return null;
  if (!isText(peerAddress) || !isText(httpAddress) || !isCount(protocolVersion)) return null;
  return { nodeId, bootId, peerAddress, httpAddress, protocolVersion, process };
}

export function encodeLeader(leader: LeaderInfo): string {
  return JSON.stringify({ nodeId: leader.nodeId, bootId: leader.bootId, epoch: leader.epoch });
}

export function decodeLeader(text: string): LeaderInfo | null {
  const fields = parseObject(text);
  if (fields === null) return null;
  const { nodeId, bootId, epoch } = fields;
  if (!isText(nodeId) || nodeId === "" || !isText(bootId) || !isCount(epoch) || epoch < 1) return null;
  return { nodeId, bootId, epoch };
}

export function encodeInSync(record: InSyncRecord): string {
  const { epoch, incarnations, evicted = [] } = record;
  return JSON.stringify(evicted.length === 0 ? { epoch, incarnations } : { epoch, incarnations, evicted });
}

export function decodeInSync(text: string): InSyncRecord | null {
  const fields = parseObject(text);
  if (fields === null) return null;
  const { epoch, incarnations, evicted } = fields;
  if (!isCount(epoch) || !isTexts(incarnations)) return null;
  if (evicted === undefined) return { epoch, incarnations };
  return isTexts(evicted) ? { epoch, incarnations, evicted } : null;
}

export function encodeWatermarks(record: WatermarksRecord): string {
  return JSON.stringify({ clean: record.clean, partitions: record.partitions });
}

export function decodeWatermarks(text: string): WatermarksRecord | null {
  const fields = parseObject(text);
  if (fields === null) return null;
  const clean = fields["clean"];
  const partitions = asFields(fields["partitions"]);
  if (typeof clean !== "boolean" || partitions === null) return null;
  const checked: Record<string, readonly [from: number, watermark: number, dedupEpoch?: number]> = {};
  for (const [name, range] of Object.entries(partitions)) {
    if (!Array.isArray(range) || range.length < 2 || range.length > 3) return null;
    const [from, watermark, dedupEpoch] = range as readonly unknown[];
    if (!isCount(from) || !isCount(watermark) || watermark < from) return null;
    if (dedupEpoch === undefined) checked[name] = [from, watermark];
    else if (isCount(dedupEpoch)) checked[name] = [from, watermark, dedupEpoch];
    else return null;
  }
  return { clean, partitions: checked };
}

export function encodeTopic(record: TopicRecord): string {
  const { generation, dedupEpoch, startAt, topicId, partitions } = record;
  return JSON.stringify({ generation, dedupEpoch, startAt, topicId, partitions });
}

export function decodeTopic(text: string): TopicRecord | null {
  const fields = parseObject(text);
  if (fields === null) return null;
  const { generation, dedupEpoch, startAt, topicId, partitions } = fields;
  if (!isCount(generation) || !isCount(dedupEpoch)) return null;
  if (startAt !== "earliest" && startAt !== "latest" && startAt !== "committed") return null;
  if (topicId !== undefined && !isText(topicId)) return null;
  if (partitions !== undefined && !isCount(partitions)) return null;
  return {
    generation,
    dedupEpoch,
    startAt,
    ...(topicId === undefined ? {} : { topicId }),
    ...(partitions === undefined ? {} : { partitions }),
  };
}

/** The epoch record holds the number alone, so that a person can read and raise it by hand. */
export function encodeEpoch(epoch: number): string {
  return String(epoch);
}

export function decodeEpoch(text: string): number | null {
  if (!/^\d{1,15}$/.test(text)) return null;
  return Number(text);
}
