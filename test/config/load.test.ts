import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { optionHelp } from "../../src/config/help.ts";
import { loadOptions } from "../../src/config/load.ts";
import { loadNodeConfig } from "../../src/config/node-config.ts";
import { option } from "../../src/config/option.ts";
import { nodeOptions } from "../../src/config/option-table.ts";
import { integer, toggle } from "../../src/config/option-types.ts";
import { ConfigurationError } from "../../src/errors.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vouch-config-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function violationsOf(argv: readonly string[], environment: Record<string, string> = {}): readonly string[] {
  try {
    loadNodeConfig({ argv, environment });
  } catch (error) {
    if (error instanceof ConfigurationError) return error.violations;
    throw error;
  }
  return [];
}

const embedded = ["--data-dir", "/nowhere"];

describe("precedence", () => {
  test("flags win over the environment, that over the file, that over the default", () => {
    const config = file("all.json", JSON.stringify({ concurrency: 3, attemptsMax: 3, unknownMax: 4 }));
    const loaded = loadNodeConfig({
      argv: [...embedded, "--concurrency", "1", "--config", config],
      environment: { VOUCH_CONCURRENCY: "2", VOUCH_ATTEMPTS_MAX: "2" },
    });
    expect(loaded.config.concurrency).toBe(1);
    expect(loaded.config.attemptsMax).toBe(2);
    expect(loaded.config.unknownMax).toBe(4);
    expect(loaded.config.checkConcurrency).toBe(10);
  });

  test("the file may be named by the environment, and an empty variable counts as not given", () => {
    const config = file("env.json", JSON.stringify({ concurrency: 3 }));
    const loaded = loadNodeConfig({ argv: embedded, environment: { VOUCH_CONFIG: config, VOUCH_CONCURRENCY: "" } });
    expect(loaded.config.concurrency).toBe(3);
  });

  test("the ecosystem's names are read", () => {
    const { config } = loadNodeConfig({
      argv: [],
      environment: {
        KAFKA_BROKERS: "a:9092, b:9093",
        KAFKA_GROUP_ID: "g",
        ZOOKEEPER_CONNECT: "z:2181,[::1]:2182/cells/eu",
      },
    });
    expect(config.kafkaBrokers).toEqual(["a:9092", "b:9093"]);
    expect(config.kafkaGroupId).toBe("g");
    expect(config.zookeeper).toBe("z:2181,[::1]:2182/cells/eu");
  });
});

describe("values", () => {
  test("switches, equals signs, addresses and words are parsed", () => {
    const { config } = loadNodeConfig({
      argv: [...embedded, "--single-node", "--peer-listen=[::1]:0", "--http-listen", "off", "--start-at", "latest"],
      environment: {},
    });
    expect(config.singleNode).toBe(true);
    expect(config.minInSync).toBe(1);
    expect(config.peerListen).toEqual({ host: "::1", port: 0 });
    expect(config.httpListen).toBeNull();
    expect(config.startAt).toBe("latest");
  });

  test("every bad value is reported at once, with expected and got", () => {
    expect(
      violationsOf([
        ...embedded,
        "--concurrency",
        "0",
        "--start-at",
        "now",
        "--peer-listen",
        "7400",
        "--node-id",
        "a/b",
      ]),
    ).toEqual([
      '--node-id: expected 1 to 64 letters, digits, dots, dashes or underscores, got "a/b"',
      '--peer-listen: expected host:port with a port between 0 and 65535, got "7400"',
      '--concurrency: expected a whole number between 1 and 100000, got "0"',
      '--start-at: expected one of earliest, latest, committed, got "now"',
    ]);
  });

  test.each([
    ["1e3", "text that only a float parser takes"],
    ["", "nothing"],
    ["12ms", "a unit"],
    ["99999999999999999999", "beyond the safe integers"],
  ])("a whole number is not %p (%s)", (value) => {
    expect(integer(1).parse(value).ok).toBe(false);
  });

  test.each(["z", "z:1", "a:1,b:2", "a:1, b:2/x/y"])("%p is a connect string", (value) => {
    expect(violationsOf(["--kafka-brokers", "a:1", "--zookeeper", value])).toEqual([]);
  });

  test.each(["z:", ":1", "a,,b", "a b", "/x"])("%p is no connect string", (value) => {
    expect(violationsOf(["--kafka-brokers", "a:1", "--zookeeper", value]).join()).toContain(
      "--zookeeper: expected host:port",
    );
  });

  test("a port beyond 65535 and a broker on port 0 are refused", () => {
    expect(violationsOf([...embedded, "--peer-listen", "a:65536"])).toHaveLength(1);
    expect(violationsOf(["--kafka-brokers", "a:0", "--zookeeper", "z:1"]).join()).toContain(
      "--kafka-brokers: expected",
    );
  });
});

describe("unknown and misused keys", () => {
  test("unknown flags, variables and file keys are refused together", () => {
    const config = file("unknown.json", JSON.stringify({ lease: 1 }));
    const found = violationsOf([...embedded, "--leese-ms", "4", "--config", config], { VOUCH_LEASE: "1" });
    expect(found).toContain("--leese-ms: no such option; did you mean --lease-ms?");
    expect(found).toContain("VOUCH_LEASE: no such option in the environment; did you mean VOUCH_LEASE_MS?");
    expect(found).toContain(`lease in ${config}: no such option; did you mean leaseMs?`);
    expect(violationsOf([...embedded, "--colour"])).toEqual(["--colour: no such option"]);
  });

  test("a variable that an orchestrator adds for a service called vouch is not a misspelt option", () => {
    const environment = { VOUCH_SERVICE_HOST: "10.0.0.1", VOUCH_PORT: "tcp://x", VOUCH_PORT_7400_TCP_ADDR: "10.0.0.1" };
    expect(violationsOf(embedded, environment)).toEqual([]);
  });

  test("a flag twice, without its value, with one too many, and a spare argument are refused", () => {
    const found = violationsOf([...embedded, "--cell", "a", "--cell=b", "--single-node=yes", "extra", "--node-id"]);
    expect(found).toContain("--cell: given more than once");
    expect(found).toContain('--single-node: expected no value, got "yes"');
    expect(found).toContain("--node-id: expected a value, got none");
    expect(found).toContain('"extra": one argument too many');
  });

  test("a value that was refused is not reported as missing as well", () => {
    expect(violationsOf(["--kafka-brokers", "localhost", "--zookeeper", "localhost:2181"])).toEqual([
      '--kafka-brokers: expected host:port, with more of them after commas, got "localhost"',
    ]);
  });

  test("a flag never swallows the next flag as its value", () => {
    expect(violationsOf([...embedded, "--cell", "--single-node"])).toEqual(["--cell: expected a value, got none"]);
  });

  test("keys of Object.prototype are no options", () => {
    const config = file("prototype.json", '{"constructor": 1, "toString": 2}');
    expect(violationsOf([...embedded, "--config", config])).toHaveLength(2);
  });

  test("a file that is missing, no JSON, or no object is a violation, not a crash", () => {
    expect(violationsOf([...embedded, "--config", join(folder, "none.json")])[0]).toContain("none.json");
    expect(violationsOf([...embedded, "--config", file("bad.json", "{")])[0]).toContain("bad.json");
    expect(violationsOf([...embedded, "--config", file("list.json", "[]")])[0]).toContain("expected a JSON object");
  });

  test("a missing argument is named", () => {
    const loaded = loadOptions(
      {},
      { argv: ["a.ts"], environment: {}, positionals: ["<tasks.ts>", "<topic>", "[file]"] },
    );
    expect(loaded.violations).toEqual(["the argument <topic> is missing"]);
    const many = loadOptions({}, { argv: ["a", "b", "c"], environment: {}, positionals: ["<a>", "[more…]"] });
    expect(many.violations).toEqual([]);
    expect(many.positionals).toEqual(["a", "b", "c"]);
  });
});

describe("secrets", () => {
  const sasl = [
    "--kafka-brokers",
    "a:1",
    "--zookeeper",
    "z:1",
    "--kafka-sasl-mechanism",
    "plain",
    "--kafka-sasl-username",
    "u",
  ];

  test("come from a variable, or from the file that NAME_FILE, a flag or the configuration file names", () => {
    const secret = file("password", "hush\n");
    const config = file("secret.json", JSON.stringify({ kafkaSaslPasswordFile: secret }));
    const sources: [string[], Record<string, string>][] = [
      [sasl, { KAFKA_SASL_PASSWORD: "hush" }],
      [sasl, { KAFKA_SASL_PASSWORD_FILE: secret }],
      [[...sasl, "--kafka-sasl-password-file", secret], {}],
      [[...sasl, "--config", config], {}],
    ];
    for (const [argv, environment] of sources) {
      expect(loadNodeConfig({ argv, environment }).config.kafkaSaslPassword).toBe("hush");
    }
  });

  test("never come from the command line, and are never shown", () => {
    expect(violationsOf([...sasl, "--kafka-sasl-password", "hush"]).join()).not.toContain("hush");
    const shown = violationsOf(embedded, { ZOOKEEPER_AUTH: "hush-without-a-colon" }).join();
    expect(shown).toContain("ZOOKEEPER_AUTH: expected user:password");
    expect(shown).not.toContain("hush");
  });

  test("both ways at once, and a file that cannot be read, are refused", () => {
    const secret = file("password2", "hush");
    expect(violationsOf(sasl, { KAFKA_SASL_PASSWORD: "x", KAFKA_SASL_PASSWORD_FILE: secret }).join()).toContain(
      "got both",
    );
    expect(violationsOf(sasl, { KAFKA_SASL_PASSWORD_FILE: join(folder, "missing") }).join()).toContain("missing");
  });
});

describe("help", () => {
  const help = optionHelp(nodeOptions);

  test("has one line for every option, with its flag and its environment name", () => {
    for (const flag of [
      "--node-id",
      "--kafka-brokers",
      "--zookeeper",
      "--handler-timeout-ms",
      "--start-at",
      "--config",
    ]) {
      expect(help.split("\n").filter((line) => line.trimStart().startsWith(`${flag} `))).toHaveLength(1);
    }
    expect(help).toContain("[VOUCH_LEASE_MS]");
    expect(help).toContain("(default: 3000 ms)");
    expect(help).toContain("KAFKA_SASL_PASSWORD_FILE");
  });

  test("shows a switch that is on by default as the way to turn it off", () => {
    const table = {
      faults: option({ type: toggle(), default: true, unit: "", group: "Demo", description: "kill nodes" }),
    };
    expect(optionHelp(table, false)).toContain("--no-faults");
  });

  test("every option has a description, a group and a flag of its own", () => {
    const flags = new Set(Object.keys(nodeOptions));
    expect(flags.size).toBeGreaterThan(50);
    for (const entry of Object.values(nodeOptions)) {
      expect(entry.description.length).toBeGreaterThan(10);
      expect(entry.group).not.toBe("");
    }
  });
});
