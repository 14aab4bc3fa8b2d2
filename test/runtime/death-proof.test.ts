import { describe, expect, test } from "bun:test";
import type { MemberInfo, ProcessIdentity } from "../../src/coordinator/coordinator.ts";
import { DeathProof, LOOK_INTERVAL_MS } from "../../src/runtime/death-proof.ts";
import { ownIdentity, parseStat, readProcess, type ProcessState } from "../../src/runtime/process-identity.ts";

const self: ProcessIdentity = { kernelBootId: "k1", pidNamespace: "pid:[1]", pid: 10, startTime: "500" };

function member(nodeId: string, process: Partial<ProcessIdentity>): MemberInfo {
  return {
    nodeId,
    bootId: "b",
    peerAddress: "",
    httpAddress: "",
    protocolVersion: 1,
    process: { ...self, pid: 20, startTime: "700", ...process },
  };
}

/** A proof whose processes are what the test says. */
function watch(processes: Map<number, ProcessState>) {
  const proven: string[] = [];
  const proof = new DeathProof(
    self,
    (incarnation) => proven.push(incarnation),
    (pid) => processes.get(pid) ?? null,
  );
  return { proof, proven };
}

const alive: ProcessState = { startTime: "700", zombie: false };

describe("proof of death", () => {
  for (const [how, state] of [
    ["gone", null],
    ["another process with its pid", { startTime: "701", zombie: false }],
    ["a zombie", { startTime: "700", zombie: true }],
  ] as const) {
    test(`R12: a process that was seen alive and is ${how} is proven dead, once`, () => {
      const processes = new Map<number, ProcessState>([[20, alive]]);
      const { proof, proven } = watch(processes);
      proof.members([member("b", {})], 0);
      proof.tick(LOOK_INTERVAL_MS);
      expect(proven).toEqual([]);
      processes.set(20, state);
      proof.tick(2 * LOOK_INTERVAL_MS);
      proof.tick(3 * LOOK_INTERVAL_MS);
      expect(proven).toEqual(["b/b"]);
    });
  }

  test("R12: a process that this node never saw alive proves nothing", () => {
    const { proof, proven } = watch(new Map());
    proof.members([member("b", {})], 0);
    proof.tick(1_000);
    expect(proven).toEqual([]);
  });

  test("R12: another kernel, another pid name space, or an unknown one proves nothing", () => {
    for (const other of [
      { kernelBootId: "k2" },
      { pidNamespace: "pid:[2]" },
      { startTime: "" },
      { kernelBootId: "" },
    ]) {
      const processes = new Map<number, ProcessState>([[20, alive]]);
      const { proof, proven } = watch(processes);
      proof.members([member("b", other)], 0);
      processes.clear();
      proof.tick(1_000);
      expect(proven).toEqual([]);
    }
  });

  test("R12: what cannot be read proves nothing, and the watching goes on", () => {
    const processes = new Map<number, ProcessState>([[20, alive]]);
    const { proof, proven } = watch(processes);
    proof.members([member("b", {})], 0);
    processes.set(20, "unreadable");
    proof.tick(1_000);
    expect(proven).toEqual([]);
    processes.delete(20);
    proof.tick(2_000);
    expect(proven).toEqual(["b/b"]);
  });

  test("R12: a node that left the list is still proven dead when its process ends", () => {
    const processes = new Map<number, ProcessState>([[20, alive]]);
    const { proof, proven } = watch(processes);
    proof.members([member("b", {})], 0);
    proof.members([], 100);
    processes.delete(20);
    proof.tick(1_000);
    expect(proven).toEqual(["b/b"]);
  });

  test("another incarnation in this very process is not watched", () => {
    const processes = new Map<number, ProcessState>([[10, { startTime: "500", zombie: false }]]);
    const { proof, proven } = watch(processes);
    proof.members([member("a", { pid: 10, startTime: "500" })], 0);
    processes.clear();
    proof.tick(1_000);
    expect(proven).toEqual([]);
  });

  test("looks no more often than its interval", () => {
    let reads = 0;
    const proof = new DeathProof(
      self,
      () => undefined,
      () => (reads++, alive),
    );
    proof.members([member("b", {})], 0);
    for (let now = 0; now < 1_000; now += 20) proof.tick(now);
    expect(reads).toBeLessThanOrEqual(1 + 1_000 / LOOK_INTERVAL_MS);
  });

  test("R12: a real process, killed", async () => {
    const child = Bun.spawn(["sleep", "60"]);
    try {
      const identity = ownIdentity();
      expect(identity.startTime).toMatch(/^\d+$/);
      const state = readProcess(child.pid);
      if (state === null || state === "unreadable") throw new Error("the child is not there");
      const proven: string[] = [];
      const proof = new DeathProof(identity, (incarnation) => proven.push(incarnation), readProcess);
      const process = { ...identity, pid: child.pid, startTime: state.startTime };
      proof.members([{ ...member("b", {}), process }], 0);
      proof.tick(1_000);
      expect(proven).toEqual([]);
      child.kill("SIGKILL");
      await child.exited;
      proof.tick(2_000);
      expect(proven).toEqual(["b/b"]);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  });
});

describe("/proc/<pid>/stat", () => {
  const rest = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21";

  test("a command may hold spaces and parentheses", () => {
    expect(parseStat(`42 (a) b) (c) S ${rest}`)).toEqual({ startTime: "987654", zombie: false });
    expect(parseStat(`42 (bun) Z ${rest}`)).toEqual({ startTime: "987654", zombie: true });
  });

  test("what does not look like it is unreadable", () => {
    for (const text of ["", "42", "42 (bun) S 1 2", `42 (bun) S ${rest.replace("987654", "x")}`]) {
      expect(parseStat(text)).toBe("unreadable");
    }
  });
});
