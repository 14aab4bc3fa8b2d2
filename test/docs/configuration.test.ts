/** docs/configuration.md is what the option tables say, and what it says about the places of a value is true. */
import { expect, test } from "bun:test";
import { loadOptions } from "../../src/config/load.ts";
import { nodeOptions } from "../../src/config/option-table.ts";
import { environmentName, flagName } from "../../src/config/option.ts";
import { integer } from "../../src/config/option-types.ts";
import { COMMANDS } from "../../src/cli/cli.ts";
import { CONFIGURATION, configurationText, optionRow } from "./configuration.ts";

const text = await Bun.file(CONFIGURATION).text();

test("docs/configuration.md is of the option table; if not: bun test/docs/configuration.ts", () => {
  expect(text === configurationText()).toBe(true);
});

test("every option of every command has a row or is named, with flag and environment", () => {
  for (const { name, options } of COMMANDS) {
    expect(text).toContain(name === "run" ? "## Options of a node (`run`)" : `### \`${name}\``);
    for (const [key, entry] of Object.entries(options)) {
      expect(text).toContain(`\`--${flagName(key, entry)}`);
      expect(text).toContain(`\`${environmentName(key, entry)}\``);
    }
  }
});

test("a row has flag, environment, key, default, unit and meaning; a secret is read from a file", () => {
  const entry = { type: integer(1), default: 7, unit: "ms", description: "a | b", group: "G" } as const;
  expect(optionRow("someWaitMs", entry)).toEqual([
    "`--some-wait-ms N`",
    "`VOUCH_SOME_WAIT_MS`",
    "`someWaitMs`",
    "`7`",
    "ms",
    "a \\| b",
  ]);
  expect(optionRow("zookeeperAuth", nodeOptions.zookeeperAuth).slice(0, 3)).toEqual([
    "`--zookeeper-auth-file FILE`",
    "`ZOOKEEPER_AUTH`, `ZOOKEEPER_AUTH_FILE`",
    "`zookeeperAuth`, `zookeeperAuthFile`",
  ]);
});

test("a flag wins over the environment, and that over the default; an unknown name is refused", () => {
  const of = (argv: string[], environment: Record<string, string>): unknown =>
    loadOptions(nodeOptions, { argv, environment }).values.concurrency;
  expect(of(["--concurrency", "3"], { VOUCH_CONCURRENCY: "4" })).toBe(3);
  expect(of([], { VOUCH_CONCURRENCY: "4" })).toBe(4);
  expect(of([], {})).toBe(nodeOptions.concurrency.default);
  const { violations } = loadOptions(nodeOptions, { argv: [], environment: { VOUCH_CONCURENCY: "4" } });
  expect(violations.join()).toContain("did you mean VOUCH_CONCURRENCY?");
});
