/** Entry point: the command line of `vouch`. */
import { runCli } from "./src/cli/cli.ts";

process.exitCode = await runCli({
  argv: process.argv.slice(2),
  environment: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  live: process.stderr.isTTY === true,
});
