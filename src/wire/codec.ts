/**
 * Peer messages <-> bodies of frames: a msgpack array [kind number, boot id of the receiver (R2), ...fields].
 *
 * Guarantees: what `decodeMessage` answers has the shape, ranges and consistent lengths of its type, whatever bytes came
 * in; anything else is VouchError "protocol". Its typed arrays may alias the body, which must not be written again.
 * `MessageEncoder.encode` answers a view that the next call overwrites.
 */
import { Decoder, Encoder } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import type { PeerMessage } from "../core/messages.ts";
import { text, type Field } from "./fields.ts";
import { ARRAY_LENGTH_MAX, BULK_BYTES_MAX, DEPTH_MAX, PROTOCOL_VERSION, STRING_BYTES_MAX } from "./limits.ts";
import { protocolError } from "./protocol-error.ts";
import { scanBody } from "./scan.ts";
import { schemas, type Kind } from "./schema.ts";

/** Names the layout of messages; part of the parameter set that peers compare (R19). */
export const CODEC_NAME = `vouch-msgpack-${PROTOCOL_VERSION}`;

export interface DecodedMessage {
  readonly receiverBootId: string; // whom the sender meant (R2)
  readonly message: PeerMessage;
}

interface MessageCodec {
  readonly kind: Kind;
  readonly number: number;
  readonly bytesMax: number;
  readonly names: readonly string[];
  readonly fields: readonly Field<unknown>[];
}

const bootIdField = text(64, /^[0-9a-f]{32}$/);
const byKind = new Map<Kind, MessageCodec>();
const byNumber = new Map<number, MessageCodec>();
for (const kind of Object.keys(schemas) as Kind[]) {
  const { number, bytesMax, fields } = schemas[kind];
  const names = Object.keys(fields);
  // The table pairs each name with the field of its type; walking it by name is where the types cannot follow.
  const loose = fields as unknown as Readonly<Record<string, Field<unknown>>>;
  const codec = { kind, number, bytesMax, names, fields: names.map((name) => loose[name]!) };
  assert(number >= 16 && number <= 0x7f && !byNumber.has(number), `kind number ${number} is taken or too large`);
  byKind.set(kind, codec);
  byNumber.set(number, codec);
}

/** The most bytes a body of this kind may have; 0: no such kind. */
export function messageBytesMax(kind: number): number {
  return byNumber.get(kind)?.bytesMax ?? 0;
}

/** A msgpack decoder with every limit set; only for bodies that passed `scanBody`. */
const decoder = new Decoder({
  maxStrLength: STRING_BYTES_MAX,
  maxBinLength: BULK_BYTES_MAX,
  maxArrayLength: ARRAY_LENGTH_MAX,
  maxMapLength: 0,
  maxExtLength: 0,
});

/** A body as plain values. @throws VouchError "protocol" */
export function decodeBody(given: Uint8Array): readonly unknown[] {
  // A Buffer would pass its own `slice`, which does not copy, on to every binary field.
  const body = Buffer.isBuffer(given) ? new Uint8Array(given.buffer, given.byteOffset, given.length) : given;
  scanBody(body);
  let decoded: unknown;
  try {
    decoded = decoder.decode(body);
  } catch (error) {
    throw protocolError("a frame that msgpack cannot read", error);
  }
  if (!Array.isArray(decoded)) throw protocolError("the frame is not an array");
  return decoded;
}

/** @throws VouchError "protocol" */
export function decodeMessage(body: Uint8Array): DecodedMessage {
  const raw = decodeBody(body);
  const codec = typeof raw[0] === "number" ? byNumber.get(raw[0]) : undefined;
  if (codec === undefined) throw protocolError(`unknown kind ${String(raw[0]).slice(0, 20)}`);
  if (body.length > codec.bytesMax) {
    throw protocolError(`${codec.kind}: ${body.length} bytes, more than ${codec.bytesMax}`);
  }
  if (raw.length !== 2 + codec.names.length) {
    throw protocolError(`${codec.kind}: ${raw.length} elements, expected ${2 + codec.names.length}`);
  }
  const receiverBootId = bootIdField.unpack(raw[1], "receiver");
  const message: Record<string, unknown> = { kind: codec.kind };
  for (let index = 0; index < codec.names.length; index++) {
    const name = codec.names[index]!;
    message[name] = codec.fields[index]!.unpack(raw[index + 2], `${codec.kind}.${name}`);
  }
  // Every field of this kind was unpacked by the table.
  return { receiverBootId, message: message as unknown as PeerMessage };
}

export class MessageEncoder {
  readonly #encoder = new Encoder({ maxDepth: DEPTH_MAX + 1, initialBufferSize: 64 * 1024 });

  /**
   * The body of a frame; valid until the next call. The sender keeps its batches below the limits, so a message that is
   * too large is a programmer's error.
   */
  encode(receiverBootId: string, message: PeerMessage): Uint8Array {
    const codec = byKind.get(message.kind);
    assert(codec !== undefined, `no codec for ${message.kind}`);
    const values: unknown[] = [codec.number, receiverBootId];
    const loose = message as unknown as Readonly<Record<string, unknown>>;
    for (let index = 0; index < codec.names.length; index++) {
      values.push(codec.fields[index]!.pack(loose[codec.names[index]!]));
    }
    const body = this.#encoder.encodeSharedRef(values);
    assert(body.length <= codec.bytesMax, `${message.kind}: ${body.length} bytes, more than ${codec.bytesMax}`);
    return body;
  }
}
