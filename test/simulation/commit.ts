import { join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");

async function git(...args: string[]): Promise<string | null> {
  const child = Bun.spawn(["git", ...args], { cwd: ROOT, stdout: "pipe", stderr: "ignore", stdin: "ignore" });
  const text = await new Response(child.stdout).text();
  return (await child.exited) === 0 ? text.trim() : null;
}

/** The commit whose sources run, "+changes" when the work tree differs from it in what a simulation loads; "unknown" without git. */
export async function commitOf(): Promise<string> {
  const commit = await git("rev-parse", "--short=12", "HEAD").catch(() => null);
  if (commit === null) return "unknown";
  const changed = await git("status", "--porcelain", "--", "src", "native-ish", "test/simulation");
  return changed === "" ? commit : `${commit}+changes`;
}
