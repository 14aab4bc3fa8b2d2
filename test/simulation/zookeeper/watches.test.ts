import { expect, test } from "bun:test";
import { type TestClient, type TestWorld, inWorld } from "./support.ts";

/** Sets a node as somebody else: everyone's copy has it at once. */
function set(world: TestWorld, path: string, text: string): void {
  world.zookeeper.operate({ type: "set", path, text, version: "any" });
}

function withNode(world: TestWorld, path = "/n"): TestClient {
  world.zookeeper.operate({ type: "create", path, text: "0", owner: null });
  return world.connect(world.process("a"));
}

test("a watch is told once, of the first change after it was set", () => {
  inWorld(1, (world) => {
    const client = withNode(world);
    let told = 0;
    world.ask(client.process, () => client.connection.exists("/n", () => told++));
    set(world, "/n", "1");
    set(world, "/n", "2");
    world.time.advance(1_000);
    expect(told).toBe(1);
    set(world, "/n", "3");
    world.time.advance(1_000);
    expect(told).toBe(1);
  });
});

test("a watch comes before any answer that shows the change, however slow it is", () => {
  const gaps: number[] = [];
  for (let seed = 1; seed <= 30; seed++) {
    inWorld(seed, (world) => {
      const client = withNode(world);
      world.zookeeper.watchDelayMs = 200;
      const order: string[] = [];
      world.ask(client.process, () => client.connection.exists("/n", () => order.push("watch")));
      set(world, "/n", "1");
      const changedAt = world.time.now;
      const reply = world.ask(client.process, () =>
        client.connection.getData("/n").then((answer) => {
          order.push("answer");
          return answer;
        }),
      );
      expect(reply).toMatchObject({ kind: "ok", value: { text: "1" } });
      expect(order).toEqual(["watch", "answer"]);
      gaps.push(world.time.now - changedAt);
    });
  }
  expect(Math.max(...gaps)).toBeGreaterThan(100);
});

test("a watch at a server that lags is told when that server has the change, and not before its reads show it", () => {
  inWorld(2, (world) => {
    const client = withNode(world);
    world.ask(client.process, () => client.connection.exists("/n"));
    let told = false;
    world.ask(client.process, () => client.connection.exists("/n", () => (told = true)));
    world.zookeeper.staleReads = true;
    world.zookeeper.lagMaxMs = 1e6;
    set(world, "/n", "1");
    const before = world.ask(client.process, () => client.connection.getData("/n"));
    expect(before).toMatchObject({ value: { text: "0" } });
    expect(told).toBe(false);
    world.until(() => told, 1e6);
    const after = world.ask(client.process, () => client.connection.getData("/n"));
    expect(after).toMatchObject({ value: { text: "1" } });
  });
});

test("children are watched for coming and going, not for their texts", () => {
  inWorld(3, (world) => {
    const client = withNode(world);
    const told: string[] = [];
    const look = (): void => {
      const reply = world.ask(client.process, () => client.connection.getChildren("/n", () => told.push("children")));
      expect(reply.kind).toBe("ok");
    };
    look();
    world.zookeeper.operate({ type: "create", path: "/n/c", text: "", owner: null });
    world.time.advance(100);
    expect(told).toEqual(["children"]);
    look();
    set(world, "/n/c", "1");
    world.time.advance(100);
    expect(told).toEqual(["children"]);
    world.zookeeper.operate({ type: "remove", path: "/n/c", version: "any" });
    world.time.advance(100);
    expect(told).toEqual(["children", "children"]);
  });
});

test("a missing node is watched for its creation, a present one for its end", () => {
  inWorld(4, (world) => {
    const client = withNode(world);
    const told: string[] = [];
    world.ask(client.process, () => client.connection.exists("/later", () => told.push("created")));
    world.ask(client.process, () => client.connection.exists("/n", () => told.push("deleted")));
    world.zookeeper.operate({ type: "create", path: "/later", text: "", owner: null });
    world.zookeeper.operate({ type: "remove", path: "/n", version: "any" });
    world.time.advance(100);
    expect(told).toEqual(["created", "deleted"]);
  });
});

test("watches end with their connection", () => {
  inWorld(5, (world) => {
    const client = withNode(world);
    let told = false;
    world.ask(client.process, () => client.connection.exists("/n", () => (told = true)));
    client.process.enter(() => client.connection.dispose());
    world.connect(client.process, 1, { resume: client.ticket });
    set(world, "/n", "1");
    world.time.advance(1_000);
    expect(told).toBe(false);
  });
});
