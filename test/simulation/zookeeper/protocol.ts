/** What goes over a simulated connection, in both directions. */
import type { SessionTicket } from "../../../src/coordinator/zookeeper/session-supervisor.ts";
import type { TreeNode, TreeOperation, TreeRefusal } from "./tree.ts";

export interface Hello {
  readonly sessionMs: number; // asked for
  readonly resume: SessionTicket | null;
  readonly zxid: number; // the newest transaction that the client has seen
}

/** Either one look at the server's own tree, or operations for the leader; `mine`: paths to create as the session's own. */
export type Request =
  | { readonly type: "exists" | "get" | "children"; readonly path: string; readonly watch: boolean }
  | { readonly type: "write"; readonly operations: (session: string) => readonly TreeOperation[] }
  | { readonly type: "close" };

export type Result =
  | { readonly type: "node"; readonly node: TreeNode | null }
  | { readonly type: "children"; readonly names: readonly string[] }
  | { readonly type: "written"; readonly versions: readonly number[] }
  | { readonly type: "refused"; readonly refused: TreeRefusal }
  | { readonly type: "expired" };

export type WatchEvent = "created" | "changed" | "deleted" | "children";
