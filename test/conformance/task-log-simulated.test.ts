/**
 * The simulated Kafka does what every task log must do (SIM12): what a simulation believes of Kafka must hold for the real one.
 *
 * The suite runs in real time, the brokers in virtual time: a timer moves that along, as fast as real time goes. Each log has a
 * simulated process of its own; a member "in another process" is the same code in a simulated process that takes the signals.
 */
import { Random } from "../simulation/random.ts";
import { SimulatedKafka } from "../simulation/task-log/kafka.ts";
import { SimulatedProcess, VirtualTime } from "../simulation/virtual-time.ts";
import { waitUntil } from "../support/servers/processes.ts";
import { taskLogConformance } from "./task-log.ts";
import { liveAlone, type LoneMember } from "./task-log-lone-member.ts";
import type { MemberProcess, TaskLogService } from "./task-log-member.ts";

const TURN_MS = 2;
const SEED = 7;

class RealTimeKafka implements TaskLogService {
  readonly #random = new Random(SEED);
  readonly #time = new VirtualTime(this.#random.split("time"));
  readonly #kafka = new SimulatedKafka(this.#time, this.#random.split("kafka"), {
    topic: "first",
    partitions: 1,
    settings: { wallMs: () => Date.now() },
  });
  readonly #startedMs = performance.now();
  readonly #turns = setInterval(() => this.#turn(), TURN_MS);
  #processes = 0;

  openLog(): ReturnType<TaskLogService["openLog"]> {
    return this.#kafka.taskLogOf(this.#process());
  }

  startMember(member: LoneMember): MemberProcess {
    const process = this.#process();
    let output = "";
    const print = (line: string): void => void (output += `${line}\n`);
    const sleep = (ms: number): Promise<void> => {
      return new Promise((resolve) => void this.#time.after(ms, resolve, process));
    };
    process.enter(() => void liveAlone(this.#kafka.taskLogOf(process), member, print, sleep));
    return {
      waitForOutput: (pattern, timeoutMs) => waitUntil(`output ${pattern}`, () => pattern.test(output), timeoutMs),
      kill: (signal) => {
        if (signal === "SIGSTOP") process.stop();
        else if (signal === "SIGCONT") process.continue();
        else process.kill();
      },
      stop: async () => process.kill(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#turns);
  }

  #process(): SimulatedProcess {
    const pid = ++this.#processes;
    const name = `process-${pid}`;
    return new SimulatedProcess(this.#time, { name, pid, host: "host", random: this.#random.split(name) });
  }

  #turn(): void {
    this.#time.advance(Math.max(0, performance.now() - this.#startedMs - this.#time.now));
  }
}

taskLogConformance("simulated", async () => new RealTimeKafka(), {
  sessionTimeoutMs: 1_200,
  rebalanceTimeoutMs: 2_000,
  heartbeatIntervalMs: 200,
  maxWaitMs: 100,
  longSessionTimeoutMs: 60_000,
  waitMs: 20_000,
  quietMs: 200,
  testMs: 30_000,
});
