/** Real peer endpoints, and sockets without our protocol, in simulated processes: for the tests of the simulated network. */
import { describeError } from "../../src/errors.ts";
import type { Link } from "../../src/links/link.ts";
import type { LinkSettings } from "../../src/links/link-settings.ts";
import type { PeerIdentity } from "../../src/links/handshake.ts";
import { identity, Recorder } from "../links/support.ts";
import { withMachine } from "./globals.ts";
import { SimulatedNetwork } from "./network.ts";
import type { SimulatedSocket, SocketHandlers } from "./network-socket.ts";
import { Random } from "./random.ts";
import { SimulatedProcess, VirtualTime } from "./virtual-time.ts";

export interface Node {
  readonly process: SimulatedProcess;
  readonly recorder: Recorder;
}

/** Real peer endpoints in simulated processes. */
export class Bench {
  readonly time: VirtualTime;
  readonly network: SimulatedNetwork;
  readonly #random: Random;
  #pids = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.time = new VirtualTime(this.#random.split("time"));
    this.network = new SimulatedNetwork(this.time, this.#random.split("network"));
  }

  process(name: string): SimulatedProcess {
    const pid = ++this.#pids;
    return new SimulatedProcess(this.time, { name, pid, host: name, random: this.#random.split(`process ${pid}`) });
  }

  node(name: string, settings: Partial<LinkSettings> = {}, changes: Partial<PeerIdentity> = {}): Node {
    const process = this.process(name);
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
        (error: unknown) => (outcome.error = describeError(error)),
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

/** One end of a connection without our protocol. */
interface RawEnd {
  readonly process: SimulatedProcess;
  readonly socket: SimulatedSocket;
  readonly reads: number[][];
  readonly drains: number;
  readonly closed: string | null; // the error's code, or "" for an orderly end
}

/** A connection between two processes, "c" to "s". */
export function pair(bench: Bench): { readonly server: RawEnd; readonly client: RawEnd } {
  const end = (name: string) => {
    const state = {
      process: bench.process(name),
      socket: null as SimulatedSocket | null,
      reads: [] as number[][],
      drains: 0,
      closed: null as string | null,
    };
    const handlers: SocketHandlers = {
      open: (socket) => void (state.socket = socket),
      data: (_socket, chunk) => void state.reads.push([...chunk]),
      drain: () => void state.drains++,
      close: (_socket, error) => void (state.closed = String((error as { code?: string } | undefined)?.code ?? "")),
    };
    return { state, handlers };
  };
  const [server, client] = [end("s"), end("c")];
  const on = { hostname: "127.0.0.1" };
  const listen = { ...on, port: 0, socket: server.handlers };
  const { port } = bench.in(server.state.process, () => bench.network.listen(listen));
  bench.in(client.state.process, () => void bench.network.connect({ ...on, port, socket: client.handlers }));
  bench.time.advance(50);
  return { server: server.state as RawEnd, client: client.state as RawEnd };
}

export function simulate(run: (bench: Bench) => void, seed = 1): void {
  const bench = new Bench(seed);
  const { time, network } = bench;
  withMachine({ time, listen: network.listen, connect: network.connect, Worker: null }, () => run(bench));
}

export const epochs = (node: Node): number[] => node.recorder.messages.map(({ message }) => message.epoch);
export const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
