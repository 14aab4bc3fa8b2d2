/**
 * The three nodes of `compose.yaml`: their command, environment and health checks, in the image that it names, on a real
 * Kafka and ZooKeeper. What an engine would add (names in a network, ports of their own) is replaced by addresses here.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startServers } from "../support/cluster-servers.ts";
import { freePorts, waitUntil } from "../support/servers/processes.ts";
import type { ImageStore } from "./buildah.ts";
import { dataVolume } from "./check-image.ts";
import { type ComposeService, nodeServices, readCompose } from "./compose-file.ts";
import { type Container, type ContainerOptions, runContainer, startContainer } from "./container.ts";
import type { Check, Folder } from "./main.ts";

const TASKS = 300;
const WAIT_MS = 90_000;

/** Like the README's: one file for all nodes that stands for the bank. */
const MODULE = `
  import { appendFile, readFile } from "node:fs/promises";
  import { defineTasks } from "vouch";
  const bank = "paid";
  export default defineTasks({
    topic: "payments",
    onUnknown: "park",
    async execute(task, { signal }) {
      await Bun.sleep(20);
      signal.throwIfAborted();
      await appendFile(bank, task.id + "\\n");
    },
    async check(task) {
      return (await readFile(bank, "utf8")).split("\\n").includes(task.id) ? "executed" : "not-executed";
    },
  });
`;

export async function checkCompose({
  store,
  check,
  folder,
}: {
  store: ImageStore;
  check: Check;
  folder: Folder;
}): Promise<void> {
  const nodes = nodeServices(await readCompose());
  const target = nodes[0]![1].build!.target;
  const image = await store.config(target);
  const { root } = await store.mount(target);
  const tasks = folder("compose-tasks");
  writeFileSync(join(tasks, "payments.ts"), MODULE);
  const data = dataVolume(folder, "compose"); // one volume for all, as the file says

  await check("compose.yaml: its three nodes become ready, do every task once, and drain", async () => {
    const { kafka, zookeeper } = await startServers();
    const ports = await freePorts(nodes.length * 2);
    const started: {
      readonly container: Container;
      readonly service: ComposeService;
      readonly options: ContainerOptions;
    }[] = [];
    try {
      for (const [index, [name, service]] of nodes.entries()) {
        const own = {
          KAFKA_BROKERS: kafka.brokers,
          ZOOKEEPER_CONNECT: zookeeper.address,
          VOUCH_ADVERTISE_HOST: "127.0.0.1",
          VOUCH_PEER_LISTEN: `0.0.0.0:${ports[index * 2]}`,
          VOUCH_HTTP_LISTEN: `0.0.0.0:${ports[index * 2 + 1]}`,
        };
        const written = Object.entries(service.environment ?? {}).map(([key, value]) => [key, String(value)]);
        const environment = { ...(Object.fromEntries(written) as Record<string, string>), ...own };
        const workingDirectory = service.working_dir ?? image.workingDirectory;
        const options: ContainerOptions = { image, root, data, tasks, environment, workingDirectory };
        started.push({ container: await startContainer(name, options, service.command ?? []), service, options });
      }
      const first = started[0]!;
      const count = String(TASKS);
      const produced = await runContainer("produce", first.options, ["produce", "payments", "--count", count]);
      assert.equal(produced.code, 0, produced.output);
      for (const { container, service, options } of started) await becomesReady(container, service, options);

      const paid = (): string[] =>
        existsSync(join(data, "paid")) ? readFileSync(join(data, "paid"), "utf8").trim().split("\n") : [];
      await waitUntil("every task had its effect", () => new Set(paid()).size === TASKS, WAIT_MS);
      const status = await runContainer("status", first.options, ["status"]);
      assert.equal(status.code, 0, status.output);
      for (const [name] of nodes) assert.match(status.output, new RegExp(`\\b${name}\\b`));
      for (const { container } of started) container.kill("SIGTERM");
      for (const { container } of started) assert.equal(await container.exited, 0, container.output());
      assert.equal(paid().length, TASKS, "a task had its effect twice");
    } finally {
      for (const { container } of started) await container[Symbol.asyncDispose]();
      await kafka.stop();
      await zookeeper.stop();
    }
  });
}

async function becomesReady(container: Container, service: ComposeService, options: ContainerOptions): Promise<void> {
  const check = (service.healthcheck?.test ?? []).slice(1);
  let last = { code: -1, output: "" };
  const ready = async (): Promise<boolean> => {
    last = await runContainer(`health of ${container.name}`, options, [], check);
    return last.code === 0;
  };
  const until = performance.now() + WAIT_MS;
  while (!(await ready())) {
    assert.ok(
      performance.now() < until,
      `${container.name} did not become ready: ${last.output}\n${container.output()}`,
    );
    await Bun.sleep(500);
  }
}
