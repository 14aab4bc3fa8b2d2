import { expect, test } from "bun:test";
import { Tree, type TreeOperation } from "./tree.ts";

function withNodes(): Tree {
  const tree = new Tree();
  const made = tree.execute([
    { type: "create", path: "/a", text: "1", owner: null },
    { type: "create", path: "/a/b", text: "", owner: null },
    { type: "create", path: "/a/e", text: "", owner: "s1" },
  ]);
  expect(made.refused).toBeNull();
  return tree;
}

test("a transaction happens as a whole or not at all, and says which operation could not be", () => {
  const tree = withNodes();
  const refused = tree.execute([
    { type: "set", path: "/a", text: "2", version: 0 },
    { type: "create", path: "/a/c", text: "", owner: null },
    { type: "remove", path: "/a/b", version: "any" },
    { type: "check", path: "/a", version: 0 }, // sees the set before it
  ]);
  expect(refused).toMatchObject({ changes: [], refused: { refusal: "bad-version", operation: 3 } });
  expect(tree.get("/a")).toEqual({ text: "1", version: 0, owner: null });
  expect(tree.children("/a").sort()).toEqual(["b", "e"]);
  const done = tree.execute([
    { type: "set", path: "/a", text: "2", version: 0 },
    { type: "check", path: "/a", version: 1 },
  ]);
  expect(done).toMatchObject({ versions: [1, 0], refused: null });
});

test("each operation is refused for its own reason", () => {
  const refusals: [TreeOperation, string][] = [
    [{ type: "create", path: "/a", text: "", owner: null }, "node-exists"],
    [{ type: "create", path: "/x/y", text: "", owner: null }, "no-node"],
    [{ type: "create", path: "/a/e/f", text: "", owner: null }, "other"], // below an ephemeral node
    [{ type: "remove", path: "/a", version: "any" }, "other"], // not empty
    [{ type: "remove", path: "/x", version: "any" }, "no-node"],
    [{ type: "check", path: "/a", version: 1 }, "bad-version"],
    [{ type: "set", path: "/x", text: "", version: "any" }, "no-node"],
  ];
  for (const [operation, refusal] of refusals) {
    expect(withNodes().execute([operation]).refused?.refusal).toBe(refusal as never);
  }
});

test("a node made anew has version 0 again: the trap of the leader node", () => {
  const tree = withNodes();
  tree.execute([{ type: "set", path: "/a/e", text: "x", version: 0 }]);
  tree.execute([{ type: "remove", path: "/a/e", version: 1 }]);
  tree.execute([{ type: "create", path: "/a/e", text: "", owner: "s2" }]);
  expect(tree.get("/a/e")).toEqual({ text: "", version: 0, owner: "s2" });
  expect(tree.ownedBy("s1")).toEqual([]);
  expect(tree.ownedBy("s2")).toEqual(["/a/e"]);
});
