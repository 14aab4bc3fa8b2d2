/**
 * The coordinator on a ZooKeeper ensemble.
 *
 * Guarantees what the port says. A lost session is replaced by a new one and the node registers again; what an earlier session
 * owned is left to expire, also when it bears our own name. It does not guarantee progress while no quorum answers: the
 * deadline passes and the session is given up.
 */
import { VouchError } from "../../errors.ts";
import type {
  Coordinator,
  CoordinatorEvent,
  ElectionOutcome,
  InSyncRecord,
  LeaderInfo,
  MemberInfo,
  TopicRecord,
  Versioned,
  WatermarksRecord,
  WriteOutcome,
} from "../coordinator.ts";
import { checkedSessionMs } from "../open-options.ts";
import { CellPaths, parseConnectString } from "./connect-string.ts";
import type { ZooKeeperMachine } from "./connection-port.ts";
import { type Joined, ZooKeeperPresence, failureText } from "./presence.ts";
import * as recipes from "./recipes.ts";
import { type SessionOptions, ZooKeeperSession } from "./session.ts";

export interface ZooKeeperCoordinatorOptions {
  /** `host:port,host:port/chroot` */
  readonly connectString: string;
  /** The folder of all cells, below the chroot: e.g. "/vouch". */
  readonly root: string;
  /** 1-64 of `A-Z a-z 0-9 . _ -`. */
  readonly cell: string;
  /** To ask for; the server may grant another time, which then counts. Default 6,000, at least 100. */
  readonly sessionMs?: number;
  /** E.g. `{ scheme: "digest", credentials: "user:password" }`: nodes are then created for this identity alone. */
  readonly auth?: { readonly scheme: string; readonly credentials: string };
  /** Called with every warning, also with those of `observe`, which has no events. */
  readonly onWarning?: (message: string) => void;
  /** Connections, clock and chance; default: the real ones. */
  readonly machine?: ZooKeeperMachine | undefined;
}

const FENCED: WriteOutcome = { outcome: "refused", reason: "fenced" };

class ZooKeeperCoordinator implements Coordinator {
  readonly #paths: CellPaths;
  readonly #sessionOptions: SessionOptions;
  readonly #onWarning: (message: string) => void;
  #self: MemberInfo | null = null;
  #presence: ZooKeeperPresence | null = null;
  #won: recipes.Won | null = null;
  #closed = false;

  constructor(options: ZooKeeperCoordinatorOptions, sessionMs: number) {
    const { servers, chroot } = parseConnectString(options.connectString);
    this.#paths = new CellPaths(chroot, options.root, options.cell);
    this.#sessionOptions = {
      servers,
      sessionMs,
      auth: options.auth ?? null,
      probePath: this.#paths.leader,
      machine: options.machine,
    };
    this.#onWarning = options.onWarning ?? (() => undefined);
  }

  async start(self: MemberInfo, onEvent: (event: CoordinatorEvent) => void): Promise<void> {
    if (this.#presence !== null || this.#closed) throw new VouchError("closed", "a coordinator starts once");
    this.#self = self;
    this.#presence = new ZooKeeperPresence({
      session: this.#sessionOptions,
      paths: this.#paths,
      self,
      onEvent: (event) => {
        if (event.type === "warning") this.#onWarning(event.message);
        onEvent(event);
      },
    });
    await this.#presence.started();
  }

  clusterUuid(): string {
    const uuid = this.#presence?.clusterUuid() ?? null;
    if (uuid === null) throw new VouchError("unavailable", "the coordinator has not started yet");
    return uuid;
  }

  remainingMs(): number {
    return this.#presence?.remainingMs() ?? -this.#sessionOptions.sessionMs;
  }

  async compete(highestKnownEpoch: number): Promise<ElectionOutcome> {
    const [joined, self] = [this.#presence?.joined() ?? null, this.#self];
    if (joined === null || self === null) return { outcome: "unknown" };
    const { session, ask } = joined;
    const won = await this.#orUnknown(() => recipes.elect(ask, this.#paths, { self, session, highestKnownEpoch }));
    if (won === "unknown" || this.#presence?.sessionId() !== session) return { outcome: "unknown" };
    if (won === null) return { outcome: "lost" };
    this.#won = won;
    return { outcome: "won", epoch: won.epoch };
  }

  async resign(epoch: number): Promise<void> {
    const won = this.#won;
    if (won?.epoch !== epoch) return;
    this.#won = null;
    // Until it is done or no longer ours: a lost session takes the node with it.
    while (!this.#closed && this.#presence?.sessionId() === won.session) {
      const joined = this.#presence.joined();
      const done = await this.#orUnknown(async () => {
        if (joined !== null) await recipes.removeLeader(joined.ask, this.#paths, won);
      });
      if (joined !== null && done !== "unknown") return;
      await Bun.sleep(this.#sessionOptions.sessionMs / 60);
    }
  }

  readInSync(): Promise<Versioned<InSyncRecord>> {
    return this.#onLive(({ ask }) => recipes.readInSync(ask, this.#paths));
  }

  readWatermarks(): Promise<Versioned<WatermarksRecord>> {
    return this.#onLive(({ ask }) => recipes.readWatermarks(ask, this.#paths));
  }

  writeInSync(epoch: number, record: InSyncRecord, version: number): Promise<WriteOutcome> {
    return this.#writeAsLeader(epoch, (ask, won) => recipes.writeInSync(ask, this.#paths, won, { record, version }));
  }

  writeWatermarks(epoch: number, record: WatermarksRecord): Promise<WriteOutcome> {
    return this.#writeAsLeader(epoch, (ask, won) => recipes.writeWatermarks(ask, this.#paths, won, record));
  }

  ensureTopic(topic: string, initial: TopicRecord): Promise<TopicRecord> {
    return this.#onLive(({ ask }) => recipes.ensureTopic(ask, this.#paths, topic, initial));
  }

  replaceTopic(topic: string, record: TopicRecord): Promise<void> {
    return this.#onLive(({ ask }) => recipes.replaceTopic(ask, this.#paths, topic, record));
  }

  async observe(): Promise<{ members: readonly MemberInfo[]; leader: LeaderInfo | null }> {
    const joined = this.#presence?.joined() ?? null;
    if (joined !== null) return this.#look(joined.ask);
    const connected = Promise.withResolvers<string>();
    const session = new ZooKeeperSession(this.#sessionOptions, {
      connected: (ticket) => connected.resolve(ticket.id),
      suspended: () => undefined,
      lost: () => undefined,
      failed: (server, attempt, reason) => this.#onWarning(failureText(server, attempt, reason)),
    });
    const giveUp = setTimeout(() => {
      connected.reject(new VouchError("unavailable", "no ZooKeeper server answers"));
    }, this.#sessionOptions.sessionMs);
    try {
      session.open();
      const id = await connected.promise;
      return await this.#look((send) => session.request(id, send));
    } finally {
      clearTimeout(giveUp);
      await session.close();
    }
  }

  async #look(ask: recipes.Ask): Promise<{ members: readonly MemberInfo[]; leader: LeaderInfo | null }> {
    const members = await recipes.readMembers(ask, this.#paths);
    const leader = await recipes.readLeader(ask, this.#paths);
    return { members: members.value, leader: leader.value };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#won = null;
    await this.#presence?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** For calls that promise not to throw for a lost connection. */
  async #orUnknown<T>(call: () => Promise<T>): Promise<T | "unknown"> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof VouchError)) throw error;
      if (error.code !== "unavailable") this.#onWarning(error.message);
      return "unknown";
    }
  }

  async #writeAsLeader(
    epoch: number,
    write: (ask: recipes.Ask, won: recipes.Won) => Promise<WriteOutcome>,
  ): Promise<WriteOutcome> {
    const won = this.#won;
    // After the loss of its session a leader is none, though nobody may have been elected yet.
    if (won?.epoch !== epoch || this.#presence?.sessionId() !== won.session) return FENCED;
    const joined = this.#presence.joined();
    if (joined === null) return { outcome: "unknown" };
    const outcome = await this.#orUnknown(() => write(joined.ask, won));
    return outcome === "unknown" ? { outcome: "unknown" } : outcome;
  }

  /** @throws VouchError "unavailable" without a session before its deadline. */
  async #onLive<T>(call: (joined: Joined) => Promise<T>): Promise<T> {
    const joined = this.#presence?.joined() ?? null;
    if (joined === null || this.remainingMs() <= 0) {
      throw new VouchError(this.#closed ? "closed" : "unavailable", "the coordinator has no live session");
    }
    return call(joined);
  }
}

/**
 * A coordinator that keeps the cell in ZooKeeper at `<chroot>/<root>/<cell>`. Opens no connection before `start` or `observe`.
 * @throws VouchError "configuration" for a connect string, root, cell or session time that cannot be used.
 */
export function openZooKeeperCoordinator(options: ZooKeeperCoordinatorOptions): Coordinator & AsyncDisposable {
  return new ZooKeeperCoordinator(options, checkedSessionMs(options));
}
