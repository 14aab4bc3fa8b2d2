/** The servers that other tests stand on: they start, survive a kill with their data, and leave nothing behind. */

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { startKafka } from "./kafka.ts";
import { freePorts, runningProcesses, startProcess, temporaryFolder, waitUntil } from "./processes.ts";
import { startEnsemble, startZooKeeper } from "./zookeeper.ts";

/** The message of the error with which a promise must be rejected. */
async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("it did not fail");
}

const isRunning = (pid: number): boolean => existsSync(`/proc/${pid}`);

test("a child process's failed wait shows its output", async () => {
  await using child = startProcess("shell", ["sh", "-c", "echo out; echo err >&2; exit 3"]);
  const failure = await failureOf(child.waitForOutput(/never/, 5_000));
  expect(failure).toContain("ended before it printed /never/");
  expect(failure).toContain("out");
  expect(failure).toContain("err");
  expect(await child.exited).toBe(3);
  expect(runningProcesses().map((each) => each.pid)).not.toContain(child.pid);
});

test("a stopped child process is ended too", async () => {
  const child = startProcess("sleeper", ["sleep", "600"]);
  child.kill("SIGSTOP");
  expect(child.alive()).toBe(true);
  await child.stop();
  expect(child.alive()).toBe(false);
  expect(isRunning(child.pid)).toBe(false);
});

test("a port is given once, however long its server takes to listen, also by test processes side by side", async () => {
  const script = `import { freePorts } from "${import.meta.dir}/processes.ts"; console.log((await freePorts(20)).join());`;
  const mine = [...(await freePorts(20)), ...(await freePorts(20))];
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
  const theirs = (await new Response(child.stdout).text()).trim().split(",").map(Number);
  expect(new Set([...mine, ...theirs]).size).toBe(60);
});

test("free ports differ, a temporary folder goes away, a wait names what it waited for", async () => {
  const ports = await freePorts(5);
  expect(new Set(ports).size).toBe(5);
  const folder = await temporaryFolder("vouch-test");
  await Bun.write(`${folder.path}/a/b`, "x");
  await folder.remove();
  expect(existsSync(folder.path)).toBe(false);
  expect(await failureOf(waitUntil("the impossible", () => false, 30))).toBe("the impossible: not within 30 ms");
});

test("a temporary folder goes away with a process that did not remove it", async () => {
  const script = `import { temporaryFolder } from "${import.meta.dir}/processes.ts";
    console.log((await temporaryFolder("vouch-left")).path); process.kill(process.pid, "SIGKILL");`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
  const path = (await new Response(child.stdout).text()).trim();
  expect(path).toContain("vouch-left");
  await waitUntil("the folder's end", () => !existsSync(path), 10_000);
});

test("Kafka starts, is killed, restarts on its port, and leaves nothing", async () => {
  const kafka = await startKafka();
  const firstPid = kafka.pid;
  await kafka.kill("SIGKILL");
  expect(isRunning(firstPid)).toBe(false);
  await kafka.restart();
  expect(kafka.pid).not.toBe(firstPid);
  expect(isRunning(kafka.pid)).toBe(true);
  await kafka.stop();
  expect(isRunning(kafka.pid)).toBe(false);
}, 90_000);

test("a single ZooKeeper serves, and an ensemble of three elects another leader", async () => {
  await using single = await startZooKeeper();
  expect(await single.mode()).toBe("standalone");

  await using ensemble = await startEnsemble(3);
  const modes = await Promise.all(ensemble.servers.map((server) => server.mode()));
  expect(modes.toSorted()).toEqual(["follower", "follower", "leader"]);
  const leader = ensemble.servers[modes.indexOf("leader")]!;
  await leader.kill("SIGKILL");
  const others = ensemble.servers.filter((server) => server !== leader);
  await waitUntil(
    "another leader",
    async () => (await Promise.all(others.map((server) => server.mode()))).includes("leader"),
    20_000,
  );
  await leader.restart();
  expect(await leader.mode()).toBe("follower");
}, 90_000);
