import { expect, test } from "bun:test";
import { VouchError } from "../../src/errors.ts";
import { createLogger, type Logger, type LogLevel } from "../../src/ops/log.ts";

function logger(level: LogLevel, plain: boolean): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const log = createLogger({
    level,
    plain,
    write: (line) => lines.push(line),
    now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  });
  return { log, lines };
}

test("JSON lines carry time, level, message and fields, and one line is one line", () => {
  const { log, lines } = logger("info", false);
  log.with({ node: "n1" }).warn("first\nsecond", { epoch: 3 });
  expect(lines).toHaveLength(1);
  expect(lines[0]!.indexOf("\n")).toBe(lines[0]!.length - 1);
  expect(JSON.parse(lines[0]!)).toEqual({
    node: "n1",
    epoch: 3,
    time: "2026-01-02T03:04:05.006Z",
    level: "warn",
    message: "first\nsecond",
  });
});

test("lines below the level are not written", () => {
  const { log, lines } = logger("warn", false);
  log.debug("no");
  log.info("no");
  log.error("yes");
  expect(lines.map((line) => JSON.parse(line).message)).toEqual(["yes"]);
});

test("a field of the user cannot hide the level, and what has no JSON form costs no line", () => {
  const { log, lines } = logger("info", false);
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  log.info("a", {
    level: "debug",
    big: 2n ** 70n,
    error: new VouchError("closed", "gone", { cause: new Error("why") }),
  });
  log.info("b", circle);
  expect(JSON.parse(lines[0]!)).toMatchObject({ level: "info", big: "1180591620717411303424", error: "gone: why" });
  expect(JSON.parse(lines[1]!)).toMatchObject({ level: "info", message: "b" });
});

test("on a terminal a line is text, further lines are indented", () => {
  const { log, lines } = logger("info", true);
  log.info("joined\nthe cell", { node: "n1", epoch: 2 });
  expect(lines).toEqual(["03:04:05.006 INFO  joined\n  the cell node=n1 epoch=2\n"]);
});
