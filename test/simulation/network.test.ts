import { describe, expect, test } from "bun:test";
import type { Link } from "../../src/links/link.ts";
import type { LinkSettings } from "../../src/links/link-settings.ts";
import type { PeerIdentity } from "../../src/links/handshake.ts";
import { identity, Recorder } from "../links/support.ts";
import { withMachine } from "./globals.ts";
import { SimulatedNetwork } from "./network.ts";
import { Random } from "./random.ts";
import { SimulatedProcess, VirtualTime } from "./virtual-time.ts";

interface Node {
  readonly process: SimulatedProcess;
  readonly recorder: Recorder;
}

/** Real peer endpoints in simulated processes. */
class Bench {
  readonly time: VirtualTime;
  readonly network: SimulatedNetwork;
  readonly #random: Random;
  #pids = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.time = new VirtualTime(this.#random.split("time"));
    this.network = new SimulatedNetwork(this.time, this.#random.split("network"));
  }

  node(name: string, settings: Partial<LinkSettings> = {}, changes: Partial<PeerIdentity> = {}): Node {
    const pid = ++this.#pids;
    const random = this.#random.split(`process ${pid}`);
    const process = new SimulatedProcess(this.time, { name, pid, host: name, random });
    const recorder = this.in(process, () => new Recorder(identity(name, changes), settings));
    return { process, recorder };
  }

  in<T>(process: SimulatedProcess, run: () => T): T {
    let result: { readonly value: T } | null = null;
    this.time.runIn(process, () => void (result = { value: run() }));
    return result!.value;
  }

  /** The outcome so far: a link, an error, or null while it is under way. */
  dial(from: Node, to: Node): { link: Link | null; error: string | null } {
    const outcome: { link: Link | null; error: string | null } = { link: null, error: null };
    this.in(from.process, () => {
      from.recorder.dial(to.recorder).then(
        (link) => (outcome.link = link),
        (error: unknown) => (outcome.error = String(error)),
      );
    });
    return outcome;
  }

  linked(from: Node, to: Node): Link {
    const outcome = this.dial(from, to);
    this.time.advance(100);
    if (outcome.link === null) throw new Error(`no link: ${outcome.error ?? "it hangs"}`);
    return outcome.link;
  }

  send(from: Node, link: Link, epoch: number): void {
    this.in(from.process, () => link.send("0".repeat(32), { kind: "admitted", epoch }));
  }
}

function simulate(run: (bench: Bench) => void, seed = 1): void {
  const bench = new Bench(seed);
  const { time, network } = bench;
  withMachine({ time, listen: network.listen, connect: network.connect, Worker: null }, () => run(bench));
}

const epochs = (node: Node): number[] => node.recorder.messages.map(({ message }) => message.epoch);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe("the simulated network, under real peer links", () => {
  test("a handshake, and messages both ways", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      const link = bench.linked(a, b);
      expect(link.peer).toBe(`b/${b.recorder.self.bootId}`);
      for (const epoch of upTo(100)) bench.send(a, link, epoch);
      bench.send(b, b.recorder.links[0]!, 7);
      bench.time.advance(100);
      expect(epochs(b)).toEqual(upTo(100));
      expect(epochs(a)).toEqual([7]);
    }));
});
