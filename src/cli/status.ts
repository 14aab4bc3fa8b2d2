/** `status`: the cell as a table, from the answers of every member that the coordinator lists. */
import { loadOptions } from "../config/load.ts";
import { option } from "../config/option.ts";
import { nodeOptions } from "../config/option-table.ts";
import { integer, text, toggle } from "../config/option-types.ts";
import { ConfigurationError, VouchError } from "../errors.ts";
import { askMembers, askUrl, type CellView, cellText } from "../ops/status.ts";
import { Repeats } from "../ops/repeats.ts";
import type { CliContext, Command } from "./command.ts";
import { ExitCode } from "./exit-code.ts";
import { openCoordinator } from "../runtime/servers.ts";
import { coordinatorOptions } from "./server-options.ts";

const GROUP = "Status";

const options = {
  node: option({
    type: text("URL", /^https?:\/\/\S+$/, "a URL such as http://127.0.0.1:7480"),
    default: "",
    defaultText: "every member that the coordinator lists",
    unit: "",
    group: GROUP,
    description: "ask this node only",
  }),
  timeoutMs: option({
    type: integer(1, 600_000),
    default: 3_000,
    unit: "ms",
    group: GROUP,
    description: "how long to wait for the coordinator and for each node",
  }),
  json: option({
    type: toggle(),
    default: false,
    unit: "",
    group: GROUP,
    description: "one JSON object instead of tables",
  }),
};

const table = { ...options, ...coordinatorOptions };

type CoordinatorValues = Parameters<typeof openCoordinator>[0];

/** The shortest session that a coordinator takes. */
const SESSION_MS_MIN = 100;

export const statusCommand: Command = {
  name: "status",
  summary: "shows the cell: nodes, roles, epoch, in-sync set, partitions, lag, doubts",
  positionals: [],
  options: table,
  run: status,
};

async function status(context: CliContext): Promise<ExitCode> {
  const { argv, environment } = context;
  const { values, given, violations } = loadOptions(table, { argv, environment }, { ...nodeOptions, ...table });
  const nowhere = !given.has("node") && !given.has("zookeeper") && values.dataDir === "";
  const all = nowhere
    ? [
        ...violations,
        "no cell to ask: expected --node, --zookeeper or, for the embedded coordinator, --data-dir; got none",
      ]
    : violations;
  if (all.length > 0) throw new ConfigurationError(all);

  const repeats = new Repeats(() => performance.now());
  const warn = (message: string): void => {
    if (repeats.pass(message) !== null) context.err(`${message}\n`);
  };
  const view = values.node === "" ? await askCell(values, warn) : await askOne(values.node, values.timeoutMs);
  const empty = view.members.length === 0 && view.leader === null;
  if (values.json) context.out(`${JSON.stringify(view)}\n`);
  else if (!empty) context.out(cellText(view));
  if (empty) context.err(emptyText(values));
  // An answer that says nothing about any node is none, for whoever looks at the exit code alone.
  return view.members.some((member) => member.status !== null) ? ExitCode.done : ExitCode.gaveUp;
}

function emptyText({ cell, zookeeper, dataDir }: CoordinatorValues): string {
  const where = zookeeper === "" ? dataDir : `ZooKeeper ${zookeeper}`;
  return `no node of cell "${cell}" is registered in ${where}: is a node running, and is --cell the name that it has?\n`;
}

/** @throws VouchError "unavailable" when this one node does not answer: there is nothing else to show. */
async function askOne(url: string, timeoutMs: number): Promise<CellView> {
  const answer = await askUrl(url, timeoutMs);
  if (answer.status === null) throw new VouchError("unavailable", `${url}: ${answer.error}`);
  return { leader: null, members: [answer] };
}

async function askCell(
  values: CoordinatorValues & { readonly timeoutMs: number },
  warn: (message: string) => void,
): Promise<CellView> {
  // A session of this look's own: it must not go on after the look was given up.
  const sessionMs = Math.max(SESSION_MS_MIN, Math.min(values.sessionMs, values.timeoutMs));
  const coordinator = openCoordinator({ ...values, sessionMs }, warn);
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const who = values.zookeeper === "" ? `the coordinator in ${values.dataDir}` : `ZooKeeper ${values.zookeeper}`;
    timeout.reject(new VouchError("unavailable", `${who} did not answer within ${values.timeoutMs} ms`));
  }, values.timeoutMs);
  try {
    const { leader, members } = await Promise.race([coordinator.observe(), timeout.promise]);
    return { leader, members: await askMembers(members, values.timeoutMs) };
  } finally {
    clearTimeout(timer);
    await coordinator.close();
  }
}
