/** `health`: asks the node on this machine whether it lives; what a container's health check calls. */
import { loadOptions } from "../config/load.ts";
import { option } from "../config/option.ts";
import { nodeOptions } from "../config/option-table.ts";
import { type Address, formatAddress, integer, toggle } from "../config/option-types.ts";
import { ConfigurationError, describeError, VouchError } from "../errors.ts";
import type { CliContext, Command } from "./command.ts";
import { ExitCode } from "./exit-code.ts";

const GROUP = "Health";

const options = {
  httpListen: nodeOptions.httpListen,
  ready: option({
    type: toggle(),
    default: false,
    unit: "",
    group: GROUP,
    description: "ask /readyz (does it take part in the work?) instead of /livez (should it be started anew?)",
  }),
  timeoutMs: option({
    type: integer(1, 600_000),
    default: 3_000,
    unit: "ms",
    group: GROUP,
    description: "how long to wait for the answer",
  }),
};

export const healthCommand: Command = {
  name: "health",
  summary: "asks the node at --http-listen on this machine for /livez or /readyz; exit code 0 when all is well",
  positionals: [],
  options,
  run: health,
};

async function health(context: CliContext): Promise<ExitCode> {
  const { argv, environment } = context;
  // The environment is the node's own: what configures the rest of it is no mistake here.
  const { values, violations } = loadOptions(options, { argv, environment }, { ...nodeOptions, ...options });
  const off = ["--http-listen (VOUCH_HTTP_LISTEN): expected the address that the node answers on, got off"];
  if (values.httpListen === null) throw new ConfigurationError([...violations, ...off]);
  if (violations.length > 0) throw new ConfigurationError(violations);
  const url = `http://${formatAddress(askable(values.httpListen))}${values.ready ? "/readyz" : "/livez"}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(values.timeoutMs) }).catch((error: unknown) => {
    const what = `no answer from ${url} within ${values.timeoutMs} ms (${describeError(error)})`;
    throw new VouchError("unavailable", `${what}: does a node run here, with this --http-listen?`, { cause: error });
  });
  (response.ok ? context.out : context.err)(`${await response.text()}\n`);
  return response.ok ? ExitCode.done : ExitCode.gaveUp;
}

/** Who listens on every address is asked on loopback. */
function askable({ host, port }: Address): Address {
  if (host === "0.0.0.0") return { host: "127.0.0.1", port };
  return { host: host === "::" ? "::1" : host, port };
}
