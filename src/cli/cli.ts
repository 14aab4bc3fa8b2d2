/** The command line: finds the command, shows help, and turns what is thrown into an exit code. */
import { closest } from "../config/flags.ts";
import { optionHelp } from "../config/help.ts";
import { describeError, VouchError } from "../errors.ts";
import type { CliContext, Command } from "./command.ts";
import { demoCommand } from "./demo.ts";
import { ExitCode } from "./exit-code.ts";
import { healthCommand } from "./health.ts";
import { produceCommand } from "./produce.ts";
import { runCommand } from "./run.ts";
import { statusCommand } from "./status.ts";
import { taskCommand } from "./task.ts";
import { versionText } from "./version.ts";

export const COMMANDS: readonly Command[] = [
  runCommand,
  demoCommand,
  produceCommand,
  statusCommand,
  taskCommand,
  healthCommand,
];

const HELP = new Set(["help", "--help", "-h"]);

/** Runs one command line, `argv` without the program's name, and returns the exit code. Never throws. */
export async function runCli(context: CliContext): Promise<ExitCode> {
  const [name, ...argv] = context.argv;
  if (name === undefined) {
    context.err(overview());
    return ExitCode.usage;
  }
  if (HELP.has(name) && argv.length === 0) {
    context.out(overview());
    return ExitCode.done;
  }
  if (name === "--version") {
    context.out(`${versionText()}\n`);
    return ExitCode.done;
  }
  const wanted = HELP.has(name) ? argv[0] : name;
  const command = COMMANDS.find((candidate) => candidate.name === wanted);
  if (command === undefined) {
    const names = COMMANDS.map((candidate) => candidate.name);
    const hint = closest(wanted ?? "", names);
    context.err(`"${wanted}" is no command${hint === "" ? "." : hint}\n\n${overview()}`);
    return ExitCode.usage;
  }
  if (HELP.has(name) || argv.some((argument) => argument === "--help" || argument === "-h")) {
    context.out(commandHelp(command));
    return ExitCode.done;
  }
  try {
    return await command.run({ ...context, argv });
  } catch (error) {
    return failed(context, command, error);
  }
}

const USAGE_CODES: ReadonlySet<string> = new Set(["configuration", "usage", "task-module"]);

function failed(context: CliContext, command: Command, error: unknown): ExitCode {
  context.err(`${describeError(error)}\n`);
  if (!(error instanceof VouchError) || !USAGE_CODES.has(error.code)) return ExitCode.gaveUp;
  context.err(`("vouch ${command.name} --help" lists the options.)\n`);
  return ExitCode.usage;
}

function overview(): string {
  const width = Math.max(...COMMANDS.map((command) => command.name.length));
  const lines = COMMANDS.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`);
  return [
    `vouch ${versionText()}: runs every task of a Kafka topic once, on a cluster of equal nodes.`,
    "",
    "Usage: vouch <command> [options]   (from the sources: bun run node.ts <command> [options])",
    "",
    ...lines,
    "",
    'Options of a command: "vouch <command> --help". Each comes from its flag, else the environment, else --config FILE.',
    "",
  ].join("\n");
}

function commandHelp(command: Command): string {
  const usage = ["vouch", command.name, ...command.positionals, "[options]"].join(" ");
  return `Usage: ${usage}\n\n${command.summary}.\n\n${optionHelp(command.options)}\n`;
}
