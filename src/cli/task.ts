/** `task <task id>`: what a task is doing, where, and why, from the answers of every member that the coordinator lists. */
import { loadOptions } from "../config/load.ts";
import { nodeOptions } from "../config/option-table.ts";
import { ConfigurationError } from "../errors.ts";
import { askMembersFor, askUrlFor, type NodeReply } from "../ops/ask.ts";
import type { NodeTaskAnswer, TaskMemberAnswer, TaskReport } from "../ops/task.ts";
import { mergeTask } from "../ops/task-merge.ts";
import { reportText } from "../ops/task-text.ts";
import { askOptions, emptyCellText, nowhereToAsk, observeCell } from "./ask-cell.ts";
import type { CliContext, Command } from "./command.ts";
import { ExitCode } from "./exit-code.ts";

export const taskCommand: Command = {
  name: "task",
  summary: "says what one task is doing, where and why; named by its task id or as topic:partition:offset",
  positionals: ["<task id>"],
  options: askOptions,
  run: task,
};

async function task(context: CliContext): Promise<ExitCode> {
  const { argv, environment, err } = context;
  const sources = { argv, environment, positionals: taskCommand.positionals };
  const { values, given, positionals, violations } = loadOptions(askOptions, sources, {
    ...nodeOptions,
    ...askOptions,
  });
  const [id = ""] = positionals;
  const nameless = positionals.length === 1 && id === "" ? ["<task id>: expected a text that is not empty"] : [];
  const all = [...violations, ...nameless, ...nowhereToAsk(given, values)];
  if (all.length > 0) throw new ConfigurationError(all);

  const path = `/task?id=${encodeURIComponent(id)}`;
  let report: TaskReport;
  if (values.node !== "") {
    report = mergeTask(id, [answerOf(await askUrlFor(values.node, path, values.timeoutMs))], null);
  } else {
    const { members, leader } = await observeCell(values, err);
    if (members.length === 0) err(emptyCellText(values));
    report = mergeTask(id, (await askMembersFor(members, path, values.timeoutMs)).map(answerOf), leader);
  }
  const answered = report.nodes.some(({ answer }) => answer !== null);
  if (values.json) context.out(`${JSON.stringify(report)}\n`);
  else if (answered) context.out(reportText(report));
  else for (const { nodeId, url, error } of report.nodes) err(`${nodeId || url}: no answer: ${error}\n`);
  if (!answered)
    err(`nothing is known of "${id}": no node answered; is one running, and is its HTTP port reachable from here?\n`);
  return answered ? ExitCode.done : ExitCode.gaveUp;
}

/** A node of a version that knows no tasks answers with something else, or with 404. */
function answerOf({ nodeId, url, body, error }: NodeReply): TaskMemberAnswer {
  const answer = body as NodeTaskAnswer | null;
  if (answer === null) return { nodeId, url, error, answer: null };
  if (!Array.isArray(answer.records))
    return { nodeId, url, error: "answered something else than a task", answer: null };
  return { nodeId: nodeId || answer.nodeId, url, error: "", answer };
}
