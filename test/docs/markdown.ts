/** What a test wants to know of a document: its blocks, its command lines, its links, its headings. */

/** The fenced blocks of one language, without their fences. */
export function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map((match) => match[1]!);
}

/** Command lines of shell blocks, and the code spans of the text. */
export function commandLines(text: string): string[] {
  const spans = text.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/`([^`\n]+)`/g);
  const lines = blocks(text, "sh").flatMap((block) => block.split("\n"));
  return [...lines.map((line) => line.replace(/(^|\s)#.*$/, "")), ...[...spans].map((match) => match[1]!)];
}

/** What follows `bun run node.ts`, or the executable's name, up to where the shell takes over. */
export function ownCommands(text: string): string[][] {
  return commandLines(text).flatMap((line) =>
    [...line.matchAll(/(?:bun run node\.ts|dist\/vouch|exec n1 vouch)(?= )([^|&>;]*)/g)].map((match) =>
      match[1]!
        .trim()
        .split(/\s+/)
        .map((word) => word.replaceAll('"', "").replaceAll("$n", "1")),
    ),
  );
}

export interface Link {
  readonly path: string; // "" for a place in the same document
  readonly anchor: string; // "" for the whole document
}

/** Links to files of the repository. */
export function links(text: string): Link[] {
  return [...text.matchAll(/\]\((?!https?:)([^)]+)\)/g)].map((match) => {
    const [path = "", anchor = ""] = match[1]!.split("#");
    return { path, anchor };
  });
}

/** The anchors of a document's headings, as they are made from their words. */
export function anchors(text: string): string[] {
  const headings = text.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/^#+ (.+)$/gm);
  return [...headings].map((match) =>
    match[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}
