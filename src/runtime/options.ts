/** What the runtime must be told to make a node. The configuration maps to it; tests fill it directly. */
import type { Coordinator, ProcessIdentity, TopicRecord } from "../coordinator/coordinator.ts";
import type { CoreSettings } from "../core/settings.ts";
import type { CoreStatus } from "../core/status.ts";
import type { TaskQuery, TaskView } from "../core/task-view.ts";
import type { TaskType } from "../execution/define.ts";
import type { LinkSettings } from "../links/link-settings.ts";
import type { HealthLimits, HealthLook } from "../ops/health.ts";
import type { ConsumerOptions, TaskLog } from "../task-log/task-log.ts";
import type { HelloParameter } from "../wire/hello.ts";
import type { DrivenCore } from "./driver.ts";
import type { ProcessState } from "./process-identity.ts";

export type RuntimeLog = (
  level: "info" | "warn" | "error",
  message: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** What the cell recorded about a topic, with the definition that works on it. */
export interface OpenedTopic {
  readonly task: TaskType;
  readonly generation: number; // topic generation
  readonly startAt: "earliest" | "latest" | "committed"; // equal for all topics of a cell
  readonly partitions: number; // 0 when the topic does not exist yet
  readonly record: TopicRecord;
}

/** The core as the runtime needs it. */
export interface RunningCore extends DrivenCore {
  /** How many each topic had when the node started, by topic index. */
  readonly partitionCounts: readonly number[];
  status(now: number): CoreStatus;
  /** What this node knows of one task; walks its tables, so it is for people and not for every turn. */
  look(query: TaskQuery, now: number): TaskView;
  /** The two fields of a status by which a node says what it waits for. */
  waits(): Pick<CoreStatus, "waitingFor" | "leader">;
  /** For the alarm about slow verdicts; asked for twice a second. */
  verdicts(now: number): HealthLook;
  /** When handlers that still run must be aborted, on the clock of `step` (R12): the last lease's end plus the grace. */
  isolationDeadline(): number;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number; // 0: any free one
}

/** Who this start of a node is, and how it sees other processes of its machine. */
export interface Self {
  /** 128 random bits as 32 hex digits, never used before. */
  readonly bootId: string;
  readonly process: ProcessIdentity;
  readonly readProcess: (pid: number) => ProcessState;
}

export interface RuntimeOptions {
  readonly nodeId: string;
  readonly self: Self;
  readonly cell: string;
  readonly version: string;
  readonly peerListen: ListenAddress;
  /** Peers are not authenticated yet: an address that is not loopback needs this. */
  readonly insecure: boolean;
  /** null: no HTTP port. */
  readonly httpListen: ListenAddress | null;
  /** The address that others are told, from the one that was opened. */
  readonly advertise: (opened: ListenAddress) => ListenAddress;
  /** Closed with the node, whether it started or not. */
  readonly coordinator: Coordinator;
  readonly taskLog: TaskLog;
  readonly consumer: Omit<ConsumerOptions, "topics">;
  readonly dedupEpoch: number;
  readonly startAt: "earliest" | "latest" | "committed";
  /** Sorted by topic. */
  readonly tasks: readonly TaskType[];
  /** Called when the coordinator answered: the cluster UUID and the topics' generations are known then. */
  readonly settings: (clusterUuid: string, bootId: string, topics: readonly OpenedTopic[]) => CoreSettings;
  /** What peers must have equal (R19); the runtime adds the formats that it knows itself. */
  readonly parameters: (settings: CoreSettings) => readonly HelloParameter[];
  readonly core: (settings: CoreSettings, random: () => number, now: number) => RunningCore;
  readonly links: LinkSettings;
  readonly health: HealthLimits;
  readonly log: RuntimeLog;
  /** Aborted: a node that is still starting gives up. A node that runs is drained by `stop`. */
  readonly signal?: AbortSignal;
}
