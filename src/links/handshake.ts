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
  if (version !== PROTOCOL_VERSION) return no(`protocol version ${version}, this node speaks ${PROTOCOL_VERSION}`);
  if (hello === null) return no("an unreadable hello");
  if (hello.cell !== self.cell) return no(`cell "${hello.cell}", this node is of cell "${self.cell}"`);
  if (hello.clusterUuid !== self.clusterUuid) {
    return no(`cluster ${hello.clusterUuid}, this node is of cluster ${self.clusterUuid}`);
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
  const difference = differingParameter(self.parameters, hello.parameters);
  return difference === null ? { accepted: true, hello } : no(difference);
}

/** Names the first parameter that differs, with both values; null when all are equal. */
function differingParameter(mine: readonly HelloParameter[], theirs: readonly HelloParameter[]): string | null {
  const unmatched = new Map(theirs.map((parameter) => [parameter.name, parameter.value]));
  for (const { name, value } of mine) {
    const other = unmatched.get(name);
    unmatched.delete(name);
    if (other === value) continue;
    const shown = other === undefined ? "it has no such parameter" : `it has ${JSON.stringify(other)}`;
    return `parameter ${name}: this node has ${JSON.stringify(value)}, ${shown}`;
  }
  const [extra] = unmatched;
  return extra === undefined ? null : `parameter ${extra[0]}: this node has none, it has ${JSON.stringify(extra[1])}`;
}

function no(reason: string): Judgement {
  return { accepted: false, reason };
}
