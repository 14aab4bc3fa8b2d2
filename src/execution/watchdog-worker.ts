/**
 * The watchdog's thread (R12). It has one task: to end this process when its main thread did not end its handlers in time.
 * A kill cannot be caught, delayed or forgotten by the code that hangs, and that is the point.
 */
import { dlopen } from "bun:ffi";
import { readFileSync, write } from "node:fs";
import { type Verdict, type Moment, WatchdogEye } from "./watchdog-eye.ts";
import { Word, type WatchdogStart } from "./watchdog-words.ts";

/** The message goes through another thread; the kill does not wait for it longer than this. */
const LAST_WORDS_MS = 20;

const reasons: Readonly<Record<Exclude<Verdict, "">, string>> = {
  lease: "handlers still run and this node's time without its cell is over",
  handler: "a handler neither ended in its time nor obeyed its abort signal",
};

function uptimeMs(): number {
  try {
    return Number.parseFloat(readFileSync("/proc/uptime", "latin1")) * 1_000;
  } catch {
    return 0; // not Linux: the monotonic clock counts alone
  }
}

function now(): Moment {
  return { monotonicMs: performance.now(), uptimeMs: uptimeMs() };
}

/** What a shell sees of a process that got SIGKILL. */
const KILLED_EXIT_CODE = 137;

/**
 * Ends this process, whatever its main thread does. The kernel keeps every signal from inside, SIGKILL too, away from
 * process 1 of a pid name space, which a node in a container is: that one can only leave by itself, and libc's `_exit`
 * takes all threads along. Loaded at the start, so that a node without it does not begin.
 */
function ending(): () => void {
  if (process.pid !== 1) return () => process.kill(process.pid, "SIGKILL");
  try {
    const libc = dlopen("libc.so.6", { _exit: { args: ["i32"], returns: "void" } });
    return () => libc.symbols._exit(KILLED_EXIT_CODE);
  } catch (cause) {
    const message = "libc's _exit, without which process 1 of a container cannot be ended from inside, was not found";
    throw new Error(`${message}; start the container with an init process ("docker run --init")`, { cause });
  }
}

function kill(verdict: Exclude<Verdict, "">, end: () => void): void {
  setTimeout(end, LAST_WORDS_MS);
  // Standard error may be a full pipe that nobody reads: the write must not be able to hold the kill up, nor its failure.
  write(2, `vouch watchdog: ${reasons[verdict]}; killing process ${process.pid}\n`, () => undefined);
}

function watch(start: WatchdogStart): void {
  const end = ending();
  const eye = new WatchdogEye(start.words, start.lookMs, now());
  let killing = false;
  const timer = setInterval(() => {
    if (Atomics.load(start.words, Word.stop) === 1) {
      clearInterval(timer);
      return;
    }
    const verdict = eye.look(now());
    if (verdict === "" || killing) return;
    killing = true;
    kill(verdict, end);
  }, start.lookMs);
}

addEventListener("message", (event: MessageEvent<WatchdogStart>) => watch(event.data), { once: true });
