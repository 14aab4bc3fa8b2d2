/**
 * A container without an engine: name spaces of its own for processes and mounts, so that the node is process 1; the
 * image's files as a read-only root; its user, environment and folder; a data volume. The network is this machine's.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ChildProcess, startProcess } from "../support/servers/processes.ts";
import type { ImageConfig } from "./buildah.ts";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PID_WAIT_MS = 10_000;
const POLL_MS = 10;

/** $1: the root, $2: the data volume, $3: the task modules; then the command line that enters it. */
const ENTER = `
set -e
root=$1 data=$2 tasks=$3; shift 3
mount --bind "$root" "$root"
mount --bind "$data" "$root/data"
mount --bind "$tasks" "$root/tasks" && mount -o remount,bind,ro "$root/tasks"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do : > "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mount -o remount,bind,ro "$root"
exec "$@"
`;

export interface ContainerOptions {
  readonly image: ImageConfig;
  readonly root: string;
  readonly data: string;
  readonly tasks: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
}

export interface Container extends AsyncDisposable {
  readonly name: string;
  /** Process 1 as this machine sees it: who gets the signals that an engine would send. */
  readonly pid: number;
  output(): string;
  /** The exit code of process 1. */
  readonly exited: Promise<number>;
  kill(signal: NodeJS.Signals): void;
}

/** Containers whose process 1 lives; it outlives the one that started it, since it has changed its user. */
const alive = new Set<Container>();
process.on("exit", () => {
  for (const container of alive) container.kill("SIGKILL");
});

/** Starts the command line as process 1 of a container; `entry` is the image's own unless given (a health check's). */
export async function startContainer(
  name: string,
  options: ContainerOptions,
  argv: readonly string[],
  entry: readonly string[] = options.image.entrypoint,
): Promise<Container> {
  const { image, root, data, tasks } = options;
  const [user = "", group = user] = image.user.split(":");
  const where = [`--root=${root}`, `--wd=${options.workingDirectory ?? image.workingDirectory}`, "--mount-proc"];
  const identity = ["--setuid", user, "--setgid", group];
  const enter = ["unshare", "--pid", "--fork", ...where, ...identity, "--", ...entry, ...argv];
  const variables = { PATH: DEFAULT_PATH, HOME: "/", ...pairs(image.environment), ...options.environment };
  const environment = Object.entries(variables).map(([key, value]) => `${key}=${value}`);
  // `env` clears everything of this machine; the mounts end with the name space, which ends with its last process.
  const command = [
    "unshare",
    "--mount",
    "env",
    "-i",
    ...environment,
    "sh",
    "-c",
    ENTER,
    "container",
    root,
    data,
    tasks,
  ];
  const child = startProcess(name, [...command, ...enter]);
  const pid = await processOne(child);
  const container: Container = {
    name,
    pid,
    output: () => child.output(),
    exited: child.exited.finally(() => alive.delete(container)),
    kill(signal) {
      // Not by its number alone: the number may belong to somebody else by now.
      if (child.alive() && isProcessOne(pid)) process.kill(pid, signal);
    },
    async [Symbol.asyncDispose]() {
      container.kill("SIGKILL");
      await container.exited;
    },
  };
  alive.add(container);
  return container;
}

/** Runs a command line to its end in a container. @returns exit code and output */
export async function runContainer(
  name: string,
  options: ContainerOptions,
  argv: readonly string[],
  entry?: readonly string[],
): Promise<{ readonly code: number; readonly output: string }> {
  await using container = await startContainer(name, options, argv, entry);
  return { code: await container.exited, output: container.output() };
}

async function processOne(child: ChildProcess): Promise<number> {
  for (let waitedMs = 0; waitedMs < PID_WAIT_MS && child.alive(); waitedMs += POLL_MS) {
    let pid: number | null = child.pid;
    while (pid !== null && !isProcessOne(pid)) pid = childOf(pid);
    if (pid !== null) return pid;
    await Bun.sleep(POLL_MS);
  }
  throw new Error(`${child.name}: no process 1 within ${PID_WAIT_MS} ms\n${child.output()}`);
}

/** In a pid name space below ours: "NSpid: 4711 1". */
function isProcessOne(pid: number): boolean {
  return /^\d+\s+1$/.test(statusOf(pid, "NSpid"));
}

/** A line of /proc/<pid>/status; "" when the process is gone. */
export function statusOf(pid: number, key: string): string {
  return new RegExp(`^${key}:\\t(.*)$`, "m").exec(textOf(`/proc/${pid}/status`))?.[1] ?? "";
}

/** How the process's root is mounted: "ro,relatime" and the like. */
export function rootMount(pid: number): string {
  const lines = textOf(`/proc/${pid}/mountinfo`).split("\n");
  return lines.map((line) => line.split(" ")).findLast((fields) => fields[4] === "/")?.[5] ?? "";
}

function childOf(pid: number): number | null {
  const first =
    textOf(join("/proc", String(pid), "task", String(pid), "children"))
      .trim()
      .split(" ")[0] ?? "";
  return first === "" ? null : Number(first);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process has ended
  }
}

function pairs(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(list.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}
