/** What the process tells its caller. */
export const ExitCode = {
  done: 0, // done, or drained
  proofFailed: 1,
  usage: 2, // bad usage or configuration; nothing was joined
  gaveUp: 3, // the node, or the command, could not go on
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];
