/** Faults of the services around a cell: coordinator, task log, and the user's checks and handlers. */
import type { Acts } from "./fault-acts.ts";
import type { FaultField } from "./faults.ts";

function lostAnswers({ simulation, random, ms, told, last }: FaultField): void {
  const { troubleChance } = simulation.zookeeper;
  const level = 0.1 + 0.5 * random.next();
  told("lost-answers", "", `${level.toFixed(2)} for ${ms} ms`);
  troubleChance.answerLost = level;
  troubleChance.requestLost = random.chance(0.5) ? level : 0;
  last("lost-answers", "", ms, () => {
    troubleChance.answerLost = 0;
    troubleChance.requestLost = 0;
  });
}

function storm(field: FaultField): void {
  const { simulation, random, ms, told, later } = field;
  told("rebalance-storm", "", `${ms} ms`);
  const end = simulation.now + ms;
  const again = (): void => {
    if (simulation.now >= end) return;
    simulation.kafka.rebalance();
    later(50 + random.below(400), again);
  };
  again();
}

function commitTrouble(field: FaultField, kind: "commit-trouble" | "fatal-commit"): void {
  const { simulation, random, ms, told, last } = field;
  const { commitTrouble: trouble } = simulation.kafka;
  const which = kind === "fatal-commit" ? "fatal" : random.pick(["refused", "unknownApplied", "unknownLost"] as const);
  const level = 0.2 + 0.7 * random.next();
  told(kind, "", `${which} ${level.toFixed(2)} for ${ms} ms`);
  trouble[which] = level;
  last(kind, "", ms, () => (trouble[which] = 0));
}

const OF_COORDINATOR: Acts<"coordinator-quorum" | "session-expiry" | "lost-answers" | "stale-reads" | "slow-watches"> =
  {
    "coordinator-quorum": ({ simulation: { zookeeper }, ms, told, last }) => {
      told("coordinator-quorum", "", `${ms} ms`);
      zookeeper.setQuorum(false);
      last("coordinator-quorum", "", ms, () => zookeeper.setQuorum(true));
    },
    "session-expiry": ({ simulation: { zookeeper }, name, told }) => {
      told("session-expiry", name);
      zookeeper.expireSessionOf(name);
    },
    "lost-answers": lostAnswers,
    "stale-reads": ({ simulation: { zookeeper }, ms, told, last }) => {
      told("stale-reads", "", `${ms} ms`);
      zookeeper.staleReads = true;
      last("stale-reads", "", ms, () => (zookeeper.staleReads = false));
    },
    "slow-watches": ({ simulation: { zookeeper, settings }, random, ms, told, last }) => {
      told("slow-watches", "", `${ms} ms`);
      zookeeper.watchDelayMs = random.between(50, settings.timing.sessionMs);
      last("slow-watches", "", ms, () => (zookeeper.watchDelayMs = 0));
    },
  };

const OF_LOG: Acts<
  | "move"
  | "rebalance-storm"
  | "lost-revocation"
  | "late-batches"
  | "slow-log"
  | "commit-trouble"
  | "fatal-commit"
  | "stale-commit-accepted"
> = {
  move: ({ simulation: { kafka, settings }, scene, random, name, told }) => {
    const partition = scene.partition >= 0 ? scene.partition : random.below(settings.partitions);
    told("move", name, `partition ${partition}`);
    kafka.move(partition, name);
  },
  "rebalance-storm": storm,
  "lost-revocation": ({ simulation: { kafka }, name, ms, told, last }) => {
    told("lost-revocation", name, `${ms} ms`);
    kafka.lostRevocation.add(name);
    last("lost-revocation", name, ms, () => kafka.lostRevocation.delete(name));
  },
  "late-batches": ({ simulation: { kafka }, name, ms, told, last }) => {
    told("other", name, `late batches, ${ms} ms`);
    kafka.spurious.lateBatches.add(name);
    last("other", name, ms, () => kafka.spurious.lateBatches.delete(name));
  },
  "slow-log": ({ simulation: { kafka }, random, name, ms, told, last }) => {
    const slowMs = random.between(20, 2_000);
    told("slow-log", name, `${slowMs} ms more for ${ms} ms`);
    kafka.slowMs.set(name, slowMs);
    last("slow-log", name, ms, () => kafka.slowMs.delete(name));
  },
  "commit-trouble": (field) => commitTrouble(field, "commit-trouble"),
  "fatal-commit": (field) => commitTrouble(field, "fatal-commit"),
  "stale-commit-accepted": ({ simulation: { kafka }, ms, told, last }) => {
    told("stale-commit-accepted", "", `${ms} ms`);
    kafka.acceptsStaleCommits = true;
    last("stale-commit-accepted", "", ms, () => (kafka.acceptsStaleCommits = false));
  },
};

/** From outside of the cell: other clients, and people. */
const OF_OUTSIDERS: Acts<"foreign-commit" | "offsets-lost" | "truncation" | "retention" | "topic-recreated"> = {
  "foreign-commit": ({ simulation: { kafka, settings }, random, told }) => {
    const partition = random.below(settings.partitions);
    const position = random.below(kafka.log[partition]!.length + 1);
    told("foreign-commit", "", `${partition} to ${position}`);
    kafka.foreignCommit(partition, position);
  },
  "offsets-lost": ({ simulation: { kafka }, told }) => {
    told("offsets-lost", "");
    kafka.loseOffsets();
  },
  retention: ({ simulation: { kafka, settings }, random, told }) => {
    const partition = random.below(settings.partitions);
    const from = kafka.committed[partition] ?? 0;
    if (from <= (kafka.logStart[partition] ?? 0)) return;
    told("retention", "", `${partition} from ${from}`);
    kafka.raiseLogStart(partition, from);
  },
  truncation: () => {},
  "topic-recreated": () => {},
};

const OF_USERS: Acts<"check-trouble" | "set-aside-trouble" | "slow-handlers"> = {
  "check-trouble": ({ workload, random, ms, told, last }) => {
    told("check-trouble", "", `${ms} ms`);
    workload.checkTrouble = 0.2 + 0.8 * random.next();
    last("check-trouble", "", ms, () => (workload.checkTrouble = 0));
  },
  "set-aside-trouble": ({ simulation: { kafka }, ms, told, last }) => {
    told("set-aside-trouble", "", `${ms} ms`);
    kafka.setAsideTrouble = 0.7;
    last("set-aside-trouble", "", ms, () => (kafka.setAsideTrouble = 0));
  },
  "slow-handlers": ({ workload, ms, told, last }) => {
    told("slow-handlers", "", `${ms} ms`);
    workload.slowness = 1;
    last("slow-handlers", "", ms, () => (workload.slowness = 0));
  },
};

export const OF_SERVICES = { ...OF_COORDINATOR, ...OF_LOG, ...OF_OUTSIDERS, ...OF_USERS };
