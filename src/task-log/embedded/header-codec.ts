/**
 * Record headers as one blob: for each header the length of its name (u32), the name in UTF-8, the length of its value
 * (u32) and the value, big-endian. No headers are stored as null.
 */

import { VouchError } from "../../errors.ts";

const lengthBytes = 4;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8");

export function encodeHeaders(headers: Readonly<Record<string, Uint8Array | string>>): Uint8Array | null {
  const parts = Object.entries(headers).flatMap(([name, value]) => [encoder.encode(name), toBytes(value)]);
  if (parts.length === 0) return null;
  const encoded = new Uint8Array(parts.reduce((total, part) => total + lengthBytes + part.length, 0));
  const view = new DataView(encoded.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length);
    encoded.set(part, at + lengthBytes);
    at += lengthBytes + part.length;
  }
  return encoded;
}

/** @throws VouchError "task-log" when the blob is damaged */
export function decodeHeaders(encoded: Uint8Array | null): Record<string, Uint8Array> {
  // Without a prototype, so that a header may be named like one of its properties.
  const headers: Record<string, Uint8Array> = Object.create(null);
  if (encoded === null) return headers;
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  let at = 0;
  const next = (): Uint8Array => {
    const end = at + lengthBytes <= encoded.length ? at + lengthBytes + view.getUint32(at) : Number.POSITIVE_INFINITY;
    if (end > encoded.length) throw new VouchError("task-log", "the headers of a stored record are damaged");
    const part = encoded.subarray(at + lengthBytes, end);
    at = end;
    return part;
  };
  while (at < encoded.length) {
    const name = decoder.decode(next());
    headers[name] = next();
  }
  return headers;
}

export function toBytes(value: Uint8Array | string): Uint8Array {
  return typeof value === "string" ? encoder.encode(value) : value;
}
