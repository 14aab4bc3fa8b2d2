/**
 * `bun run build [FILE]`: the executable, dist/vouch by default. One file with Bun, all packages and the library in it;
 * it needs libc and the kernel's /proc, and nothing else.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import packageJson from "../package.json" with { type: "json" };

const ROOT = join(import.meta.dir, "..");

export interface Built {
  readonly commit: string; // of the sources, "-changed" behind it when they differ; "" without git (in an image, say)
  readonly bytes: number;
}

/** @throws AggregateError of Bun when the sources cannot be bundled. `entry`: what runs; tests give their own. */
export async function buildExecutable(outfile: string, entry: string = join(ROOT, "node.ts")): Promise<Built> {
  const commit = commitOfSources();
  const folder = `${outfile}.build`;
  const built = join(folder, basename(outfile));
  mkdirSync(folder, { recursive: true });
  await Bun.build({
    // The watchdog's thread and the hash are loaded by file name, so they are entry points of their own. All lie side by
    // side in the executable: `new URL("./watchdog-worker.ts", import.meta.url)` must find the thread from the bundle.
    entrypoints: [entry, join(ROOT, "src/execution/watchdog-worker.ts"), hashFile()],
    root: ROOT,
    naming: { entry: "[name].[ext]", asset: "[name].[ext]" },
    minify: true,
    sourcemap: "linked", // in the executable, too: a stack trace names the line of the sources
    define: { VOUCH_COMMIT: JSON.stringify(commit) },
    compile: {
      outfile: built,
      // What lies in the working directory configures nothing: options come from flags, environment and --config FILE.
      autoloadDotenv: false,
      autoloadBunfig: false,
      // Without it the packages of a `node_modules` folder beside a task module are not found.
      autoloadPackageJson: true,
      autoloadTsconfig: true, // a task module means the same here and under `bun run node.ts`
    },
  });
  renameSync(built, outfile); // so that a running executable can be replaced
  rmSync(folder, { recursive: true }); // source maps as files, which nothing needs
  return { commit, bytes: Bun.file(outfile).size };
}

/** xxhash-wasm's WebAssembly: the wrapper around it is half of the time of a hash, see `native-ish/key-hash.ts`. */
function hashFile(): string {
  return join(dirname(fileURLToPath(import.meta.resolve("xxhash-wasm"))), "..", "workerd", "xxhash.wasm");
}

/** The environment's COMMIT wins: an image is built without git's folder. */
function commitOfSources(): string {
  const given = process.env["COMMIT"];
  if (given !== undefined && given !== "") return given;
  const git = (...argv: string[]): string => {
    try {
      const { exitCode, stdout } = Bun.spawnSync(["git", "-C", ROOT, ...argv], { stderr: "ignore" });
      return exitCode === 0 ? stdout.toString().trim() : "";
    } catch {
      return ""; // no git on this machine
    }
  };
  const commit = git("rev-parse", "--short=12", "HEAD");
  const changed = git("status", "--porcelain", "--", "node.ts", "src", "native-ish", "package.json") !== "";
  return commit === "" ? "" : `${commit}${changed ? "-changed" : ""}`;
}

if (import.meta.main) {
  const began = performance.now();
  const outfile = process.argv[2] ?? join(ROOT, "dist", "vouch");
  const { commit, bytes } = await buildExecutable(outfile);
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  const from = commit === "" ? "" : ` (${commit})`;
  console.log(`${outfile}: vouch ${packageJson.version}${from}, ${(bytes / 1e6).toFixed(0)} MB, built in ${seconds} s`);
}
