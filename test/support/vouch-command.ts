/** The command line as a user has it: one process a call, its two outputs apart, ended by itself or after a limit. */
import { ROOT } from "./cluster-node.ts";

/** A command that is not done by then is killed, and its code is -1. */
const COMMAND_MS = 30_000;

export interface CommandResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `bun run node.ts <argv>` with `input` as its standard input (none by default). */
export async function vouch(argv: readonly string[], input = ""): Promise<CommandResult> {
  const child = Bun.spawn([process.execPath, "run", "node.ts", ...argv], {
    cwd: ROOT,
    env: { ...process.env, NODE_ENV: "production" },
    stdin: new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
    timeout: COMMAND_MS,
    killSignal: "SIGKILL",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code: child.signalCode === null ? code : -1, out, err };
}
