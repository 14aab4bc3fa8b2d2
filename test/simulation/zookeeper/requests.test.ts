import { expect, test } from "bun:test";
import { SESSION_MS, type TestClient, type TestWorld, inWorld } from "./support.ts";

const create = (world: TestWorld, client: TestClient, path: string) =>
  world.start(client.process, () => client.connection.create(path, "", "persistent"));

test("answers come in the order of the requests, and a read sees the write before it", () => {
  inWorld(
    1,
    (world) => {
      const client = world.connect(world.process("a"));
      const order: string[] = [];
      const write = world.start(client.process, () =>
        client.connection.create("/n", "text", "persistent").finally(() => order.push("write")),
      );
      const read = world.start(client.process, () => client.connection.getData("/n").finally(() => order.push("read")));
      world.until(() => read.value !== undefined);
      expect(order).toEqual(["write", "read"]);
      expect(write.value).toEqual({ kind: "ok", value: undefined });
      expect(read.value).toEqual({ kind: "ok", value: { text: "text", version: 0, owner: null } });
      expect(client.answeredAt).toHaveLength(2);
    },
    { latencyMs: [0, 50] },
  );
});

test("a request whose answer is lost was applied; one that is lost was not; both are unknown, once", () => {
  for (const [troubles, isApplied] of [
    [{ answerLost: 1, requestLost: 0 }, true],
    [{ answerLost: 0, requestLost: 1 }, false],
  ] as const) {
    for (let seed = 1; seed <= 10; seed++) {
      inWorld(seed, (world) => {
        const client = world.connect(world.process("a"));
        world.zookeeper.troubleChance = troubles;
        const write = create(world, client, "/n");
        world.until(() => write.value !== undefined);
        world.time.advance(100);
        expect(write.value).toEqual({ kind: "unknown" });
        expect(client.heard).toEqual(["handshake", "ended the connection was reset"]);
        expect(client.answeredAt).toEqual([]);
        expect(world.zookeeper.read("/n")).toBe(isApplied ? "" : null);
        expect(world.ask(client.process, () => client.connection.exists("/n"))).toEqual({ kind: "unsent" });
      });
    }
  }
});

test("a lost answer may be lost before the request is applied: who asks anew at once does not see it yet", () => {
  const seen = new Set<boolean>();
  for (let seed = 1; seed <= 20; seed++) {
    inWorld(
      seed,
      (world) => {
        const client = world.connect(world.process("a"));
        world.zookeeper.troubleChance.answerLost = 1;
        const write = create(world, client, "/n");
        world.until(() => write.value !== undefined);
        seen.add(world.zookeeper.read("/n") !== null);
        world.time.advance(1_000);
        expect(world.zookeeper.read("/n")).toBe("");
      },
      { forwardMs: [100, 100] },
    );
  }
  expect(seen.size).toBe(2);
});

test("the answer to the handshake gets lost too: a session without a client is left", () => {
  inWorld(2, (world) => {
    world.zookeeper.troubleChance.answerLost = 1;
    expect(world.connect(world.process("a")).heard).toEqual(["ended the connection was reset"]);
    expect(world.zookeeper.sessionCount).toBe(1);
    world.time.advance(2 * SESSION_MS);
    expect(world.zookeeper.sessionCount).toBe(0);
  });
});

test("a write that is still on its way when its session has moved to another server is not done", () => {
  inWorld(
    3,
    (world) => {
      const client = world.connect(world.process("a"), 0);
      const write = create(world, client, "/n");
      world.time.advance(5); // at the first server, not at the leader
      client.process.enter(() => client.connection.dispose());
      expect(world.connect(client.process, 1, { resume: client.ticket }).heard).toEqual(["handshake"]);
      world.time.advance(5_000);
      expect(write.value).toEqual({ kind: "unknown" });
      // The old server's way to the leader is as long as the new one's, so the write was first: it is done.
      expect(world.zookeeper.read("/n")).toBe("");
    },
    { latencyMs: [1, 2], forwardMs: [50, 50] },
  );
  inWorld(
    4,
    (world) => {
      const client = world.connect(world.process("a"), 0);
      let isReachable = true;
      world.zookeeper.reaches = () => isReachable;
      isReachable = false;
      const write = create(world, client, "/n"); // held back on the old connection
      world.time.advance(100);
      isReachable = true;
      expect(world.connect(client.process, 1, { resume: client.ticket }).heard).toEqual(["handshake"]);
      world.until(() => write.value !== undefined);
      expect(write.value).toMatchObject({ kind: "refused", text: "SESSION_MOVED" });
      expect(world.zookeeper.read("/n")).toBeNull();
    },
    { latencyMs: [1, 2] },
  );
});

test("who cannot reach the ensemble hears nothing; what it sent arrives late, or the connection ends after a while", () => {
  for (const cutMs of [1_000, 60_000]) {
    inWorld(5, (world) => {
      const client = world.connect(world.process("a"), 0, { sessionMs: 10_000 });
      const other = world.connect(world.process("b"));
      const cut = new Set([client.process]);
      world.zookeeper.reaches = (process) => !cut.has(process);
      const write = create(world, client, "/n");
      world.time.advance(cutMs);
      expect(world.ask(other.process, () => other.connection.exists("/n")).kind).toBe(
        cutMs > SESSION_MS ? "unsent" : "ok",
      );
      cut.clear();
      world.time.advance(10_000);
      if (cutMs === 1_000) {
        expect(write.value?.kind).toBe("ok");
        expect(client.heard).toEqual(["handshake"]);
      } else {
        expect(write.value).toEqual({ kind: "unknown" });
        expect(client.heard).toEqual(["handshake", "ended the connection timed out"]);
        expect(world.zookeeper.read("/n")).toBeNull();
      }
    });
  }
});

test("a stopped process reads its answers when it goes on, in their order", () => {
  inWorld(6, (world) => {
    const client = world.connect(world.process("a"));
    const order: number[] = [];
    for (const number of [1, 2, 3]) {
      world.start(client.process, () => client.connection.exists("/x").finally(() => order.push(number)));
    }
    client.process.stop();
    world.time.advance(1_000);
    expect(order).toEqual([]);
    client.process.continue();
    world.time.advance(10);
    expect(order).toEqual([1, 2, 3]);
  });
});

test("a guarded operation needs a version that can guard, as with the real library", () => {
  inWorld(7, (world) => {
    const client = world.connect(world.process("a"));
    expect(() => client.connection.multi([{ type: "check", path: "/n", version: 0 }])).toThrow(RangeError);
  });
});

test("a multi names the operation that was refused, a single request none", () => {
  inWorld(8, (world) => {
    const client = world.connect(world.process("a"));
    world.zookeeper.operate({ type: "create", path: "/n", text: "", owner: null });
    const multi = world.ask(client.process, () =>
      client.connection.multi([
        { type: "create-ephemeral", path: "/e", text: "" },
        { type: "set", path: "/n", text: "x", version: 7 },
      ]),
    );
    expect(multi).toEqual({ kind: "refused", refusal: "bad-version", text: "BAD_VERSION", operation: 1 });
    expect(world.zookeeper.read("/e")).toBeNull();
    const single = world.ask(client.process, () => client.connection.create("/n", "", "persistent"));
    expect(single).toEqual({ kind: "refused", refusal: "node-exists", text: "NODE_EXISTS", operation: -1 });
  });
});

test("a read may show an older state, never one that the session has seen past, and a write ends it", () => {
  inWorld(9, (world) => {
    const writer = world.connect(world.process("a"), 0);
    const reader = world.connect(world.process("b"), 1);
    world.connect(world.process("c"), 2);
    world.zookeeper.staleReads = true;
    world.zookeeper.lagMaxMs = 1e9;
    expect(world.ask(writer.process, () => writer.connection.create("/n", "1", "persistent")).kind).toBe("ok");
    const look = (client: TestClient) => world.ask(client.process, () => client.connection.exists("/n"));
    expect(look(writer)).toEqual({ kind: "ok", value: true });
    expect(look(reader)).toEqual({ kind: "ok", value: false });
    // The writer's session has seen it: a server that has not refuses to take it up.
    writer.process.enter(() => writer.connection.dispose());
    const resume = { resume: writer.ticket, zxid: writer.connection.zxid };
    expect(world.connect(writer.process, 2, resume).heard[0]).toContain("knows less");
    expect(world.ask(reader.process, () => reader.connection.setData("/missing", "", "any")).kind).toBe("refused");
    expect(look(reader)).toEqual({ kind: "ok", value: true });
    expect(world.connect(writer.process, 1, resume).heard).toEqual(["handshake"]);
  });
});
