/** What a command of the command line is. */
import type { OptionTable } from "../config/option.ts";
import type { ExitCode } from "./exit-code.ts";

/** The process as a command sees it; tests give their own. */
export interface CliContext {
  /** The arguments after the command's name. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Standard output: results. */
  readonly out: (text: string) => void;
  /** Standard error: progress, logs, complaints. */
  readonly err: (text: string) => void;
  /** Standard error is a terminal, on which a line may be written over. */
  readonly live: boolean;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Arguments without a dash, as `loadOptions` takes them. */
  readonly positionals: readonly string[];
  /** Every option that the command takes, for its help. */
  readonly options: OptionTable;
  /** @throws VouchError, of which "configuration", "usage" and "task-module" mean exit code 2, the others 3. */
  run(context: CliContext): Promise<ExitCode>;
}
