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
 * Below what the kernel gives to port 0 and to outgoing connections (32768 and up): a port that was found free there stays
 * free, however many connections are made until a server of ours listens on it.
 */
const PORT_MIN = 12_000;
const PORT_MAX = 32_000;
/** A port is free only until somebody takes it: test processes that run side by side look in places of their own. */
const PORT_PLACES = 8;
const PORTS_OWN = (PORT_MAX - PORT_MIN) / PORT_PLACES;
const PORTS_FROM = PORT_MIN + (process.pid % PORT_PLACES) * PORTS_OWN;
const PORT_TRIES = 200;

/** `count` different loopback TCP ports that were free a moment ago. Another test may take one: callers start again then. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  try {
    for (let tries = 0; ports.length < count; tries++) {
      if (tries > PORT_TRIES + count) throw new Error(`${count} free ports: not within ${tries} tries`);
      const port = PORTS_FROM + Math.floor(Math.random() * PORTS_OWN);
      const server = await listenOn(port);
      if (server === null) continue;
      servers.push(server);
      ports.push(port);
    }
    return ports;
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
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
