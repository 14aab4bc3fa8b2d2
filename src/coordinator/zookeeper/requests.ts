/** What is asked of ZooKeeper and what comes back, in words of our own: outcomes, nodes, the operations of a `multi`. Pure. */
import type { ErrorOnly, Stat, ZooKeeperError } from "node-zookeeper-client";

/** Refusals that the recipes tell apart, by ZooKeeper's numbers. All others are "other". */
const REFUSALS = new Map<number, Refusal>([
  [-101, "no-node"],
  [-102, "no-auth"],
  [-103, "bad-version"],
  [-110, "node-exists"],
]);
/** From this number up, ZooKeeper's errors say that something failed on the way, not that the request was refused. */
const REFUSAL_CODE_MAX = -100;
export const SESSION_EXPIRED = -112;

export type Refusal = "no-node" | "no-auth" | "bad-version" | "node-exists" | "other";

/** "unknown": sent, not answered; it may have been applied, or still be. "unsent": certainly not applied. */
export type Reply<T> =
  | { readonly kind: "ok"; readonly value: T }
  | { readonly kind: "refused"; readonly refusal: Refusal; readonly text: string; readonly operation: number }
  | { readonly kind: "unknown" }
  | { readonly kind: "unsent" };

export interface NodeData {
  readonly text: string;
  readonly version: number;
  /** 16 hex digits of the owning session's id; null for a persistent node. */
  readonly owner: string | null;
}

/** The operations of a `multi`. A version is >= 1, or "any": the library sends version 0 as "any" (see `multi`). */
export type Operation =
  | { readonly type: "create-ephemeral"; readonly path: string; readonly text: string }
  | { readonly type: "check"; readonly path: string; readonly version: number }
  | { readonly type: "set"; readonly path: string; readonly text: string; readonly version: number | "any" }
  | { readonly type: "remove"; readonly path: string; readonly version: number | "any" };

const ANY_VERSION = -1;
const NO_OWNER = "0000000000000000";

export function replyOf<T>(error: ErrorOnly, value: () => T, operation: number): Reply<T> {
  if (error === null || error === undefined) return { kind: "ok", value: value() };
  const code = refusalCode(error);
  if (code === null) return { kind: "unknown" };
  return { kind: "refused", refusal: REFUSALS.get(code) ?? "other", text: error.name, operation };
}

/** The server's number when it refused the request for good; null when the request may have been applied. */
function refusalCode(error: ZooKeeperError): number | null {
  const code = error.getCode();
  return code < REFUSAL_CODE_MAX && code !== SESSION_EXPIRED ? code : null;
}

export function ownerOf(stat: Stat | undefined): string | null {
  const owner = stat?.ephemeralOwner.toString("hex") ?? NO_OWNER;
  return owner === NO_OWNER ? null : owner;
}

export function versionNumber(version: number | "any"): number {
  return version === "any" ? ANY_VERSION : version;
}

export function assertGuards(operation: Operation): void {
  if (operation.type === "create-ephemeral" || operation.version === "any") return;
  if (Number.isInteger(operation.version) && operation.version >= 1) return;
  throw new RangeError(`version of ${operation.path} in a multi: expected >= 1, got ${operation.version}`);
}
