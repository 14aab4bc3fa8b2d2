/** Records come from other processes and from people's hands: every decoder refuses what is not exactly its shape. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import * as records from "../../src/coordinator/records.ts";
import { memberInfo } from "../conformance/coordinator-spec.ts";

const MEMBER = memberInfo("a");
const CASES = [
  { encode: () => records.encodeMember(MEMBER), decode: records.decodeMember },
  { encode: () => records.encodeLeader({ nodeId: "a", bootId: "b", epoch: 3 }), decode: records.decodeLeader },
  { encode: () => records.encodeInSync({ epoch: 3, incarnations: ["a/1", "b/2"] }), decode: records.decodeInSync },
  {
    encode: () => records.encodeWatermarks({ clean: true, partitions: { "t#0": [1, 5] } }),
    decode: records.decodeWatermarks,
  },
  {
    encode: () => records.encodeTopic({ generation: 1, dedupEpoch: 2, startAt: "latest" }),
    decode: records.decodeTopic,
  },
] as const;

test("what was written is read back", () => {
  for (const { encode, decode } of CASES) expect(JSON.stringify(decode(encode()))).toBe(encode());
  const inSync = { epoch: 3, incarnations: ["a/1"], evicted: ["b/2", "*"] };
  expect(records.decodeInSync(records.encodeInSync(inSync))).toEqual(inSync);
  // A node of an older version reads neither less nor more than it wrote.
  expect(records.encodeInSync({ ...inSync, evicted: [] })).toBe('{"epoch":3,"incarnations":["a/1"]}');
  expect(records.decodeEpoch(records.encodeEpoch(41))).toBe(41);
});

test("a record of which any one field is missing or of another type is refused", () => {
  for (const { encode, decode } of CASES) {
    const fields = JSON.parse(encode()) as Record<string, unknown>;
    for (const name of Object.keys(fields)) {
      for (const wrong of [undefined, null, -1, 1.5, ["x", 1], { "t#0": [5, 1] }, { "t#0": [1] }]) {
        const text = JSON.stringify({ ...fields, [name]: wrong });
        expect([text, decode(text)]).toEqual([text, null]);
      }
    }
  }
});

test("names beside the in-sync set may be missing, and are names", () => {
  for (const evicted of [null, "a/1", [1], [["a/1"]], {}])
    expect(records.decodeInSync(JSON.stringify({ epoch: 3, incarnations: [], evicted }))).toBeNull();
});

test("any other text is refused, never thrown at", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      for (const { decode } of CASES) expect(decode(text)).toBeNull();
    }),
  );
  for (const text of ["", "-1", "1.5", "1e3", " 1", "9".repeat(16), "x"]) expect(records.decodeEpoch(text)).toBeNull();
});
