/** `status`: the cell as a table, from the answers of every member that the coordinator lists. */
import { loadOptions } from "../config/load.ts";
import { option } from "../config/option.ts";
import { nodeOptions } from "../config/option-table.ts";
import { toggle } from "../config/option-types.ts";
import { ConfigurationError, VouchError } from "../errors.ts";
import { askMembers, askUrl, type CellView, cellText } from "../ops/status.ts";
import { askOptions, emptyCellText, nowhereToAsk, observeCell } from "./ask-cell.ts";
import type { CliContext, Command } from "./command.ts";
import { ExitCode } from "./exit-code.ts";

const options = {
  ...askOptions,
  partitions: option({
    type: toggle(),
    default: false,
    unit: "",
    group: "Status",
    description: "a line for each partition, however many there are",
  }),
};

export const statusCommand: Command = {
  name: "status",
  summary: "shows the cell: nodes, roles, epoch, in-sync set, partitions, lag, doubts",
  positionals: [],
  options,
  run: status,
};

async function status(context: CliContext): Promise<ExitCode> {
  const { argv, environment, err } = context;
  const { values, given, violations } = loadOptions(options, { argv, environment }, { ...nodeOptions, ...options });
  const all = [...violations, ...nowhereToAsk(given, values)];
  if (all.length > 0) throw new ConfigurationError(all);

  const view = values.node === "" ? await askCell(values, err) : await askOne(values.node, values.timeoutMs);
  const empty = view.members.length === 0 && view.leader === null;
  if (values.json) context.out(`${JSON.stringify(view)}\n`);
  else if (!empty) context.out(cellText(view, values.partitions));
  if (empty) err(emptyCellText(values));
  // An answer that says nothing about any node is none, for whoever looks at the exit code alone.
  return view.members.some((member) => member.status !== null) ? ExitCode.done : ExitCode.gaveUp;
}

/** @throws VouchError "unavailable" when this one node does not answer: there is nothing else to show. */
async function askOne(url: string, timeoutMs: number): Promise<CellView> {
  const answer = await askUrl(url, timeoutMs);
  if (answer.status === null) throw new VouchError("unavailable", `${url}: ${answer.error}`);
  return { leader: null, members: [answer] };
}

async function askCell(values: Parameters<typeof observeCell>[0], err: (text: string) => void): Promise<CellView> {
  const { leader, members } = await observeCell(values, err);
  return { leader, members: await askMembers(members, values.timeoutMs) };
}
