/**
 * What leaves the leader only when the whole in-sync set has it (R3): verdicts, watermarks, answers to first reports.
 * A verdict is validated against the table once more at that moment: whatever changed meanwhile is answered "doubtful".
 */
import type { Incarnation } from "../identity.ts";
import { gives, Verdict, type PartitionInfo, type VerdictBatch, type WatermarkRow } from "../messages.ts";
import { offsetAt } from "../offsets.ts";
import type { LeaderState, PendingVerdicts } from "./state.ts";

interface Outbox {
  readonly connection: number;
  readonly verdicts: VerdictBatch[];
  readonly partitions: PartitionInfo[];
}

export function release(leader: LeaderState, now: number): void {
  if (!leader.mayAct(now)) return;
  const through = leader.acknowledgedByAll();
  if (through < 0) return;
  if (through > leader.released) leader.released = through;
  leader.forgetReleased();
  const outboxes = new Map<Incarnation, Outbox>();
  const watermarks = new Map<number, WatermarkRow>();
  const { pending } = leader;
  let head = leader.pendingHead;
  for (; head < pending.length && pending[head]!.seq <= through; head++) {
    const { what } = pending[head]!;
    if (what.kind === "watermark") watermarks.set(what.row.pid, what.row);
    else if (leader.peers.get(what.peer)?.connection === what.connection) {
      const outbox = outboxFor(outboxes, what.peer, what.connection);
      if (what.kind === "partition") outbox.partitions.push(what.info);
      else outbox.verdicts.push(validated(leader, what));
    }
  }
  leader.pendingHead = head;
  if (head === pending.length || head > 4_096) {
    pending.splice(0, head);
    leader.pendingHead = 0;
  }
  sendAll(leader, outboxes, [...watermarks.values()]);
}

function outboxFor(outboxes: Map<Incarnation, Outbox>, peer: Incarnation, connection: number): Outbox {
  let outbox = outboxes.get(peer);
  if (outbox === undefined) {
    outbox = { connection, verdicts: [], partitions: [] };
    outboxes.set(peer, outbox);
  }
  return outbox;
}

function sendAll(leader: LeaderState, outboxes: ReadonlyMap<Incarnation, Outbox>, rows: readonly WatermarkRow[]): void {
  const { epoch } = leader;
  for (const [peer, { connection, verdicts, partitions }] of outboxes) {
    if (partitions.length > 0) leader.send(connection, peer, { kind: "partitions", epoch, partitions });
    if (verdicts.length > 0) leader.send(connection, peer, { kind: "verdicts", epoch, batches: verdicts });
  }
  if (rows.length === 0) return;
  for (const peer of leader.peers.values())
    leader.send(peer.connection, peer.incarnation, { kind: "watermarks", epoch, rows });
}

/** R6: a verdict whose entry changed between the decision and its release gives nothing. */
function validated(leader: LeaderState, what: PendingVerdicts): VerdictBatch {
  const { number, pid, ownership, results, stamps, attempts, conflicts, offsets } = what;
  const plain: VerdictBatch = { number, pid, ownership, results, stamps, attempts, conflicts };
  if (stamps.length === 0) return plain;
  const table = leader.replica.table.partition(pid);
  const valid: number[] = [];
  let given = 0;
  for (let i = 0; i < results.length; i++) {
    if (!gives(results[i]!)) continue;
    const stamp = stamps[given]!;
    const offset = offsetAt(offsets, i);
    if (table.stampOf(offset) === stamp && table.holderOf(offset) === what.peer) valid.push(given);
    else results[i] = Verdict.doubtful;
    given++;
  }
  if (valid.length === stamps.length) return plain;
  return {
    ...plain,
    stamps: Float64Array.from(valid, (at) => stamps[at]!),
    attempts: attempts.length === 0 ? attempts : Uint8Array.from(valid, (at) => attempts[at]!),
  };
}
