/** Entry point: the command line of `vouch`. */
import { plugin } from "bun";
import { runCli } from "./src/cli/cli.ts";
import * as library from "./src/index.ts";

// A task module's `import … from "vouch"` is answered from this program, wherever the module lies: a module outside of a
// project that depends on vouch has no such package, and inside the executable there are no packages at all.
plugin({
  name: "vouch",
  setup: (build) => void build.module("vouch", () => ({ exports: { ...library }, loader: "object" })),
});

process.exitCode = await runCli({
  argv: process.argv.slice(2),
  environment: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  live: process.stderr.isTTY === true,
});
