/** The nodes of a simulated ZooKeeper, as one server has them, and what a transaction does to them. */
import type { Refusal } from "../../../src/coordinator/zookeeper/requests.ts";

export interface TreeNode {
  readonly text: string;
  readonly version: number; // 0 when created, one more with each set
  readonly owner: string | null; // the session of an ephemeral node
}

export type TreeOperation =
  | { readonly type: "create"; readonly path: string; readonly text: string; readonly owner: string | null }
  | { readonly type: "check"; readonly path: string; readonly version: number }
  | { readonly type: "set"; readonly path: string; readonly text: string; readonly version: number | "any" }
  | { readonly type: "remove"; readonly path: string; readonly version: number | "any" };

/** What became of one path; null: the node is gone. */
export interface Change {
  readonly path: string;
  readonly node: TreeNode | null;
}

export interface TreeRefusal {
  readonly refusal: Refusal;
  readonly text: string;
  readonly operation: number; // which of them
}

export interface TreeOutcome {
  readonly changes: readonly Change[];
  readonly versions: readonly number[]; // by operation: the new version of a set, else 0
  readonly refused: TreeRefusal | null; // then nothing was changed
}

const TEXTS: Readonly<Record<Refusal, string>> = {
  "no-node": "NO_NODE",
  "no-auth": "NO_AUTH",
  "bad-version": "BAD_VERSION",
  "node-exists": "NODE_EXISTS",
  other: "BAD_ARGUMENTS",
};

export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

export class Tree {
  readonly #nodes: Map<string, TreeNode>;

  constructor(nodes: ReadonlyMap<string, TreeNode> = new Map([["/", { text: "", version: 0, owner: null }]])) {
    this.#nodes = new Map(nodes);
  }

  clone(): Tree {
    return new Tree(this.#nodes);
  }

  get(path: string): TreeNode | null {
    return this.#nodes.get(path) ?? null;
  }

  /** Names, in no order that means anything. */
  children(path: string): string[] {
    const prefix = path === "/" ? "/" : `${path}/`;
    const names: string[] = [];
    for (const other of this.#nodes.keys()) {
      if (other.length > prefix.length && other.startsWith(prefix) && !other.includes("/", prefix.length)) {
        names.push(other.slice(prefix.length));
      }
    }
    return names;
  }

  /** The paths that this session owns. */
  ownedBy(session: string): string[] {
    return [...this.#nodes].flatMap(([path, node]) => (node.owner === session ? [path] : []));
  }

  apply(change: Change): void {
    if (change.node === null) this.#nodes.delete(change.path);
    else this.#nodes.set(change.path, change.node);
  }

  /** All of the operations or none. What was refused is the first that could not be. */
  execute(operations: readonly TreeOperation[]): TreeOutcome {
    const changes: Change[] = [];
    const undo: Change[] = [];
    const versions: number[] = [];
    for (const [index, operation] of operations.entries()) {
      const result = this.#check(operation);
      if (typeof result === "string") {
        for (const change of undo.reverse()) this.apply(change);
        return { changes: [], versions: [], refused: { refusal: result, text: TEXTS[result], operation: index } };
      }
      versions.push(operation.type === "set" ? (result?.node?.version ?? 0) : 0);
      if (result === null) continue;
      undo.push({ path: result.path, node: this.get(result.path) });
      changes.push(result);
      this.apply(result);
    }
    return { changes, versions, refused: null };
  }

  /** The change that an operation makes now; null: none. Or why it cannot be. */
  #check(operation: TreeOperation): Change | Refusal | null {
    const { path } = operation;
    const node = this.get(path);
    if (operation.type === "create") {
      const parent = this.get(parentOf(path));
      if (node !== null) return "node-exists";
      if (parent === null) return "no-node";
      if (parent.owner !== null) return "other"; // an ephemeral node has no children
      return { path, node: { text: operation.text, version: 0, owner: operation.owner } };
    }
    if (node === null) return "no-node";
    if (operation.version !== "any" && operation.version !== node.version) return "bad-version";
    switch (operation.type) {
      case "check":
        return null;
      case "set":
        return { path, node: { text: operation.text, version: node.version + 1, owner: node.owner } };
      case "remove":
        return this.children(path).length > 0 ? "other" : { path, node: null };
      default:
        return operation satisfies never;
    }
  }
}
