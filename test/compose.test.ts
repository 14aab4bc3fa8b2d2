/** `compose.yaml` and the Dockerfile say what the program understands; `test/image/main.ts` runs what they say. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { loadNodeConfig } from "../src/config/node-config.ts";
import { nodeOptions } from "../src/config/option-table.ts";
import { environmentName } from "../src/config/option.ts";
import { openHttp } from "../src/ops/http.ts";
import type { NodeMetrics } from "../src/ops/metrics.ts";
import { HEALTH_CHECKS, NODE_COMMANDS, nodeServices, PROJECT, readCompose } from "./image/compose-file.ts";

const compose = await readCompose();
const nodes = nodeServices(compose);
const dockerfile = await Bun.file(join(PROJECT, "Dockerfile")).text();
const ENVIRONMENT_NAMES = new Set(Object.entries(nodeOptions).map(([key, entry]) => environmentName(key, entry)));

/** "45s" as milliseconds. */
function durationMs(text: string | undefined): number {
  const seconds = /^(\d+)s$/.exec(text ?? "")?.[1];
  if (seconds === undefined) throw new Error(`not a number of seconds: ${text}`);
  return Number(seconds) * 1_000;
}

test("compose.yaml has Kafka, ZooKeeper and three nodes", () => {
  expect(Object.keys(compose.services).toSorted()).toEqual(["kafka", "n1", "n2", "n3", "zookeeper"]);
  expect(nodes.map(([name]) => name)).toEqual(["n1", "n2", "n3"]);
});

describe.each(nodes)("node %s of compose.yaml", (name, service) => {
  const environment = Object.fromEntries(
    Object.entries(service.environment ?? {}).map(([key, value]) => [key, String(value)]),
  );

  test("has only environment names of the option table, and they are a configuration that a node accepts", () => {
    for (const key of Object.keys(environment)) expect(ENVIRONMENT_NAMES).toContain(key.replace(/_FILE$/, ""));
    const argv = service.command!.slice(1);
    const { config } = loadNodeConfig({ argv, environment, positionals: ["<tasks.ts>", "[more.ts…]"] });
    expect(config.nodeId).toBe(name);
    // Who listens on every address must say where others find it, and that is the service's name.
    expect(config.advertiseHost).toBe(name);
    expect(service.ports!.join()).toMatch(new RegExp(`^127\\.0\\.0\\.1:\\d+:${config.httpListen!.port}$`));
    expect(durationMs(service.stop_grace_period)).toBeGreaterThan(config.drainTimeoutMs);
  });

  test("finds its servers under the names of their services", () => {
    const kafka = environment["KAFKA_BROKERS"]!;
    expect(compose.services["kafka"]!.environment!["KAFKA_ADVERTISED_LISTENERS"]).toBe(`PLAINTEXT://${kafka}`);
    expect(kafka).toMatch(/^kafka:/);
    expect(environment["ZOOKEEPER_CONNECT"]).toMatch(/^zookeeper:/);
    expect(Object.keys(service.depends_on!).toSorted()).toEqual(["kafka", "zookeeper"]);
    for (const { condition } of Object.values(service.depends_on!)) expect(condition).toBe("service_healthy");
  });

  test("runs a command and a health check that the built image ran", () => {
    expect(NODE_COMMANDS).toContainEqual([...service.command!]);
    const [kind, ...check] = service.healthcheck!.test;
    expect(kind).toBe("CMD");
    expect(HEALTH_CHECKS.map(({ command }) => command)).toContainEqual(check);
  });

  test("is one of the Dockerfile's targets, with a read-only root and volumes that are declared", () => {
    expect(dockerfile).toMatch(new RegExp(`^FROM .* AS ${service.build!.target}$`, "m"));
    expect(service.read_only).toBe(true);
    for (const volume of service.volumes!) {
      const [source = "", , mode] = volume.split(":");
      if (source === ".") expect(mode).toBe("ro");
      else expect(Object.keys(compose.volumes)).toContain(source);
    }
  });
});

test("all nodes differ in name and port alone: what must be equal in a cell is", () => {
  const shared = nodes.map(([, { environment, ...service }]) => {
    const { VOUCH_NODE_ID: _id, VOUCH_ADVERTISE_HOST: _host, ...rest } = environment!;
    return { ...service, ports: [], environment: rest };
  });
  for (const each of shared) expect(each).toEqual(shared[0]!);
});

describe("health checks", () => {
  test("those of the Dockerfile are run by the image test", () => {
    const lines = dockerfile.split("\n").filter((line) => line.startsWith("HEALTHCHECK"));
    expect(lines.length).toBe(2);
    for (const line of lines) {
      const command = JSON.parse(line.slice(line.indexOf("CMD ") + 4)) as string[];
      expect(HEALTH_CHECKS.map((each) => each.command)).toContainEqual(command);
    }
  });

  test("ask for routes that a node has", async () => {
    const listen = { host: "127.0.0.1", port: 0 };
    await using server = openHttp({ listen, status: () => null, metrics: {} as NodeMetrics });
    for (const { route } of HEALTH_CHECKS) {
      const { status } = await fetch(`http://127.0.0.1:${server.port}${route}`);
      expect({ route, known: status !== 404 }).toEqual({ route, known: true });
    }
  });
});

test("the Dockerfile's base images are arguments, its user is a number, and nothing stands between SIGTERM and the node", () => {
  const from = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]!);
  expect(from).toEqual(["${BUILD_BASE}", "packages", "${BASE}", "${BASE}"]);
  expect([...dockerfile.matchAll(/^USER (.*)$/gm)].map((match) => match[1])).toEqual(["10001:10001", "10001:10001"]);
  for (const [, form] of dockerfile.matchAll(/^ENTRYPOINT (.*)$/gm)) expect(JSON.parse(form!)).toBeArray();
});
