/**
 * Child processes, ports and folders for tests. Guarantees: whatever is started here is ended by its own pid at the
 * latest when the test process exits (also by a crash, where the system offers a parent-death signal), and a failed
 * wait says what was waited for and shows the end of the process's output.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const OUTPUT_CHARS_MAX = 200_000;
const FAILURE_OUTPUT_CHARS = 6_000;

export interface ChildProcess {
  readonly name: string;
  readonly pid: number;
  /** True until the process has ended (a stopped one, SIGSTOP, is alive). */
  alive(): boolean;
  /** The last ~200,000 characters of stdout and stderr, interleaved. */
  output(): string;
  /** Resolves with the exit code, or -1 when a signal ended it. */
  readonly exited: Promise<number>;
  /** Sends a signal to this pid only; does nothing when it has ended. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the output so far, or from now on, matches. @throws Error with the output when it ends or time runs out. */
  waitForOutput(pattern: RegExp, timeoutMs: number): Promise<void>;
  /** SIGKILL (also of a stopped process) and wait until it is gone. Idempotent. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const running = new Map<number, ChildProcess>();

process.on("exit", () => {
  for (const child of running.values()) child.kill("SIGKILL");
});

/** The processes that were started here and have not ended: a leak check asks this after each file. */
export function runningProcesses(): readonly ChildProcess[] {
  return [...running.values()];
}

/** Starts a program. It does not wait until the program is ready. */
export function startProcess(name: string, command: readonly string[], options: StartOptions = {}): ChildProcess {
  // The signal at the parent's death is the only thing that ends a server when the test process itself is killed.
  const guard = Bun.which("setpriv");
  const full = guard === null ? [...command] : [guard, "--pdeathsig", "KILL", ...command];
  const spawned = Bun.spawn(full, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  spawned.unref();

  let text = "";
  let ended = false;
  const watchers = new Set<() => void>();
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > OUTPUT_CHARS_MAX) text = text.slice(-OUTPUT_CHARS_MAX / 2);
      for (const watch of watchers) watch(); // one that is done takes itself out
    }
  };
  const streams = Promise.allSettled([collect(spawned.stdout), collect(spawned.stderr)]);

  const exited = spawned.exited.then(async (code) => {
    ended = true;
    running.delete(spawned.pid);
    // A grandchild may hold the pipes open: the output is worth a moment, not a hang.
    await Promise.race([streams, Bun.sleep(200)]);
    for (const watch of watchers) watch(); // one that is done takes itself out
    return spawned.signalCode === null ? code : -1;
  });

  const child: ChildProcess = {
    name,
    pid: spawned.pid,
    alive: () => !ended,
    output: () => text,
    exited,
    kill(signal) {
      if (!ended) spawned.kill(signal);
    },
    waitForOutput(pattern, timeoutMs) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(() => fail(`did not print ${pattern} within ${timeoutMs} ms`), timeoutMs);
      const finish = (): void => {
        clearTimeout(timer);
        watchers.delete(watch);
      };
      const fail = (what: string): void => {
        finish();
        reject(
          new Error(`${name} (pid ${spawned.pid}) ${what}; its last output:\n${text.slice(-FAILURE_OUTPUT_CHARS)}`),
        );
      };
      const watch = (): void => {
        if (pattern.test(text)) {
          finish();
          resolve();
        } else if (ended) {
          fail(`ended before it printed ${pattern}`);
        }
      };
      watchers.add(watch);
      watch();
      return promise;
    },
    async stop() {
      child.kill("SIGKILL");
      await exited;
    },
    [Symbol.asyncDispose]: () => child.stop(),
  };
  running.set(child.pid, child);
  return child;
}

/**
 * Below what the kernel gives to port 0 and to outgoing connections (32768 and up), and below where the demo looks
 * (src/cli/demo/cell.ts): a port that was found free here stays free until a server of ours listens on it.
 */
const PORT_MIN = 12_000;
/** Test processes that run side by side have places of their own; who listens on a place's first port has the place. */
const PORT_PLACES = 8;
const PORTS_OF_PLACE = 1_250;

interface PortPlace {
  readonly first: number;
  readonly lock: Server;
  /** How many were handed out: none is handed out twice before all others were, so none that waits for its server is. */
  taken: number;
}

/** Test files may each have their own copy of this module; the place is found by this name. */
const PLACE = Symbol.for("vouch.test.ports");
type Placed = { [PLACE]?: Promise<PortPlace> };

async function findPlace(): Promise<PortPlace> {
  for (let place = 0; place < PORT_PLACES; place++) {
    const first = PORT_MIN + place * PORTS_OF_PLACE;
    const lock = await listenOn(first);
    if (lock !== null) return { first, lock: lock.unref(), taken: 0 };
  }
  throw new Error(
    `no place for ports: ${PORT_PLACES} test processes run already, or others listen from ${PORT_MIN} on`,
  );
}

/** `count` different loopback TCP ports that were free a moment ago, and that no other test is given. */
export async function freePorts(count: number): Promise<number[]> {
  const place = await ((globalThis as Placed)[PLACE] ??= findPlace());
  const ports: number[] = [];
  for (let tries = 1; ports.length < count; tries++) {
    if (tries > PORTS_OF_PLACE)
      throw new Error(`${count} free ports: not among ${PORTS_OF_PLACE} from ${place.first} on`);
    const port = place.first + 1 + (place.taken++ % (PORTS_OF_PLACE - 1));
    const server = await listenOn(port);
    if (server === null) continue;
    await new Promise((resolve) => server.close(resolve));
    ports.push(port);
  }
  return ports;
}

/** null when somebody has the port. */
function listenOn(port: number): Promise<Server | null> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(null));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error("no free port");
  return port;
}

export interface TemporaryFolder {
  readonly path: string;
  remove(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A new folder. What is not removed before is removed when the test process is gone, however it ended. */
export async function temporaryFolder(prefix: string): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), `${prefix}-`));
  removeAtTheEnd(path);
  const remove = (): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 5 });
  return { path, remove, [Symbol.asyncDispose]: remove };
}

/** Reads paths until its input ends, which is when this process does (`bun test` has no "exit" event), and removes them. */
const SWEEPER = 'paths=$(cat); sleep 1; printf "%s" "$paths" | xargs -r -d "\\n" rm -rf';
let sweeper: Bun.Subprocess<"pipe", "ignore", "ignore"> | null = null;

function removeAtTheEnd(path: string): void {
  if (sweeper === null) {
    sweeper = Bun.spawn(["sh", "-c", SWEEPER], { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
    sweeper.unref();
  }
  void sweeper.stdin.write(`${path}\n`);
  void sweeper.stdin.flush();
}

/** Polls until the condition holds. @throws Error naming what was waited for. */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  everyMs = 20,
): Promise<void> {
  const startedMs = performance.now();
  while (!(await condition())) {
    if (performance.now() - startedMs > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await Bun.sleep(everyMs);
  }
}
