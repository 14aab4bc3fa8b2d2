/**
 * The handshake's three frames. A hello names who speaks, whom it expects (R2), and the parameters that both must share
 * (R19), as texts, so that a refusal can name the one that differs. Its first three elements never change, so that
 * versions that differ can say so to each other.
 */
import { Encoder } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { decodeBody } from "./codec.ts";
import { list, record, text, unpackFields, type Fields } from "./fields.ts";
import { HELLO_BYTES_MAX, NODE_ID_LENGTH_MAX, PROTOCOL_VERSION } from "./limits.ts";
import { protocolError } from "./protocol-error.ts";

const MAGIC = "vouch-peer";

/** Kind numbers of the handshake. */
export const HelloKind = { hello: 1, accepted: 2, refused: 3 } as const;

export interface HelloParameter {
  readonly name: string;
  readonly value: string;
}

export interface Hello {
  readonly cell: string;
  readonly clusterUuid: string;
  readonly nodeId: string;
  readonly bootId: string;
  readonly expectedNodeId: string;
  readonly expectedBootId: string;
  readonly parameters: readonly HelloParameter[];
}

export type HelloFrame =
  | { readonly type: "hello"; readonly version: number; readonly hello: Hello | null } // null: another version's layout
  | { readonly type: "accepted"; readonly version: number; readonly hello: Hello | null }
  | { readonly type: "refused"; readonly reason: string };

export function helloBytesMax(kind: number): number {
  return kind >= HelloKind.hello && kind <= HelloKind.refused ? HELLO_BYTES_MAX : 0;
}

const nodeId = text(NODE_ID_LENGTH_MAX, /^[^/\s]+$/);
const bootId = text(64, /^[0-9a-f]{32}$/);
const reason = text(1024);
const fields: Fields<Hello> = {
  cell: text(128),
  clusterUuid: text(64),
  nodeId,
  bootId,
  expectedNodeId: nodeId,
  expectedBootId: bootId,
  parameters: list(record<HelloParameter>({ name: text(64), value: text(1024) }), 64),
};
const names = Object.keys(fields) as (keyof Hello)[];
const encoder = new Encoder({ maxDepth: 8 });

export function encodeHello(type: "hello" | "accepted", hello: Hello): Uint8Array {
  const values: unknown[] = [HelloKind[type], MAGIC, PROTOCOL_VERSION];
  for (const name of names) values.push(name === "parameters" ? fields[name].pack(hello[name]) : hello[name]);
  const body = encoder.encode(values);
  assert(body.length <= HELLO_BYTES_MAX, `a hello of ${body.length} bytes: shorten the parameters`);
  return body;
}

export function encodeRefusal(why: string): Uint8Array {
  return encoder.encode([HelloKind.refused, MAGIC, PROTOCOL_VERSION, why.slice(0, 1000)]);
}

/** @throws VouchError "protocol" */
export function decodeHello(body: Uint8Array): HelloFrame {
  const raw = decodeBody(body);
  const [kind, magic, version] = raw;
  if (magic !== MAGIC || typeof version !== "number") throw protocolError("the other end does not speak this protocol");
  if (kind === HelloKind.refused) return { type: "refused", reason: printable(reason.unpack(raw[3], "reason")) };
  if (kind !== HelloKind.hello && kind !== HelloKind.accepted) throw protocolError("not a frame of the handshake");
  const type = kind === HelloKind.hello ? "hello" : "accepted";
  if (version !== PROTOCOL_VERSION) return { type, version, hello: null };
  if (raw.length !== 3 + names.length) throw protocolError(`a hello of ${raw.length} elements`);
  return { type, version, hello: unpackFields(fields, names, raw, 3) };
}

/** The text goes into logs, and nobody is authenticated yet. */
function printable(given: string): string {
  return given.replace(/[^\x20-\x7e]/g, "?");
}
