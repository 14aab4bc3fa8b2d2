/**
 * Two topics whose tasks stand still where a test wants them: in their handlers and in their checks, until a file of the
 * gate's name is there. "quick" asks its check at once after a death, "slow" waits a minute for effects to settle.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { defineTasks } from "../../src/execution/define.ts";

export const GATES_ENVIRONMENT = "TEST_GATES";

/** All parts are optional. */
export interface StateWork {
  readonly gate?: string; // the handler waits for it
  readonly checkGate?: string; // the check waits for it, and then answers "executed"
  readonly fail?: boolean;
}

async function passGate(name: string): Promise<void> {
  while (!existsSync(join(process.env[GATES_ENVIRONMENT] ?? "", name))) await Bun.sleep(10);
}

function tasksOf(topic: string, effectSettleMs: number): ReturnType<typeof defineTasks<StateWork>> {
  return defineTasks<StateWork>({
    topic,
    onUnknown: "park",
    effectSettleMs,
    async execute({ payload }) {
      if (payload.fail === true) throw new Error("told to fail");
      if (payload.gate !== undefined) await passGate(payload.gate);
    },
    async check({ payload }) {
      if (payload.checkGate === undefined) return "unknown";
      await passGate(payload.checkGate);
      return "executed";
    },
  });
}

export default [tasksOf("quick", 100), tasksOf("slow", 60_000)];
