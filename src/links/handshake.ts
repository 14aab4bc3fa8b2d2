/**
 * Who may talk to whom: judges the other end's hello against what this node is. Pure.
 *
 * Guarantees: after it both ends know each other's incarnation (R2) and share every parameter (R19); a refusal names
 * what differs. It does not prove that the other end is who it says: that needs certificates (SEC2).
 */
import type { Hello, HelloFrame, HelloParameter } from "../wire/hello.ts";
import { PROTOCOL_VERSION } from "../wire/limits.ts";

/** What this node says about itself in each hello. */
export interface PeerIdentity {
  readonly cell: string;
  readonly clusterUuid: string;
  readonly nodeId: string;
  readonly bootId: string;
  readonly parameters: readonly HelloParameter[];
}

export interface ExpectedPeer {
  readonly nodeId: string;
  readonly bootId: string;
}

export function helloTo(self: PeerIdentity, peer: ExpectedPeer): Hello {
  return { ...self, expectedNodeId: peer.nodeId, expectedBootId: peer.bootId };
}

export type Judgement =
  { readonly accepted: true; readonly hello: Hello } | { readonly accepted: false; readonly reason: string };

/** `expected`: whom the dialler named; null at the accepting end, which takes any peer of its cell. */
export function judgeHello(
  self: PeerIdentity,
  frame: Exclude<HelloFrame, { type: "refused" }>,
  expected: ExpectedPeer | null,
): Judgement {
  const { hello, version } = frame;
  // Both ends log the same sentence, so it says names, not "this node" and "the other".
  if (version !== PROTOCOL_VERSION) {
    return no(`protocol version: ${self.nodeId} speaks ${PROTOCOL_VERSION}, its peer ${version}`);
  }
  if (hello === null) return no("an unreadable hello");
  const names = { mine: self.nodeId, theirs: hello.nodeId };
  if (hello.cell !== self.cell) return no(differs("cell", names, self.cell, hello.cell));
  if (hello.clusterUuid !== self.clusterUuid) {
    return no(differs("cluster", names, self.clusterUuid, hello.clusterUuid));
  }
  if (hello.expectedNodeId !== self.nodeId || hello.expectedBootId !== self.bootId) {
    const meant = `${hello.expectedNodeId}/${hello.expectedBootId}`;
    return no(`this node is ${self.nodeId}/${self.bootId}, not ${meant}`);
  }
  if (expected !== null && (hello.nodeId !== expected.nodeId || hello.bootId !== expected.bootId)) {
    const found = `${hello.nodeId}/${hello.bootId}`;
    return no(`the other end is ${found}, expected was ${expected.nodeId}/${expected.bootId}`);
  }
  if (hello.nodeId === self.nodeId) {
    return no(hello.bootId === self.bootId ? "this is myself" : `node id "${hello.nodeId}" is used twice`);
  }
  const difference = differingParameter(self.parameters, hello.parameters, names);
  return difference === null ? { accepted: true, hello } : no(difference);
}

interface Names {
  readonly mine: string;
  readonly theirs: string;
}

/** Names every parameter that differs, with both values; null when all are equal. */
function differingParameter(
  mine: readonly HelloParameter[],
  theirs: readonly HelloParameter[],
  names: Names,
): string | null {
  const unmatched = new Map(theirs.map((parameter) => [parameter.name, parameter.value]));
  const found: string[] = [];
  for (const { name, value } of mine) {
    const other = unmatched.get(name);
    unmatched.delete(name);
    if (other !== value) found.push(differs(`parameter ${name}`, names, value, other));
  }
  for (const [name, value] of unmatched) found.push(differs(`parameter ${name}`, names, undefined, value));
  return found.length === 0 ? null : found.join("; ");
}

function differs(what: string, { mine, theirs }: Names, my: string | undefined, their: string | undefined): string {
  const shown = (value: string | undefined): string => (value === undefined ? "none" : JSON.stringify(value));
  return `${what}: ${mine} has ${shown(my)}, ${theirs} has ${shown(their)}`;
}

function no(reason: string): Judgement {
  return { accepted: false, reason };
}
