import { expect, test } from "bun:test";
import { SESSION_MS, TICK_MS, type TestClient, type TestWorld, inWorld } from "./support.ts";

function withEphemeral(world: TestWorld, name = "a", server = 0): TestClient {
  const client = world.connect(world.process(name), server);
  expect(client.heard).toEqual(["handshake"]);
  expect(world.ask(client.process, () => client.connection.create(`/${name}`, "", "ephemeral")).kind).toBe("ok");
  return client;
}

test("a killed process's session is a ghost until a tick at least a session time after its last word", () => {
  for (let seed = 1; seed <= 20; seed++) {
    inWorld(seed, (world) => {
      const client = withEphemeral(world);
      world.time.advance(seed * 37); // at any place within a tick
      world.ask(client.process, () => client.connection.exists("/x"));
      const lastWordAt = world.time.now;
      client.process.kill();
      world.until(() => world.zookeeper.read("/a") === null);
      expect(world.time.now - lastWordAt).toBeGreaterThanOrEqual(SESSION_MS - 10); // it was sent before it was answered
      // The server told the leader within half a tick, and the leader looks once a tick.
      expect(world.time.now - lastWordAt).toBeLessThanOrEqual(SESSION_MS + 1.5 * TICK_MS);
      expect(world.time.now % TICK_MS).toBe(0);
    });
  }
});

test("a session asked of never ends; one that is silent does, with its connection", () => {
  inWorld(1, (world) => {
    const client = withEphemeral(world);
    for (let i = 0; i < 10; i++) {
      world.time.advance(SESSION_MS / 2);
      expect(world.ask(client.process, () => client.connection.exists("/x")).kind).toBe("ok");
    }
    world.until(() => client.heard.length > 1);
    expect(client.heard[1]).toStartWith("ended ");
    expect(world.zookeeper.read("/a")).toBeNull();
    expect(world.zookeeper.sessionOf(client.process.pid)).toBeNull();
  });
});

test("a session goes on at another server with its id and password, and its nodes with it", () => {
  inWorld(2, (world) => {
    const first = withEphemeral(world);
    first.process.enter(() => first.connection.dispose());
    world.time.advance(SESSION_MS - 200);
    const again = world.connect(first.process, 1, { resume: first.ticket, zxid: first.connection.zxid });
    expect(again.heard).toEqual(["handshake"]);
    expect(again.ticket).toEqual(first.ticket);
    world.time.advance(SESSION_MS - 200); // it was heard of
    expect(world.zookeeper.node("/a")?.owner).toBe(first.ticket!.id);
  });
});

test("an expired session, or the wrong password, is refused", () => {
  inWorld(3, (world) => {
    const first = withEphemeral(world);
    const stranger = { ...first.ticket!, password: "0".repeat(32) };
    expect(world.connect(world.process("b"), 1, { resume: stranger }).heard).toEqual(["expired"]);
    expect(world.zookeeper.read("/a")).toBe("");
    expect(world.zookeeper.expireSessionOf("a")).toBe(1);
    expect(world.zookeeper.read("/a")).toBeNull();
    expect(world.connect(first.process, 1, { resume: first.ticket }).heard).toEqual(["expired"]);
    expect(first.heard[1]).toStartWith("ended ");
  });
});

test("a server that has not heard of the end yet answers its reads, and its writes are refused as expired", () => {
  inWorld(4, (world) => {
    const client = withEphemeral(world);
    world.zookeeper.staleReads = true;
    world.zookeeper.lagMaxMs = 1e9; // it hears of it much later
    world.zookeeper.expireSessionOf("a");
    expect(world.ask(client.process, () => client.connection.exists("/a"))).toEqual({ kind: "ok", value: true });
    expect(world.ask(client.process, () => client.connection.create("/b", "", "persistent")).kind).toBe("unknown");
    expect(client.heard).toEqual(["handshake", "expired"]);
    expect(world.zookeeper.read("/b")).toBeNull();
  });
});

test("the end of a session by its owner takes its nodes at once", () => {
  inWorld(5, (world) => {
    const client = withEphemeral(world);
    world.ask(client.process, () => client.connection.endSession(500).then(() => "done"));
    expect(world.zookeeper.read("/a")).toBeNull();
    expect(world.zookeeper.sessionCount).toBe(0);
    expect(client.heard).toEqual(["handshake"]); // nothing is said to it any more
  });
});

test("without a quorum connections end, nobody gets in and no session ends; then each has its whole time again", () => {
  inWorld(6, (world) => {
    const client = withEphemeral(world);
    world.zookeeper.setQuorum(false);
    world.until(() => client.heard.length > 1);
    expect(client.heard[1]).toStartWith("ended ");
    world.time.advance(10 * SESSION_MS);
    expect(world.connect(client.process, 1, { resume: client.ticket }).heard[0]).toStartWith("ended ");
    expect(world.zookeeper.read("/a")).toBe("");
    world.zookeeper.setQuorum(true);
    const backAt = world.time.now;
    world.time.advance(SESSION_MS);
    expect(world.zookeeper.read("/a")).toBe("");
    world.until(() => world.zookeeper.read("/a") === null);
    expect(world.time.now - backAt).toBeLessThanOrEqual(SESSION_MS + TICK_MS);
  });
});

test("a write under way when the quorum is lost is done when it returns, or never", () => {
  const fates = new Set<string>();
  for (let seed = 1; seed <= 20; seed++) {
    inWorld(
      seed,
      (world) => {
        const client = withEphemeral(world);
        const write = world.start(client.process, () => client.connection.create("/b", "", "persistent"));
        world.time.advance(10); // at the server, not at the leader
        world.zookeeper.setQuorum(false);
        world.time.advance(1_000);
        expect(write.value).toEqual({ kind: "unknown" });
        expect(world.zookeeper.read("/b")).toBeNull();
        world.zookeeper.setQuorum(true);
        fates.add(world.zookeeper.read("/b") === null ? "never" : "done");
      },
      { latencyMs: [1, 2], forwardMs: [50, 60] },
    );
  }
  expect([...fates].sort()).toEqual(["done", "never"]);
});

test("a server that crashes has not told the leader of whom it heard last", () => {
  inWorld(7, (world) => {
    const client = withEphemeral(world);
    const expiresBefore = world.zookeeper.expiresAt(client.ticket!.id)!;
    world.time.advance(5 * TICK_MS + 1 - (world.time.now % TICK_MS)); // just after it told the leader
    world.ask(client.process, () => client.connection.exists("/x"));
    world.zookeeper.crashServer("zk-1:2181");
    world.until(() => world.zookeeper.read("/a") === null);
    expect(world.time.now).toBe(expiresBefore);
    expect(world.connect(client.process, 0).heard).toEqual(["ended the connection was refused"]);
    world.zookeeper.restartServer("zk-1:2181");
    expect(world.connect(client.process, 0).heard).toEqual(["handshake"]);
  });
});

test("the time of a session is between 2 and 20 ticks", () => {
  inWorld(8, (world) => {
    expect(world.connect(world.process("a"), 0, { sessionMs: 10 }).ticket?.timeoutMs).toBe(2 * TICK_MS);
    expect(world.connect(world.process("b"), 0, { sessionMs: 1e6 }).ticket?.timeoutMs).toBe(20 * TICK_MS);
  });
});

test("a wiped ensemble knows no session, and refuses whoever has seen more than it", () => {
  inWorld(9, (world) => {
    const client = withEphemeral(world);
    const { zxid } = client.connection;
    expect(zxid).toBeGreaterThan(0n);
    world.zookeeper.wipe();
    world.until(() => client.heard.length > 1);
    expect(world.zookeeper.read("/a")).toBeNull();
    expect(world.connect(client.process, 0, { resume: client.ticket, zxid }).heard[0]).toContain("knows less");
    expect(world.connect(client.process, 0, { resume: client.ticket }).heard).toEqual(["expired"]);
    expect(world.connect(client.process, 0).heard).toEqual(["handshake"]);
  });
});

test("what is on its way to the leader when the ensemble is wiped does not reach the new one", () => {
  inWorld(
    10,
    (world) => {
      const client = withEphemeral(world);
      const write = world.start(client.process, () => client.connection.create("/b", "", "persistent"));
      const late = world.open(world.process("late"));
      world.time.advance(10); // at the server, not at the leader
      world.zookeeper.wipe();
      world.time.advance(1_000);
      expect(write.value).toEqual({ kind: "unknown" });
      expect(late.heard).toEqual(["ended the connection was reset"]);
      expect([world.zookeeper.zxid, world.zookeeper.sessionCount]).toEqual([0, 0]);
    },
    { latencyMs: [1, 2], forwardMs: [50, 60] },
  );
});
