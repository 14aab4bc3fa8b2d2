/** How this program starts itself again: from the sources through Bun, or as the compiled executable. */

export function selfCommand(): readonly string[] {
  return Bun.isStandaloneExecutable ? [process.execPath] : [process.execPath, Bun.main];
}
