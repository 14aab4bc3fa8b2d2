/**
 * The watchdog's thread (R12). It has one task: to end this process when its main thread did not end its handlers in time.
 * A kill cannot be caught, delayed or forgotten by the code that hangs, and that is the point.
 */
import { dlopen } from "bun:ffi";
import { readFileSync, write } from "node:fs";
import { type Verdict, type Moment, WatchdogEye } from "./watchdog-eye.ts";
import { nameFrom, Word, type WatchdogStart } from "./watchdog-words.ts";

/** The message goes through another thread; the kill does not wait for it longer than this. */
const LAST_WORDS_MS = 40;

/** Longer than any interval between two questions: the event loop stands still. */
const SILENT_MS = 750;

const WHAT_NOW =
  "What ran ends unknown: another node asks its check, and after --unknown-max such ends it is parked. To do: ";

function lastWords(verdict: Exclude<Verdict, "">, start: WatchdogStart, silentMs: number): string {
  const stands = silentMs > SILENT_MS ? `, and the event loop has stood still for ${Math.round(silentMs)} ms` : "";
  const name = nameFrom(start.words, start.topics);
  const killing = `killing process ${process.pid}`;
  if (verdict === "lease") {
    const why = `handlers still run (${name}) and this node's time without its cell is over${stands}`;
    return `${why}; ${killing}. ${WHAT_NOW}handlers must end when their signal is aborted`;
  }
  const why = `${name} neither ended in its time nor obeyed its abort signal${stands}`;
  const cure =
    stands === ""
      ? "end it when its signal is aborted (give the signal to whatever it waits for), or raise --handler-timeout-ms"
      : "do not compute or wait for long without an await; give such work to a Worker or another process";
  return `${why}; ${killing}. ${WHAT_NOW}${cure}`;
}

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

function kill(words: () => string, end: () => void): void {
  setTimeout(end, LAST_WORDS_MS); // before anything that could fail
  // Standard error may be a full pipe that nobody reads: the write must not be able to hold the kill up, nor its failure.
  write(2, `vouch watchdog: ${words()}\n`, end);
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
    kill(() => lastWords(verdict, start, eye.silentMs(now())), end);
  }, start.lookMs);
}

addEventListener("message", (event: MessageEvent<WatchdogStart>) => watch(event.data), { once: true });
