/** What each image must do: alone, read-only, as nobody special, and when it is told to stop. */
import assert from "node:assert/strict";
import { chownSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { freePorts, waitUntil } from "../support/servers/processes.ts";
import type { ImageStore } from "./buildah.ts";
import { HEALTH_CHECKS } from "./compose-file.ts";
import { type ContainerOptions, rootMount, runContainer, startContainer, statusOf } from "./container.ts";
import type { Check, Folder } from "./main.ts";

const USER = 10001;
const WAIT_MS = 30_000;
const TASKS = 12;
/** So many that nodes are at work when the one that is added, and the next leader, take over. */
const DEMO_TASKS = 6_000;

/** Slow enough that a drain meets it; tries to write where the image is, and says how that ended. */
const MODULE = `
  import { appendFileSync, writeFileSync } from "node:fs";
  import { defineTasks } from "vouch";
  const refused = (path: string): string => {
    try { writeFileSync(path, "x"); return "written"; } catch (error) { return (error as { code: string }).code; }
  };
  export default defineTasks({
    topic: "t",
    onUnknown: "park",
    async execute(task) {
      appendFileSync("/data/effects", "start\\n");
      await Bun.sleep(1_000);
      appendFileSync("/data/effects", "effect " + refused("/tasks/x") + " " + refused("/usr/x") + "\\n");
    },
  });
`;
const BLOCKING = `
  import { defineTasks } from "vouch";
  export default defineTasks({
    topic: "t", onUnknown: "park", handlerTimeoutMs: 500, abortGraceMs: 200, execute() { for (;;); },
  });
`;

export interface ImageCheck {
  readonly target: string;
  readonly store: ImageStore;
  readonly commit: string;
  readonly check: Check;
  readonly folder: Folder;
}

export async function checkImage({ target, store, commit, check, folder }: ImageCheck): Promise<void> {
  const image = await store.config(target);
  const { container, root } = await store.mount(target);
  const tasks = folder(`${target}-tasks`);
  writeFileSync(join(tasks, "tasks.ts"), MODULE);
  writeFileSync(join(tasks, "blocking.ts"), BLOCKING);
  const [httpPort = 0] = await freePorts(1);
  const environment = { VOUCH_HTTP_LISTEN: `127.0.0.1:${httpPort}`, VOUCH_PEER_LISTEN: "127.0.0.1:0" };
  const on = (volume: string): ContainerOptions => ({
    image,
    root,
    data: dataVolume(folder, `${target}-${volume}`),
    tasks,
    environment,
  });
  const single = ["--single-node", "--concurrency", "4"];

  await check(`${target}: says its version, is nobody special, stops by SIGTERM, keeps /data`, async () => {
    const { code, output } = await runContainer("version", on("version"), ["--version"]);
    assert.deepEqual([code, output], [0, `${packageJson.version}${commit === "" ? "" : ` (${commit})`}\n`]);
    assert.deepEqual([image.user, image.stopSignal, image.volumes], [`${USER}:${USER}`, "SIGTERM", ["/data"]]);
  });

  await check(`${target}: demo, run by buildah as the image says`, async () => {
    const out = await store.run(container, [...image.entrypoint, "demo", "--tasks", String(DEMO_TASKS), "--json"]);
    proofHolds(out);
  });

  await check(`${target}: demo with a read-only root and a data volume`, async () => {
    const { code, output } = await runContainer("demo", on("demo"), [
      "demo",
      "--tasks",
      String(DEMO_TASKS),
      "--data-dir",
      "/data/demo",
      "--json",
    ]);
    assert.equal(code, 0, output);
    proofHolds(output);
  });

  await check(
    `${target}: a node works read-only and not as root, answers its health check, and drains at SIGTERM`,
    async () => {
      const options = on("node");
      const effects = join(options.data, "effects");
      const produced = await runContainer("produce", options, ["produce", "t", "--count", String(TASKS)]);
      assert.equal(produced.code, 0, produced.output);
      assert.notEqual((await health(options)).code, 0, "healthy without a node");
      await using node = await startContainer("node", options, ["run", "tasks.ts", ...single]);
      await waitUntil("a handler runs", () => existsSync(effects), WAIT_MS);
      assert.deepEqual(statusOf(node.pid, "Uid").split("\t"), Array(4).fill(String(USER)));
      assert.deepEqual(statusOf(node.pid, "Gid").split("\t"), Array(4).fill(String(USER)));
      assert.match(rootMount(node.pid), /^ro\b/);
      const { code, output } = await health(options);
      assert.equal(code, 0, output);
      node.kill("SIGTERM");
      assert.equal(await node.exited, 0, node.output());
      assert.match(node.output(), /SIGTERM: draining[\s\S]*"drained"/);
      const lines = readFileSync(effects, "utf8").trim().split("\n");
      const done = lines.filter((line) => line === "effect EROFS EROFS").length;
      // Every handler that ran was let end, and no new one was begun.
      assert.equal(done, lines.filter((line) => line === "start").length, lines.join("\n"));
      assert.ok(done > 0 && done < TASKS, `${done} of ${TASKS} effects: the drain met no handler`);
    },
  );

  await check(`${target}: what was left after a drain is done by the next container on the same volume`, async () => {
    const options = on("node");
    const effects = (): number => readFileSync(join(options.data, "effects"), "utf8").match(/^effect/gm)?.length ?? 0;
    await using node = await startContainer("node again", options, ["run", "tasks.ts", ...single]);
    await waitUntil("all effects are there", () => effects() === TASKS, WAIT_MS);
    node.kill("SIGTERM");
    assert.equal(await node.exited, 0, node.output());
    assert.equal(effects(), TASKS);
  });

  await check(`${target}: the watchdog ends a container whose handler blocks the event loop`, async () => {
    const options = on("blocking");
    assert.equal((await runContainer("produce", options, ["produce", "t", "--count", "1"])).code, 0);
    const { code, output } = await runContainer("blocking", options, ["run", "blocking.ts", ...single]);
    assert.equal(code, 137, output);
    assert.match(output, /vouch watchdog: the handler of t:0:0 neither ended in its time .* killing process 1\b/);
  });

  /** The image's own health check, as an engine calls it beside the node. */
  function health(options: ContainerOptions): Promise<{ readonly code: number; readonly output: string }> {
    const known = HEALTH_CHECKS.some(({ command }) => command.join(" ") === image.healthCheck.join(" "));
    assert.ok(known, `no known health check: ${image.healthCheck.join(" ")}`);
    return runContainer("health", options, [], image.healthCheck);
  }
}

/** A volume as an engine hands it out: it belongs to the image's user. */
export function dataVolume(folder: Folder, name: string): string {
  const path = folder(`${name}-data`);
  chownSync(path, USER, USER);
  return path;
}

function proofHolds(out: string): void {
  const last =
    out
      .trim()
      .split("\n")
      .findLast((line) => line.startsWith("{")) ?? "{}";
  const { tasks, executed, lost, executedTwice, complaints } = JSON.parse(last) as Record<string, unknown>;
  assert.deepEqual(
    { tasks, executed, lost, executedTwice, complaints },
    { tasks: DEMO_TASKS, executed: DEMO_TASKS, lost: 0, executedTwice: 0, complaints: [] },
  );
}
