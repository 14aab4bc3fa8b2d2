/** Text for a terminal of 80 columns: tables whose names lose their middle, sentences that are wrapped, ages, counts. */

/** What fits on a terminal that nobody made wider. */
export const columns = 80;

const NUMBER = /^([\d,.]+( s| min| h|[MG])?|\?)$/;
const GAP = "  ";
/** A name is cut no further than this, so that what is left tells one from another; than the second, if nothing else helps. */
const NAME_WIDTHS_MIN = [12, 6];

/**
 * Columns aligned, numbers to the right; short rows are filled up. Where a line would be longer than `width`, the widest
 * texts lose their middle: names of one deployment differ at their ends.
 */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  width: number = Number.POSITIVE_INFINITY,
): string {
  const numeric = headings.map((_, column) => rows.length > 0 && rows.every((row) => NUMBER.test(row[column] ?? "0")));
  const right = (column: number): boolean => numeric[column] === true;
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  for (const least of NAME_WIDTHS_MIN) narrow(widths, right, width, least);
  const line = (cells: readonly string[]): string =>
    widths
      .map((room, column) => {
        const cell = cutMiddle(cells[column] ?? "", room);
        return right(column) ? cell.padStart(room) : cell.padEnd(room);
      })
      .join(GAP)
      .trimEnd();
  return [line(headings), ...rows.map(line)].join("\n");
}

/** Takes characters from the widest column of texts until the line fits or all are as short as they may be. */
function narrow(widths: number[], right: (column: number) => boolean, width: number, least: number): void {
  let excess = widths.reduce((sum, each) => sum + each, 0) + GAP.length * (widths.length - 1) - width;
  for (; excess > 0; excess--) {
    const texts = widths.map((each, column) => (right(column) ? 0 : each));
    const widest = texts.indexOf(Math.max(...texts));
    if ((texts[widest] ?? 0) <= least) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

function cutMiddle(text: string, width: number): string {
  if (text.length <= width) return text;
  const head = Math.ceil((width - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (width - 1 - head))}`;
}

/** Broken at spaces, and inside of a word only where it alone is longer than a line; further lines begin with `indent`. */
export function wrap(text: string, width: number, indent = "  "): string {
  const lead = /^ */.exec(text)?.[0] ?? "";
  const lines: string[] = [];
  let line = lead;
  let empty = true;
  const next = (): void => {
    lines.push(line);
    line = indent;
    empty = true;
  };
  for (let word of text.trim().split(/\s+/)) {
    if (!empty && line.length + 1 + word.length > width) next();
    while (line.length + word.length > width && empty) {
      const room = Math.max(1, width - line.length);
      line += word.slice(0, room);
      word = word.slice(room);
      next();
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  lines.push(line);
  return lines.join("\n");
}

/** "0.4 s", "12 min": the unit that a person would choose. */
export function ageText(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return seconds < 6_000 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

/** A count that stays narrow: exact below a hundred million. */
export function countText(count: number): string {
  if (count < 1e8) return String(count);
  if (count < 1e11) return `${(count / 1e6).toFixed(1)}M`;
  return `${(count / 1e9).toFixed(1)}G`;
}

/** "0-3 7 9-12" of ascending numbers. */
export function rangesText(numbers: readonly number[]): string {
  const ranges: string[] = [];
  for (let begin = 0; begin < numbers.length;) {
    let end = begin;
    while (end + 1 < numbers.length && numbers[end + 1] === (numbers[end] ?? 0) + 1) end++;
    ranges.push(begin === end ? `${numbers[begin]}` : `${numbers[begin]}-${numbers[end]}`);
    begin = end + 1;
  }
  return ranges.join(" ");
}
