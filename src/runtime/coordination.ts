/**
 * Between the core and the coordinator. Every call is made once; what became of it goes back as an event. Names of
 * partitions are translated: the coordinator knows `topic#partition`, the core partition ids.
 */
import type {
  Coordinator,
  CoordinatorEvent,
  InSyncRecord,
  MemberInfo,
  Versioned,
  WatermarksRecord,
  WriteOutcome,
} from "../coordinator/coordinator.ts";
import type { CoreEffect } from "../core/effects.ts";
import type { CoreEvent, InSyncState, WatermarksState } from "../core/events.ts";
import { incarnationOf, type Incarnation } from "../core/identity.ts";
import { describeError, VouchError } from "../errors.ts";
import type { RuntimeLog } from "./options.ts";
import type { PartitionNames } from "./partition-names.ts";

export interface CoordinationOptions {
  readonly coordinator: Coordinator;
  readonly names: PartitionNames;
  readonly post: (event: CoreEvent) => void;
  readonly onMembers: (members: readonly MemberInfo[]) => void;
  /** The cell's records are gone: a person must do something. */
  readonly onFailed?: (error: Error) => void;
  readonly log: RuntimeLog;
  readonly dedupEpoch: number;
}

type Effect<T extends CoreEffect["type"]> = Extract<CoreEffect, { type: T }>;
type Rows = WatermarksRecord["partitions"];

/** A deadline that moved less than this is the same one, read at another moment. */
const DEADLINE_RESOLUTION_MS = 1;

const READ_AGAIN_MS = 250;

export class Coordination {
  readonly #options: CoordinationOptions;
  #members = new Map<Incarnation, MemberInfo>();
  #deadline = Number.NEGATIVE_INFINITY;
  /** Rows of `/watermarks` as last read or written: those of topics that this node does not know must stay. */
  #rows: Rows = {};

  constructor(options: CoordinationOptions) {
    this.#options = options;
  }

  addressOf(incarnation: Incarnation): string | null {
    return this.#members.get(incarnation)?.peerAddress ?? null;
  }

  /** What the coordinator reports. */
  onEvent(event: CoordinatorEvent): void {
    const { post, onMembers, log } = this.#options;
    switch (event.type) {
      case "session":
        log(event.state === "connected" ? "info" : "warn", `coordinator session ${event.state}`, {});
        post({ type: "session", state: event.state });
        return;
      case "members": {
        const entries = event.members.map((member) => [incarnationOf(member.nodeId, member.bootId), member] as const);
        this.#members = new Map(entries);
        onMembers(event.members);
        post({ type: "members", members: [...this.#members.keys()] });
        return;
      }
      case "leader": {
        const { leader } = event;
        post({
          type: "leader",
          leader:
            leader === null ? null : { incarnation: incarnationOf(leader.nodeId, leader.bootId), epoch: leader.epoch },
        });
        return;
      }
      case "warning":
        log("warn", event.message, {});
        return;
      case "failed":
        this.#options.onFailed?.(new VouchError("refused", event.message));
        return;
      default:
        event satisfies never;
    }
  }

  /** Asked before every step: until when what the coordinator said may be relied upon (R17). */
  sense(now: number): CoreEvent | null {
    // Floored, so that reading it at two moments never moves it forward by rounding.
    const at = Math.floor(now + this.#options.coordinator.remainingMs());
    if (Math.abs(at - this.#deadline) <= DEADLINE_RESOLUTION_MS) return null;
    this.#deadline = at;
    return { type: "coordinator-deadline", at };
  }

  // What the core asks for. Nothing here throws: a failure is an event.

  compete(effect: Effect<"compete">): void {
    void this.#compete(effect);
  }

  resign(effect: Effect<"resign">): void {
    void this.#options.coordinator
      .resign(effect.epoch)
      .catch((error: unknown) => this.#warn("the leader node could not be given up", error));
  }

  readInSync(effect: Effect<"read-in-sync">): void {
    void this.#readInSync(effect);
  }

  writeInSync(effect: Effect<"write-in-sync">): void {
    void this.#writeInSync(effect);
  }

  writeWatermarks(effect: Effect<"write-watermarks">): void {
    void this.#writeWatermarks(effect);
  }

  async #compete(effect: Effect<"compete">): Promise<void> {
    const { coordinator, post } = this.#options;
    try {
      const election = await coordinator.compete(effect.highestKnownEpoch);
      if (election.outcome !== "won") {
        post({ type: "election", outcome: election.outcome });
        return;
      }
      // R4 (1): after the election write, and with its version.
      const inSync = inSyncState(await coordinator.readInSync());
      const watermarks = this.#watermarksState((await coordinator.readWatermarks()).value);
      post({ type: "election", outcome: "won", epoch: election.epoch, inSync, watermarks });
    } catch (error) {
      // Asked again, a won election answers "won" with the same epoch.
      this.#warn("an election could not be finished", error);
      post({ type: "election", outcome: "unknown" });
    }
  }

  async #readInSync(effect: Effect<"read-in-sync">): Promise<void> {
    const { coordinator, post } = this.#options;
    let inSync: InSyncState | null = null;
    try {
      inSync = inSyncState(await coordinator.readInSync());
    } catch (error) {
      this.#warn("the in-sync set could not be read", error);
      // The core asks again as soon as it hears, and a coordinator without a session fails at once.
      await Bun.sleep(READ_AGAIN_MS);
    }
    post({ type: "in-sync-read", epoch: effect.epoch, inSync });
  }

  async #writeInSync(effect: Effect<"write-in-sync">): Promise<void> {
    const { epoch, incarnations, evicted, version } = effect;
    const outcome = await this.#written("the in-sync set", () =>
      this.#options.coordinator.writeInSync(epoch, { epoch, incarnations, evicted }, version),
    );
    this.#options.post({
      type: "in-sync-written",
      epoch,
      outcome: outcome.outcome === "refused" ? outcome.reason : outcome.outcome,
      version: outcome.outcome === "written" ? outcome.version : version,
    });
  }

  async #writeWatermarks(effect: Effect<"write-watermarks">): Promise<void> {
    const { epoch, clean } = effect;
    const { dedupEpoch } = this.#options;
    const rows: Record<string, Rows[string]> = { ...this.#rows };
    for (const { pid, from, watermark } of effect.partitions) {
      rows[this.#options.names.text(pid)] = dedupEpoch === 0 ? [from, watermark] : [from, watermark, dedupEpoch];
    }
    this.#rows = rows;
    const outcome = await this.#written("the watermarks", () =>
      this.#options.coordinator.writeWatermarks(epoch, { clean, partitions: rows }),
    );
    // This write is conditional on the epoch alone, so any refusal means a newer one.
    const told = outcome.outcome === "refused" ? "fenced" : outcome.outcome;
    this.#options.post({ type: "watermarks-written", epoch, outcome: told });
  }

  async #written(what: string, write: () => Promise<WriteOutcome>): Promise<WriteOutcome> {
    try {
      return await write();
    } catch (error) {
      this.#warn(`${what} could not be written`, error);
      return { outcome: "unknown" };
    }
  }

  #watermarksState(record: WatermarksRecord): WatermarksState {
    this.#rows = record.partitions;
    const partitions = Object.entries(record.partitions).flatMap(([name, [from, watermark, dedupEpoch = 0]]) => {
      const pid = this.#options.names.parse(name);
      return pid === null || dedupEpoch !== this.#options.dedupEpoch ? [] : [{ pid, from, watermark }];
    });
    // A new cell's record is not clean and has no rows; a written one that looks like this says no more than that.
    const written = record.clean || Object.keys(record.partitions).length > 0;
    return { clean: record.clean, written, partitions };
  }

  #warn(what: string, error: unknown): void {
    this.#options.log("warn", `${what}: ${describeError(error)}`, {});
  }
}

function inSyncState(record: Versioned<InSyncRecord>): InSyncState {
  const { incarnations, evicted = [] } = record.value;
  return { incarnations, evicted, version: record.version };
}
