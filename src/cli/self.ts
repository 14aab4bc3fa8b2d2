/** How this program starts itself again: from the sources through Bun, or as the compiled executable. */

/** Inside a compiled executable the entry point lies in Bun's own file system. */
const COMPILED_ROOT = /^(\/\$bunfs\/|[A-Za-z]:[\\/]~BUN[\\/])/;

export function selfCommand(): readonly string[] {
  return COMPILED_ROOT.test(Bun.main) ? [process.execPath] : [process.execPath, Bun.main];
}
