/** A socket at a node's peer port that says what no node would say: garbage, or a hello of another cell, version or parameter. */
import { Encoder } from "@msgpack/msgpack";
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { coreSettings, nodeConfig, parameterSet } from "../../src/config/node-config.ts";
import { helloTo, type ExpectedPeer, type PeerIdentity } from "../../src/links/handshake.ts";
import { KEY_FORMAT } from "../../src/runtime/batch-hasher.ts";
import { CODEC_NAME } from "../../src/wire/codec.ts";
import { LENGTH_BYTES, writeLength } from "../../src/wire/frame.ts";
import { decodeHello, encodeHello } from "../../src/wire/hello.ts";
import { RawSocket, until } from "../links/support.ts";

/** The body with its length in front. */
export function frame(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES + body.length);
  writeLength(bytes, 0, body.length);
  bytes.set(body, LENGTH_BYTES);
  return bytes;
}

/** The beginning of a frame that promises `bodyBytes`: its length, and an array whose first element is the kind. */
export function promise(bodyBytes: number, kind: number): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES + 2);
  writeLength(bytes, 0, bodyBytes);
  bytes.set([0x9a, kind], LENGTH_BYTES);
  return bytes;
}

/** What a node of the embedded cell in `dataDir` says about itself, for a node id that nobody has. */
export function strangerOf(dataDir: string, topic: string): PeerIdentity {
  const database = new Database(join(dataDir, "coordinator-default.sqlite"), { readonly: true });
  const row = database.query<{ value: string }, []>("SELECT value FROM records WHERE name = 'uuid'").get();
  database.close();
  const bootId = "ab".repeat(16);
  const topics = [{ name: topic, generation: 1, onUnknown: "park", hasCheck: false } as const];
  const config = nodeConfig({ dataDir });
  const settings = coreSettings(config, topics, row!.value, bootId);
  const formats = [
    { name: "codec", value: CODEC_NAME },
    { name: "key format", value: KEY_FORMAT },
  ];
  const parameters = [...parameterSet(settings, config.kafkaGroupId), ...formats];
  return { cell: config.cell, clusterUuid: row!.value, nodeId: "stranger", bootId, parameters };
}

/** A hello as `self`, to the node that `peer` names; with `version`, in the words of another protocol version. */
export function helloOf(self: PeerIdentity, peer: ExpectedPeer, version?: number): Uint8Array {
  if (version !== undefined) return frame(new Encoder().encode([1, "vouch-peer", version, "other fields"]));
  return frame(encodeHello("hello", helloTo(self, peer)));
}

/** Sends the bytes and waits for the first answer: "accepted", "refused: …", or "closed" when the other end just closes. */
export async function knock(address: string, bytes: Uint8Array): Promise<{ socket: RawSocket; answer: string }> {
  const socket = await RawSocket.open(address);
  let closed = false;
  void socket.closed.then(() => (closed = true));
  socket.write(bytes);
  await until(() => closed || socket.bytes.length > LENGTH_BYTES);
  if (socket.bytes.length <= LENGTH_BYTES) return { socket, answer: "closed" };
  const answer = decodeHello(
    new Uint8Array(socket.bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + socket.bytes.readUInt32BE(0))),
  );
  return { socket, answer: answer.type === "refused" ? `refused: ${answer.reason}` : answer.type };
}
