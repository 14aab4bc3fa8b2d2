import { describe, expect, test } from "bun:test";
import { helloTo, judgeHello, type PeerIdentity } from "../../src/links/handshake.ts";
import { PROTOCOL_VERSION } from "../../src/wire/limits.ts";
import { identity } from "./support.ts";

const me = identity("a");

function judge(other: PeerIdentity, meant: { nodeId: string; bootId: string } = me): string {
  const frame = { type: "hello", version: PROTOCOL_VERSION, hello: helloTo(other, meant) } as const;
  const judgement = judgeHello(me, frame, null);
  return judgement.accepted ? "" : judgement.reason;
}

describe("handshake", () => {
  test("accepts a peer of the same cell, cluster and parameters, in any order", () => {
    expect(judge(identity("b"))).toBe("");
    expect(judge(identity("b", { parameters: me.parameters.toReversed() }))).toBe("");
  });

  test("R19: a refusal names the parameter that differs, with both values", () => {
    const [topics, span] = me.parameters;
    expect(judge(identity("b", { parameters: [topics!, { name: "span", value: "10000" }] }))).toBe(
      'parameter span: a has "20000", b has "10000"',
    );
    expect(judge(identity("b", { parameters: [topics!] }))).toBe('parameter span: a has "20000", b has none');
    expect(judge(identity("b", { parameters: [topics!, span!, { name: "seed", value: "1" }] }))).toContain(
      'parameter seed: a has none, b has "1"',
    );
    const all = [
      { name: "topics", value: "bills" },
      { name: "span", value: "1" },
    ];
    expect(judge(identity("b", { parameters: all }))).toBe(
      'parameter topics: a has "orders", b has "bills"; parameter span: a has "20000", b has "1"',
    );
  });

  test("R19: another cell, cluster or version is refused by name", () => {
    expect(judge(identity("b", { cell: "other" }))).toBe('cell: a has "main", b has "other"');
    expect(judge(identity("b", { clusterUuid: "d".repeat(32) }))).toContain('b has "dddd');
    const frame = { type: "hello", version: PROTOCOL_VERSION + 1, hello: null } as const;
    expect(judgeHello(me, frame, null)).toEqual({
      accepted: false,
      reason: `protocol version: a speaks ${PROTOCOL_VERSION}, its peer ${PROTOCOL_VERSION + 1}`,
    });
  });

  test("R2: who means another incarnation of this node is refused", () => {
    expect(judge(identity("b"), { nodeId: "a", bootId: "f".repeat(32) })).toContain("not a/ffff");
    expect(judge(identity("b"), { nodeId: "x", bootId: me.bootId })).toContain("not x/");
  });

  test("R2: the dialler refuses whom it did not dial", () => {
    const found = identity("b");
    const frame = { type: "accepted", version: PROTOCOL_VERSION, hello: helloTo(found, me) } as const;
    expect(judgeHello(me, frame, found).accepted).toBe(true);
    expect(judgeHello(me, frame, { nodeId: "b", bootId: "e".repeat(32) }).accepted).toBe(false);
    expect(judgeHello(me, frame, { nodeId: "c", bootId: found.bootId }).accepted).toBe(false);
  });

  test("a node id that is used twice, or this node itself, is refused", () => {
    expect(judge(identity("a", { bootId: "9".repeat(32) }))).toContain("used twice");
    expect(judge(me)).toBe("this is myself");
  });
});
