/** The real coordinator on the simulated ensemble. */
import { expect, test } from "bun:test";
import { SESSION_MS, TestCoordinator, type TestWorld, inWorld } from "./support.ts";

const IN_SYNC = { epoch: 1, incarnations: ["a/1"] };

test("R17: a leader that slept through its session is told so before it can write, and comes back as a member", () => {
  inWorld(1, (world) => {
    const [a, b] = [TestCoordinator.started(world, "a"), TestCoordinator.started(world, "b")];
    expect(world.ask(a.process, () => a.coordinator.compete(0))).toEqual({ outcome: "won", epoch: 1 });
    const { version } = world.ask(a.process, () => a.coordinator.readInSync());
    a.process.stop();
    world.until(() => world.zookeeper.read("/vouch/cell/leader") === null);
    expect(world.ask(b.process, () => b.coordinator.compete(0))).toEqual({ outcome: "won", epoch: 2 });
    const write = world.start(a.process, () => a.coordinator.writeInSync(1, IN_SYNC, version));
    a.process.continue();
    world.until(() => write.value !== undefined);
    expect(write.value).toEqual({ outcome: "refused", reason: "fenced" });
    world.until(() => a.states().at(-1) === "connected");
    expect(a.states().filter((state) => state !== "suspended")).toEqual(["connected", "lost", "connected"]);
    expect(world.zookeeper.versionOf("/vouch/cell/in-sync")).toBe(version);
  });
});

test("R3: a leader whose node is another's now, at version 0 again, is fenced though its session lives", () => {
  inWorld(3, (world) => {
    const [a, b] = [TestCoordinator.started(world, "a"), TestCoordinator.started(world, "b")];
    expect(world.ask(a.process, () => a.coordinator.compete(0))).toEqual({ outcome: "won", epoch: 1 });
    const { version } = world.ask(a.process, () => a.coordinator.readInSync());
    world.zookeeper.operate({ type: "remove", path: "/vouch/cell/leader", version: "any" });
    expect(world.ask(b.process, () => b.coordinator.compete(0))).toEqual({ outcome: "won", epoch: 2 });
    expect(world.zookeeper.versionOf("/vouch/cell/leader")).toBe(0);
    const write = world.ask(a.process, () => a.coordinator.writeInSync(1, IN_SYNC, version));
    expect(write).toEqual({ outcome: "refused", reason: "fenced" });
    expect(world.zookeeper.versionOf("/vouch/cell/in-sync")).toBe(version);
  });
});

test("an election whose answer is lost is recognised as won, by the session and not by the name", () => {
  const epochs = new Set<number>();
  for (let seed = 1; seed <= 10; seed++) {
    inWorld(seed, (world) => {
      const a = TestCoordinator.started(world, "a");
      world.zookeeper.troubleChance.answerLost = 1;
      const first = world.ask(a.process, () => a.coordinator.compete(0));
      expect(first).toEqual({ outcome: "unknown" });
      world.zookeeper.troubleChance.answerLost = 0;
      world.until(() => a.states().at(-1) === "connected");
      const second = world.ask(a.process, () => a.coordinator.compete(0));
      expect(second).toEqual({ outcome: "won", epoch: 1 });
      epochs.add(Number(world.zookeeper.read("/vouch/cell/epoch")));
    });
  }
  expect([...epochs]).toEqual([1]);
});

test("an ensemble that was set up anew is not taken for the old one", () => {
  inWorld(2, (world) => {
    const a = TestCoordinator.started(world, "a");
    world.zookeeper.wipe();
    const fresh = TestCoordinator.started(world, "b");
    world.until(() => a.events.some((event) => event.type === "failed" && event.message.includes("set up anew")));
    expect(a.states().at(-1)).toBe("lost");
    expect(fresh.coordinator.clusterUuid()).not.toBe(a.coordinator.clusterUuid());
  });
});

/** Everything at once: what nodes do all the time, and what a coordinator's service may do to them. */
function storm(world: TestWorld): string[] {
  const { zookeeper, random } = world;
  const names = ["a", "b", "c"];
  let nodes = names.map((name) => TestCoordinator.started(world, name));
  const won: string[] = [];
  const cut = new Set<unknown>();
  zookeeper.reaches = (process) => !cut.has(process);
  zookeeper.staleReads = true;
  zookeeper.watchDelayMs = 100;
  const faults: (() => void)[] = [
    () => (zookeeper.troubleChance = { answerLost: random.next() / 5, requestLost: random.next() / 5 }),
    () => (zookeeper.troubleChance = { answerLost: 0, requestLost: 0 }),
    () => zookeeper.expireSessionOf(random.pick(names)),
    () => zookeeper.dropConnectionsOf(random.pick(names)),
    () => zookeeper.setQuorum(!zookeeper.hasQuorum),
    () => zookeeper.setQuorum(true),
    () => zookeeper.crashServer(random.pick(zookeeper.servers)),
    () => zookeeper.servers.forEach((server) => zookeeper.restartServer(server)),
    () => cut.add(random.pick(nodes).process),
    () => cut.clear(),
    () => random.pick(nodes).process.stop(),
    () => nodes.forEach((node) => node.process.continue()),
    () => {
      const index = random.below(nodes.length);
      nodes[index]!.process.kill();
      nodes = nodes.with(index, new TestCoordinator(world, names[index]!));
    },
  ];
  for (let round = 0; round < 60; round++) {
    random.pick(faults)();
    for (const node of nodes) {
      node.process.enter(() => {
        void node.coordinator.compete(0).then((outcome) => {
          if (outcome.outcome !== "won") return;
          won.push(`${outcome.epoch} ${node.self.bootId}`);
          if (random.chance(0.5)) void node.coordinator.resign(outcome.epoch);
        });
      });
    }
    world.time.advance(random.below(SESSION_MS));
  }
  // All is well again: they come back.
  zookeeper.troubleChance = { answerLost: 0, requestLost: 0 };
  zookeeper.setQuorum(true);
  zookeeper.servers.forEach((server) => zookeeper.restartServer(server));
  cut.clear();
  for (const node of nodes) node.process.continue();
  world.until(() => nodes.every((node) => node.states().at(-1) === "connected" && node.members() === "a,b,c"));
  world.time.advance(10 * SESSION_MS);
  expect(zookeeper.sessionCount).toBe(nodes.length);
  return [...won, ...nodes.map((node) => JSON.stringify(node.events)), `${world.time.events} ${world.time.now}`];
}

test("R1: whatever happens, an epoch has one winner, and the nodes come back when it is over; a seed is one story", () => {
  for (let seed = 2; seed <= 6; seed++) {
    const stories: string[][] = [];
    for (let repeat = 0; repeat < 2; repeat++) inWorld(seed, (world) => stories.push(storm(world)));
    expect(stories[1]).toEqual(stories[0]!);
    const winners = new Map<string, string>();
    for (const line of stories[0]!.filter((text) => /^\d+ [0-9a-f]{32}$/.test(text))) {
      const [epoch, bootId] = line.split(" ") as [string, string];
      expect(winners.get(epoch) ?? bootId).toBe(bootId);
      winners.set(epoch, bootId);
    }
    expect(winners.size).toBeGreaterThan(1);
  }
}, 30_000);
