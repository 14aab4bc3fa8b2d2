import { describe, expect, test } from "bun:test";
import type { Link } from "../../src/links/link.ts";
import { simulate, upTo, type Bench, type Node } from "./network-support.ts";
import { Random } from "./random.ts";

describe("the simulated network with all troubles at once", () => {
  test("whatever happens, a connection brings a beginning of what was sent, and in the end the nodes find each other", () => {
    for (const seed of upTo(40)) {
      simulate((bench) => {
        const nodes = troubled(bench, seed);
        for (const node of nodes) {
          for (const link of node.recorder.links.filter(({ outgoing }) => outgoing)) {
            const to = nodes.find(({ recorder }) => link.peer.endsWith(recorder.self.bootId))!;
            // The node that dialled sends, so the number of its link names what it says there.
            const said = to.recorder.messages.filter(
              ({ message }) => speaker(message.epoch) === speaker(stamp(node, link, 0)),
            );
            expect(said.map(({ message }) => message.epoch)).toEqual(
              upTo(said.length).map((n) => stamp(node, link, n)),
            );
          }
        }
        for (const from of nodes) for (const to of nodes) if (from !== to) bench.linked(from, to);
        for (const node of nodes) bench.in(node.process, () => void node.recorder[Symbol.asyncDispose]());
        bench.time.advance(1_000);
        expect(bench.network.openSockets()).toBe(0);
        expect(bench.network.rememberedSockets).toBe(0);
      }, seed);
    }
  });

  test("X4: the same seed gives the same trace, another seed another one", () => {
    expect(traceOf(5)).toEqual(traceOf(5));
    expect(traceOf(6)).not.toEqual(traceOf(5));
  });
});

/** What a link's dialler says as its n-th message. */
function stamp(node: Node, link: Link, n: number): number {
  return (node.process.pid * 1_000 + link.number) * 10_000 + n;
}

function speaker(epoch: number): number {
  return Math.floor(epoch / 10_000);
}

/** Three nodes that talk while the network has all of its troubles; at the end all are healed. */
function troubled(bench: Bench, seed: number): Node[] {
  const { time, network } = bench;
  const chance = new Random(seed).split("faults");
  Object.assign(network.settings, { splitChance: 0.5, partialWriteChance: 0.2, unacknowledgedMs: 2_000 });
  const nodes = ["a", "b", "c"].map((name) => bench.node(name, { idleCloseMs: 3_000 }));
  const faults: ((a: Node, b: Node) => void)[] = [
    (a, b) => network.cut(a.process.name, b.process.name),
    (a, b) => network.cutOneWay(a.process.name, b.process.name),
    (a) => network.dropConnections(a.process.name),
    (a, b) => network.slow(a.process.name, b.process.name, 50),
    (a, b) => network.clog(a.process.name, b.process.name, 1),
    (a) => network.halfOpen(a.process.name),
    (a, b) => network.corruptNext(a.process.name, b.process.name),
    (a) => a.process.stop(),
    (a) => a.process.continue(),
    (a, b) => network.heal(a.process.name, b.process.name),
    () => network.healAll(),
  ];
  const sent = new Map<Link, number>();
  for (let turn = 0; turn < 400; turn++) {
    const from = chance.pick(nodes);
    const to = chance.pick(nodes.filter((node) => node !== from));
    if (chance.chance(0.2)) from.process.enter(() => void from.recorder.dial(to.recorder).catch(() => undefined));
    if (chance.chance(0.1)) chance.pick(faults)(from, to);
    from.process.enter(() => {
      for (const link of from.recorder.links.filter(({ outgoing }) => outgoing)) {
        const n = sent.get(link) ?? 0;
        sent.set(link, n + 1);
        link.send("0".repeat(32), { kind: "admitted", epoch: stamp(from, link, n) });
      }
    });
    time.advance(chance.between(0, 300));
  }
  for (const node of nodes) node.process.continue();
  network.healAll();
  time.advance(10_000);
  return nodes;
}

function traceOf(seed: number): string[] {
  const trace: string[] = [];
  simulate((bench) => {
    const { time } = bench;
    time.onEvent = (process) => void trace.push(`${time.now} ${process?.name ?? ""}`);
    for (const { recorder } of troubled(bench, seed)) {
      for (const { link, message } of recorder.messages) trace.push(`${link.peer} ${message.epoch}`);
      for (const { link, reason } of recorder.closed) trace.push(`${link.peer} ${link.number} ${reason}`);
    }
  }, seed);
  return trace;
}
