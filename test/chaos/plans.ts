/** What happens to the cell, by name. A plan begins with the nodes started and ends when its last fault is over. */
import type { ChaosNode } from "./cell.ts";
import type { ChaosRun } from "./run.ts";

export interface ChaosPlan {
  readonly summary: string;
  readonly nodes: number; // at the start
  readonly partitions: number;
  /** Handlers at once on one node. */
  readonly concurrency: number;
  readonly run: (run: ChaosRun) => Promise<void>;
}

/** A kill counts only when it interrupts so many handlers. */
const RUNNING_MIN = 3;
/** Longer than the lease of 3 s and the session of 6 s, shorter than lease and grace: its handlers go on afterwards. */
const STOPPED_MS = 8_000;
const RESTART_AFTER_MS = 3_000;

export const plans: Readonly<Record<string, ChaosPlan>> = {
  first: {
    summary: "leader killed, another node killed and restarted, a node added, a node stopped for 8 s",
    nodes: 3,
    partitions: 6,
    concurrency: 30,
    run: first,
  },
};

async function first(run: ChaosRun): Promise<void> {
  const { cell, say } = run;
  await run.until("a tenth of the work", () => run.done >= run.tasks / 10 && cell.alive.every((n) => run.isMember(n)));
  const leader = await run.killWhileRunning("the leader", () => run.leader(), RUNNING_MIN);

  await run.until("another leader", () => run.leader() !== null && run.leader() !== leader);
  say(`${run.leader()?.name} leads`);
  const follower = (): ChaosNode | null => cell.alive.find((node) => node !== run.leader()) ?? null;
  const killed = await run.killWhileRunning("another node", follower, RUNNING_MIN);
  await Bun.sleep(RESTART_AFTER_MS);
  const restarted = cell.start(killed.name, killed);
  const added = cell.start("n4");
  say(`started ${restarted.name} again and ${added.name} anew`);
  await run.until("both to be members", () => run.isMember(restarted) && run.isMember(added));
  say("both are in the in-sync set");
  await run.until("both to work", () => run.running(restarted) > 0 && run.running(added) > 0);

  let stopped: ChaosNode | null = null;
  await run.until(
    "a follower that works",
    () => {
      stopped = cell.alive.find((node) => node !== run.leader() && run.running(node) >= RUNNING_MIN) ?? null;
      return stopped !== null;
    },
    2,
  );
  await stopAndContinue(run, (stopped as ChaosNode | null) ?? added);
}

async function stopAndContinue(run: ChaosRun, node: ChaosNode): Promise<void> {
  node.stop();
  run.feeder.release();
  run.say(`SIGSTOP of ${node.name} while ${run.running(node)} handlers ran on it`);
  const until = performance.now() + STOPPED_MS;
  let isEvicted = false;
  const isOver = (): boolean => {
    isEvicted ||= !run.isInSync(node);
    return performance.now() >= until;
  };
  await run.until("the end of the stop", isOver, 20);
  if (!isEvicted) throw new Error(`${node.name} was stopped for ${STOPPED_MS} ms and never left the in-sync set`);
  node.continue();
  const before = run.started(node);
  run.say(`SIGCONT of ${node.name}, which was evicted from the in-sync set`);
  await run.until(`${node.name} to be a member again`, () => run.isInSync(node) && run.isMember(node));
  run.say(`${node.name} is in the in-sync set again`);
  await run.until(`${node.name} to work again`, () => run.started(node) > before);
  run.say(`${node.name} works again`);
}
