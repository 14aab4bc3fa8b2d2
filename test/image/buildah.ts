/**
 * Images without a container engine: buildah with chroot isolation, its storage in a folder of its own, and base images
 * made from Debian's packages, since no registry of images is asked. Needs root.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync } from "node:fs";
import { cp, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT } from "./compose-file.ts";

/** Enough to copy, to run a shell and to be run: the images themselves need libc alone. */
const DEBIAN_PACKAGES = "base-files,coreutils,dash,libc6";
const CACHE = join(PROJECT, ".cache");
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const COMMAND_MS = 420_000;

/** What an image says about how it is to be run. */
export interface ImageConfig {
  readonly user: string;
  readonly environment: readonly string[]; // NAME=value
  readonly entrypoint: readonly string[];
  readonly workingDirectory: string;
  readonly volumes: readonly string[];
  readonly healthCheck: readonly string[]; // the command, without the leading CMD
  readonly stopSignal: string;
}

/** Runs a command to its end. @throws Error with its output when it fails. @returns its standard output */
export async function command(argv: readonly string[], cwd: string = PROJECT): Promise<string> {
  const child = Bun.spawn([...argv], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: COMMAND_MS });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit code ${code}\n${(out + err).slice(-6_000)}`);
  return out;
}

export class ImageStore implements AsyncDisposable {
  readonly #folder: string;
  readonly #mounted: string[] = [];

  /** `folder` holds the storage, and goes with it. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  async buildah(...argv: readonly string[]): Promise<string> {
    const storage = ["--root", join(this.#folder, "storage"), "--runroot", join(this.#folder, "run")];
    return (await command(["buildah", ...storage, "--storage-driver", "vfs", ...argv])).trim();
  }

  /** `vouch-base` to run on: Debian's libc. `vouch-build-base` to build with: Node and npm beside it. */
  async makeBases(): Promise<void> {
    const container = await this.buildah("from", "scratch");
    await this.buildah("add", "-q", container, await debianFiles(), "/");
    await this.buildah("commit", "-q", container, "vouch-base");
    const root = await this.buildah("mount", container);
    await addNode(root, this.#folder);
    if (existsSync(CERTIFICATES)) {
      mkdirSync(join(root, "etc/ssl/certs"), { recursive: true });
      cpSync(CERTIFICATES, join(root, CERTIFICATES), { dereference: true });
      const names = ["NODE_EXTRA_CA_CERTS", "npm_config_cafile"];
      await this.buildah("config", ...names.flatMap((name) => ["--env", `${name}=${CERTIFICATES}`]), container);
    }
    await this.buildah("umount", container);
    await this.buildah("commit", "-q", container, "vouch-build-base");
    await this.buildah("rm", container);
  }

  /** Builds one target of the Dockerfile on our bases. */
  async build(target: string, commit: string): Promise<void> {
    const bases = ["BASE=localhost/vouch-base", "BUILD_BASE=localhost/vouch-build-base", `COMMIT=${commit}`];
    const argv = ["--format", "docker", "--isolation", "chroot", "--pull-never", "--target", target, "-t", target];
    // npm's cache of this machine: what was downloaded once today is not downloaded for each target.
    const npmCache = (await command(["npm", "config", "get", "cache"])).trim();
    mkdirSync(npmCache, { recursive: true });
    const cache = ["--volume", `${npmCache}:/root/.npm`];
    await this.buildah("build", ...argv, ...bases.flatMap((base) => ["--build-arg", base]), ...cache, ".");
  }

  async config(image: string): Promise<ImageConfig> {
    const { Docker } = JSON.parse(await this.buildah("inspect", "--type", "image", image)) as {
      Docker: { config: Record<string, unknown> & { Healthcheck?: { Test: string[] } } };
    };
    const list = (value: unknown): string[] => (Array.isArray(value) ? (value as string[]) : []);
    return {
      user: String(Docker.config["User"]),
      environment: list(Docker.config["Env"]),
      entrypoint: list(Docker.config["Entrypoint"]),
      workingDirectory: String(Docker.config["WorkingDir"]),
      volumes: Object.keys((Docker.config["Volumes"] as object | undefined) ?? {}),
      healthCheck: list(Docker.config.Healthcheck?.Test).slice(1),
      stopSignal: String(Docker.config["StopSignal"]),
    };
  }

  /** A container of the image, and where its files lie. */
  async mount(image: string): Promise<{ readonly container: string; readonly root: string }> {
    const container = await this.buildah("from", "--pull-never", image);
    this.#mounted.push(container);
    return { container, root: await this.buildah("mount", container) };
  }

  /** Runs a command in the container as buildah does it: chroot, the image's user, environment and folder. */
  async run(container: string, argv: readonly string[]): Promise<string> {
    return this.buildah("run", "--isolation", "chroot", container, "--", ...argv);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const container of this.#mounted.splice(0)) {
      await this.buildah("umount", container);
      await this.buildah("rm", container);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A tar of Debian's files for this machine's release (its libraries go into the build base), made once a machine. */
async function debianFiles(): Promise<string> {
  const release = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "bookworm";
  const target = join(CACHE, `debian-${release}-${Bun.hash(DEBIAN_PACKAGES).toString(16)}.tar`);
  if (existsSync(target)) return target;
  await mkdir(CACHE, { recursive: true });
  const unfinished = `${target}.${process.pid}.tar`;
  const include = `--include=${DEBIAN_PACKAGES}`;
  await command(["mmdebstrap", "--mode=root", "--variant=extract", include, release, unfinished]);
  await rename(unfinished, target);
  return target;
}

/** This machine's Node with its libraries, and an npm that has its own packages with it. */
async function addNode(root: string, folder: string): Promise<void> {
  const node = realpathSync(Bun.which("node") ?? "node");
  const libraries = [...(await command(["ldd", node])).matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]!);
  for (const library of libraries) {
    if (!existsSync(join(root, library))) cpSync(library, join(root, library), { dereference: true });
  }
  await cp(node, join(root, "usr/local/bin/node"));
  const npm = join(folder, "npm");
  await mkdir(npm, { recursive: true });
  await command([
    "npm",
    "install",
    "--silent",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    "--prefix",
    npm,
    "npm@11",
  ]);
  await cp(join(npm, "node_modules/npm"), join(root, "usr/local/lib/node_modules/npm"), { recursive: true });
  symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(root, "usr/local/bin/npm"));
  if (!existsSync(join(root, "usr/bin/env"))) symlinkSync("../../bin/env", join(root, "usr/bin/env"));
}
