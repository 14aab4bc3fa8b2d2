/** Group membership step by step, with a clock that the test moves. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type GroupFacts, GroupStore, type Membership } from "../../../src/task-log/embedded/group-store.ts";
import { temporaryFolder } from "../../support/servers/processes.ts";

const facts: GroupFacts = { partitionCounts: new Map([["t", 4]]), fence: 0 };

class TestClock {
  bootId = "first start";
  #nowMs = 1_000;

  nowMs(): number {
    return this.#nowMs;
  }

  advance(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  /** The machine starts again: another boot id, and its time begins anew. */
  restart(): void {
    this.bootId = "second start";
    this.#nowMs = 10;
  }
}

interface Groups extends AsyncDisposable {
  readonly clock: TestClock;
  readonly store: GroupStore;
}

async function openGroups(): Promise<Groups> {
  const folder = await temporaryFolder("vouch-groups");
  const clock = new TestClock();
  const store = await GroupStore.open(join(folder.path, "groups.sqlite"), clock);
  const dispose = async (): Promise<void> => {
    store.close();
    await folder.remove();
  };
  return { clock, store, [Symbol.asyncDispose]: dispose };
}

function membership(memberId: string): Membership {
  return { groupId: "g", memberId, topics: ["t"], sessionTimeoutMs: 1_000, rebalanceTimeoutMs: 5_000 };
}

const [a, b] = [membership("a"), membership("b")];

test("the first member begins generation 1 with all partitions", async () => {
  await using groups = await openGroups();
  await groups.store.join(a, facts);
  expect(await groups.store.view("g", "a")).toEqual({
    state: "member",
    generation: 1,
    owned: new Map([["t", [0, 1, 2, 3]]]),
  });
  expect(await groups.store.view("g", "b")).toEqual({ state: "unknown" });
});

test("a second member waits until the first has run its barrier and joined again", async () => {
  await using groups = await openGroups();
  await groups.store.join(a, facts);
  await groups.store.join(b, facts);
  expect(await groups.store.view("g", "a")).toEqual({ state: "rejoin" });
  expect(await groups.store.view("g", "b")).toEqual({ state: "joining" });
  await groups.store.join(a, facts);
  expect(await groups.store.view("g", "a")).toMatchObject({ state: "member", generation: 2 });
  expect(await groups.store.view("g", "b")).toMatchObject({ state: "member", generation: 2 });
});

test("a member that lives but does not join is left behind at the deadline, not before", async () => {
  await using groups = await openGroups();
  await groups.store.join(a, facts);
  await groups.store.join(b, facts);
  for (let elapsedMs = 0; elapsedMs < 4_500; elapsedMs += 500) {
    groups.clock.advance(500);
    await groups.store.heartbeat(a, facts);
    expect(await groups.store.heartbeat(b, facts)).toEqual({ state: "joining" });
  }
  groups.clock.advance(500);
  expect(await groups.store.heartbeat(b, facts)).toMatchObject({ state: "member", generation: 2 });
  expect(await groups.store.heartbeat(a, facts)).toEqual({ state: "unknown" });
});

test("a member without heartbeats is removed after its session, and the group rebalances", async () => {
  await using groups = await openGroups();
  await groups.store.join(a, facts);
  await groups.store.join(b, facts);
  await groups.store.join(a, facts);
  groups.clock.advance(900);
  expect(await groups.store.heartbeat(b, facts)).toMatchObject({ state: "member", generation: 2 });
  groups.clock.advance(200);
  expect(await groups.store.heartbeat(b, facts)).toEqual({ state: "rejoin" });
  expect(await groups.store.view("g", "a")).toEqual({ state: "unknown" });
});

test("a member that was held up, but that nobody removed, has lost nothing", async () => {
  await using groups = await openGroups();
  await groups.store.join(a, facts);
  groups.clock.advance(60_000);
  expect(await groups.store.heartbeat(a, facts)).toMatchObject({ state: "member", generation: 1 });
});

test("members of an earlier start of the machine are dead, and so is their deadline", async () => {
  await using groups = await openGroups();
  groups.clock.advance(10_000_000);
  await groups.store.join(a, facts);
  await groups.store.join(membership("old"), facts); // the group is preparing when the machine stops
  groups.clock.restart();
  await groups.store.join(b, facts);
  expect(await groups.store.view("g", "b")).toMatchObject({ state: "member", generation: 2 });
  await groups.store.join(membership("c"), facts);
  for (let elapsedMs = 0; elapsedMs <= 5_000; elapsedMs += 500) {
    groups.clock.advance(500);
    await groups.store.heartbeat(b, facts);
    await groups.store.heartbeat(membership("c"), facts);
  }
  expect(await groups.store.view("g", "c")).toMatchObject({ state: "member", generation: 3 });
});

test("generations go on after those that the commits know, also with a new file", async () => {
  await using groups = await openGroups();
  await groups.store.join(a, { ...facts, fence: 41 });
  expect(await groups.store.view("g", "a")).toMatchObject({ generation: 42 });
});

test("the group deals its partitions anew when one of its topics came into being", async () => {
  await using groups = await openGroups();
  const none: GroupFacts = { partitionCounts: new Map([["other", 1]]), fence: 0 };
  await groups.store.join(a, none);
  expect(await groups.store.heartbeat(a, none)).toEqual({ state: "member", generation: 1, owned: new Map() });
  expect(await groups.store.heartbeat(a, facts)).toEqual({ state: "rejoin" });
});

test("the last member that leaves ends the generation", async () => {
  await using groups = await openGroups();
  await groups.store.join(a, facts);
  await groups.store.leave("g", "a", facts);
  await groups.store.join(b, facts);
  expect(await groups.store.view("g", "b")).toMatchObject({ state: "member", generation: 3 });
});
