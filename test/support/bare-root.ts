/**
 * A root directory that holds nothing but what a program of one file needs to be loaded, and what a test puts into it:
 * no Bun, no Node, no shell. Processes in it see the kernel's /proc and /dev/null, as on any machine, and share the network.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** Without root's rights the same works in a user name space. */
const UNSHARE = ["unshare", ...(process.getuid?.() === 0 ? [] : ["--map-root-user"]), "--mount"];
const ENTER = 'mount --bind /dev/null "$0/dev/null" && exec chroot "$0" "$@"';

/** Folders that every machine has; empty here. */
const FOLDERS = ["dev", "proc", "tmp", "data"];

export class BareRoot implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "vouch-root-"));

  /** `executable` becomes `/vouch`, with the shared libraries that it names. */
  constructor(executable: string) {
    for (const folder of FOLDERS) mkdirSync(join(this.folder, folder));
    writeFileSync(this.path("/dev/null"), "");
    for (const library of librariesOf(executable)) this.copy(library, library);
    this.copy(executable, "/vouch");
  }

  /** A file or a folder of this machine, at an absolute path inside. */
  copy(from: string, to: string): void {
    mkdirSync(dirname(this.path(to)), { recursive: true });
    cpSync(from, this.path(to), { recursive: true, dereference: true });
  }

  write(to: string, text: string): void {
    mkdirSync(dirname(this.path(to)), { recursive: true });
    writeFileSync(this.path(to), text);
  }

  /** Where a path inside lies for us. */
  path(inside: string): string {
    return join(this.folder, inside);
  }

  /** A command line that runs `argv` inside, in the process that is started. */
  command(...argv: string[]): string[] {
    return [...UNSHARE, "sh", "-c", `mount --rbind /proc "$0/proc" && ${ENTER}`, this.folder, ...argv];
  }

  /** The same, as process 1 of a pid name space of its own: what a container does. */
  commandAsProcessOne(...argv: string[]): string[] {
    const [unshare = "", ...flags] = UNSHARE;
    const enter = `mount -t proc proc "$0/proc" && ${ENTER}`;
    return [unshare, ...flags, "--pid", "--fork", "--kill-child", "sh", "-c", enter, this.folder, ...argv];
  }

  /** Every file inside, without what processes wrote. */
  files(): string[] {
    const all = readdirSync(this.folder, { recursive: true, withFileTypes: true });
    const files = all.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    return files
      .map((file) => file.slice(this.folder.length))
      .filter((file) => file !== "/dev/null")
      .toSorted();
  }

  [Symbol.dispose](): void {
    if (existsSync(join(this.folder, "proc", "self"))) throw new Error(`/proc is still mounted in ${this.folder}`);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What `ldd` names, the loader included. */
function librariesOf(executable: string): string[] {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["ldd", executable]);
  if (exitCode !== 0) throw new Error(`ldd ${executable}: ${stderr.toString()}`);
  return [...stdout.toString().matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]!);
}
