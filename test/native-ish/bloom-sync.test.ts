import { describe, expect, test } from "bun:test";
import {
  BloomFilter,
  BloomMalformedError,
  decodeDelta,
  differingSegments,
  encodeDelta,
  RotatingBloomFilter,
} from "../../native-ish/bloom.ts";
import { randomPairs, randomWords, ring, unseen } from "./support.ts";

const logged = { deltaLogPairsMax: 1000 };

/** Everything that the peer has and we lack. */
function pull(mine: RotatingBloomFilter, peer: RotatingBloomFilter): number {
  return mine.applySegments(peer.segments(mine.missingFrom(peer.digests())));
}

describe("deltas", () => {
  test("only novel pairs travel, in order, under their generations", () => {
    const filter = ring(logged);
    filter.addMany(Uint32Array.of(1, 1, 2, 2, 1, 1));
    filter.rotate(5, 70);
    filter.addMany(Uint32Array.of(3, 3));
    const { fromSequence, toSequence, runs } = decodeDelta(filter.deltaSince(1)!, filter.parameters);
    expect([fromSequence, toSequence]).toEqual([1, 3]);
    expect(runs).toEqual([
      { generationId: 1, openedAtMs: 0, pairs: Uint32Array.of(2, 2) },
      { generationId: 5, openedAtMs: 70, pairs: Uint32Array.of(3, 3) },
    ]);
  });

  test("a replica that applies them is bit for bit the same (I15), and can pass them on", () => {
    const [leader, follower, third] = [ring(logged), ring(logged), ring(logged)];
    for (let step = 0; step < 6; step++) {
      leader.testAndAddMany(randomPairs(step, 40), new Uint8Array(40));
      if (step % 2 === 1) leader.rotate(step + 1, step * 10);
      expect(follower.applyDelta(leader.deltaSince(follower.sequence)!)).toBe("applied");
      expect(follower.equals(leader)).toBe(true);
      expect(follower.sequence).toBe(leader.sequence);
      expect(follower.generations).toEqual(leader.generations);
    }
    expect(third.applyDelta(follower.deltaSince(0)!)).toBe("applied");
    expect(third.equals(leader)).toBe(true);
    expect(third.generations).toEqual(leader.generations);
  });

  test("a rotation without a key after it travels too, once the keys are level", () => {
    const [leader, follower] = [ring(logged), ring(logged)];
    leader.add(1, 1);
    follower.applyDelta(leader.deltaSince(0)!);
    leader.rotate(2, 5);
    expect(follower.applyDelta(leader.deltaSince(1)!)).toBe("repeated");
    expect(follower.generations).toEqual(leader.generations);
  });

  test("a generation that came by union, without a bit, travels on by delta", () => {
    const [leader, follower, other] = [ring(logged), ring(logged), ring()];
    other.rotate(2, 7);
    leader.union(other);
    expect(leader.sequence).toBe(0);
    leader.add(1, 1);
    follower.applyDelta(leader.deltaSince(0)!);
    expect(follower.equals(leader)).toBe(true);
    expect(follower.generations).toEqual(leader.generations);
  });

  test("keys of a retired generation that come late change nothing, and are not counted as retired again", () => {
    const [leader, follower] = [ring(logged), ring({ ...logged, generationsMax: 2 })];
    leader.add(1, 1);
    const late = leader.deltaSince(0)!;
    for (const id of [2, 3]) follower.rotate(id);
    const before = follower.copy();
    follower.applyDelta(late);
    expect(follower.equals(before)).toBe(true);
    expect(follower.window.retiredGenerations).toBe(1);
    expect(follower.has(1, 1)).toBe(false);
  });

  test("lost, repeated, reordered: the bits are right, and the gap is told until it is filled", () => {
    const [leader, follower] = [ring(logged), ring(logged)];
    const deltas: Uint8Array[] = [];
    for (let step = 0; step < 4; step++) {
      const from = leader.sequence;
      if (step === 2) leader.rotate(2, 20);
      leader.addMany(randomPairs(step, 30));
      deltas.push(leader.deltaSince(from)!);
    }
    const [first, second, third, fourth] = deltas as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    expect(follower.applyDelta(third)).toBe("gap");
    expect(follower.sequence).toBe(0);
    expect(unseen(follower, randomPairs(2, 30))).toBe(0);
    expect(follower.applyDelta(first)).toBe("applied");
    expect(follower.applyDelta(first)).toBe("repeated");
    expect(follower.applyDelta(fourth)).toBe("gap");
    expect(follower.applyDelta(second)).toBe("applied");
    expect(follower.equals(leader)).toBe(true);
    expect(follower.applyDelta(leader.deltaSince(follower.sequence)!)).toBe("applied");
    expect(follower.sequence).toBe(leader.sequence);
    // What came out of order is in the follower's own log in the order of the sequence numbers.
    expect(decodeDelta(follower.deltaSince(0)!, follower.parameters)).toEqual(
      decodeDelta(leader.deltaSince(0)!, leader.parameters),
    );
  });

  test("a log that no longer reaches back says so, also after bits that no pair explains", () => {
    const filter = ring({ deltaLogPairsMax: 10 });
    for (let key = 1; key <= 25; key++) filter.add(key << 26, key * 7919);
    expect(filter.sequence).toBe(25);
    expect(filter.deltaSince(14)).toBeUndefined();
    expect(filter.deltaSince(26)).toBeUndefined();
    const { runs } = decodeDelta(filter.deltaSince(15)!, filter.parameters);
    expect(Array.from(runs[0]!.pairs).filter((_, index) => index % 2 === 1)).toEqual(
      Array.from({ length: 10 }, (_, index) => (16 + index) * 7919),
    );
    const other = ring();
    other.add(77, 77);
    filter.union(other);
    expect(filter.deltaSince(25)).toBeUndefined();
    expect(decodeDelta(filter.deltaSince(26)!, filter.parameters).runs[0]!.pairs).toHaveLength(0);
    expect(ring().deltaSince(0)).toBeUndefined();
  });

  test("many rotations do not make the log grow: the oldest keys are forgotten instead", () => {
    const filter = ring({ deltaLogPairsMax: 10_000 });
    for (let id = 2; id < 700; id++) {
      filter.add(id << 20, id * 7919);
      filter.rotate(id);
    }
    expect(filter.deltaSince(0)).toBeUndefined();
    const late = filter.sequence - 200;
    const replica = ring({ openGenerationId: 500 });
    replica.resumeAt(late);
    expect(replica.applyDelta(filter.deltaSince(late)!)).toBe("applied");
    expect(replica.generations.map((generation) => generation.id)).toEqual([697, 698, 699]);
  });

  test("golden vector", () => {
    const filter = new BloomFilter({ blocks: 4, k: 5, seed: 3, deltaLogPairsMax: 4 });
    filter.addMany(Uint32Array.of(0x01020304, 0x05060708, 0xfffffffe, 0x80000001));
    expect(filter.deltaSince(0)!.toHex()).toBe(
      [
        // magic, blocks, k, seed
        "56424431040000000500000003000000",
        // from 0, to 2, one run
        "000000000000000002000000000000000100000000000000",
        // generation 0, opened at 0, two pairs
        "000000000000000000000000000000000200000000000000",
        // the pairs
        "0403020108070605feffffff01000080",
        // CRC32
        "a9642dd6",
      ].join(""),
    );
  });

  test("damaged in any bit, cut at any length, or not a delta at all: refused, and nothing changes", () => {
    const leader = ring(logged);
    leader.addMany(randomPairs(1, 5));
    leader.rotate(2);
    leader.addMany(randomPairs(2, 5));
    const good = leader.deltaSince(0)!;
    const follower = ring();
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = good.slice();
      bad[bit >>> 3]! ^= 1 << (bit & 7);
      expect(() => follower.applyDelta(bad)).toThrow(BloomMalformedError);
    }
    for (let length = 0; length < good.length; length++) {
      expect(() => follower.applyDelta(good.subarray(0, length))).toThrow(BloomMalformedError);
    }
    expect(follower.stats()[0]!.setBits).toBe(0);
    expect(follower.generations).toHaveLength(1);
    const shifted = new Uint8Array(good.length + 1);
    shifted.set(good, 1);
    expect(follower.applyDelta(shifted.subarray(1))).toBe("applied");
  });

  test("numbers that contradict each other are refused even under a right checksum", () => {
    const { parameters } = ring();
    const run = { generationId: 1, openedAtMs: 0, pairs: Uint32Array.of(1, 1) };
    for (const delta of [
      { fromSequence: 0, toSequence: 2, runs: [run] },
      { fromSequence: 1, toSequence: 0, runs: [run] },
      { fromSequence: 0, toSequence: 2 ** 53, runs: [run] },
      { fromSequence: 0, toSequence: 1, runs: [{ ...run, generationId: 2 ** 53 }] },
    ]) {
      expect(() => decodeDelta(encodeDelta(parameters, delta), parameters)).toThrow(BloomMalformedError);
    }
  });
});

describe("digests and segments", () => {
  // 130 blocks: two whole segments and a short one.
  const options = { blocks: 130, k: 6 };

  test("only differing segments travel, both ways, and then the replicas are equal", () => {
    const [left, right] = [ring(options), ring(options)];
    left.addMany(randomPairs(1, 200));
    right.union(left);
    left.add(0, 1);
    right.add(0xffffffff, 2);
    expect(left.missingFrom(right.digests())).toEqual([{ generationId: 1, indexes: Uint32Array.of(0, 2) }]);
    expect(right.segments(left.missingFrom(right.digests()))[0]!.bytes).toHaveLength(4096 + 128);
    pull(left, right);
    pull(right, left);
    expect(left.equals(right)).toBe(true);
    expect(left.missingFrom(right.digests())).toEqual([]);
    expect(left.has(0xffffffff, 2) && right.has(0, 1)).toBe(true);
  });

  test("generations that one side lacks travel with their ids, even when they are empty", () => {
    const [left, right] = [ring(options), ring({ ...options, openGenerationId: 4, openedAtMs: 9 })];
    left.addMany(randomPairs(1, 20));
    right.rotate(5, 10);
    right.add(1, 1);
    right.rotate(6, 11);
    pull(left, right);
    expect(left.generations.map(({ id, openedAtMs }) => [id, openedAtMs])).toEqual([
      [4, 9],
      [5, 10],
      [6, 11],
    ]);
    pull(right, left);
    expect(left.equals(right)).toBe(true);
  });

  test("an empty short segment of a generation that we do not hold does not travel", () => {
    const right = ring({ ...options, openGenerationId: 9 });
    expect(ring(options).missingFrom(right.digests())).toEqual([{ generationId: 9, indexes: new Uint32Array(0) }]);
  });

  test("SEC8: with heldOnly a peer cannot push our generations out", () => {
    const [mine, peer] = [ring(options), ring({ ...options, openGenerationId: 2 })];
    for (const id of [3, 4]) peer.rotate(id);
    peer.add(1, 1);
    mine.addMany(randomPairs(1, 20));
    const batches = peer.segments(mine.missingFrom(peer.digests()));
    expect(mine.applySegments(batches, true)).toBe(0);
    expect(unseen(mine, randomPairs(1, 20))).toBe(0);
    mine.applySegments(batches);
    expect(unseen(mine, randomPairs(1, 20))).toBe(20);
  });

  test("batches and digests that do not fit are refused whole, before a bit changes", () => {
    const [mine, peer] = [ring(options), ring(options)];
    peer.addMany(randomPairs(1, 100));
    const good = peer.segments(mine.missingFrom(peer.digests()))[0]!;
    for (const bad of [
      { ...good, bytes: good.bytes.subarray(1) },
      { ...good, indexes: Uint32Array.of(0, 1, 3) },
      { ...good, partial: new Uint8Array(0) },
      { ...good, generationId: -1 },
      { ...good, insertions: Number.NaN },
    ]) {
      expect(() => mine.applySegments([good, bad])).toThrow(BloomMalformedError);
    }
    expect(mine.stats()[0]!.setBits).toBe(0);
    const digest = { generationId: 1, openedAtMs: 0, segments: new Uint32Array(2), unknown: new Uint32Array(0) };
    expect(() => differingSegments(mine.digests(), [digest], mine.parameters)).toThrow(BloomMalformedError);
    const request = { generationId: 1, indexes: Uint32Array.of(2, 2, 3, 4_000_000_000) };
    expect(peer.segments([request, { ...request, generationId: 8 }]).map((batch) => [...batch.indexes])).toEqual([[2]]);
  });

  test("after a synchronisation the replica goes on from the peer's sequence number", () => {
    const [leader, joiner] = [ring(logged), ring(logged)];
    leader.addMany(randomPairs(1, 50));
    const { sequence } = leader;
    leader.addMany(randomPairs(2, 50));
    pull(joiner, leader);
    joiner.resumeAt(sequence);
    expect(joiner.applyDelta(leader.deltaSince(joiner.sequence)!)).toBe("applied");
    expect(joiner.equals(leader)).toBe(true);
    expect(joiner.sequence).toBe(leader.sequence);
  });
});

describe("no false negative", () => {
  test("in more than a million operations of add, rotate, delta, union, segments and snapshot", () => {
    let operations = 0;
    for (let seed = 1; seed <= 10; seed++) operations += exchange(seed);
    expect(operations).toBeGreaterThan(1_000_000);
  }, 20_000);
});

/**
 * A leader and a follower whose deltas are lost, repeated and reordered, against a dumb list of keys per generation.
 * Returns how many keys were added or asked for.
 */
function exchange(seed: number): number {
  const next = randomWords(seed);
  const options = { blocks: 400, k: 7, generationsMax: 3, deltaLogPairsMax: 4000 };
  let [leader, follower] = [ring(options), ring(options)];
  let operations = 0;
  const keys = new Map<number, Uint32Array[]>([[1, []]]);
  let openId = 1;
  const late: Uint8Array[] = [];
  const mustBeSeen = (filter: RotatingBloomFilter) => {
    const held = [...keys.keys()].slice(-3).flatMap((id) => keys.get(id)!);
    for (const pairs of held) {
      expect(unseen(filter, pairs)).toBe(0);
      operations += pairs.length / 2;
    }
  };
  for (let step = 0; step < 120; step++) {
    const pairs = randomPairs(next(), 1 + (next() % 100));
    const from = leader.sequence;
    leader.testAndAddMany(pairs, new Uint8Array(pairs.length / 2));
    keys.get(openId)!.push(pairs);
    operations += pairs.length / 2;
    if (next() % 12 === 0) {
      openId += 1 + (next() % 3);
      leader.rotate(openId, step);
      keys.set(openId, []);
    }
    const delta = leader.deltaSince(from)!;
    const fate = next() % 4;
    if (fate <= 1) follower.applyDelta(delta);
    if (fate >= 1) late.push(delta);
    if (next() % 5 === 0 && late.length > 0) follower.applyDelta(late.splice(next() % late.length, 1)[0]!);
    if (next() % 10 === 0) {
      // The follower catches up: by the log where it still reaches, else by segments; sometimes over a snapshot.
      const missed = leader.deltaSince(follower.sequence);
      if (missed === undefined || next() % 3 === 0) {
        pull(follower, leader);
        follower.resumeAt(leader.sequence);
      } else {
        follower.applyDelta(missed);
      }
      expect(follower.equals(leader)).toBe(true);
      mustBeSeen(follower);
      if (next() % 2 === 0) [leader, follower] = [follower, leader];
      else follower = ring({ ...options }).copy();
      if (next() % 2 === 0) follower = restored(leader, next() % 2 === 0);
      else follower.union(leader);
      follower.resumeAt(leader.sequence);
      expect(follower.equals(leader)).toBe(true);
    }
    mustBeSeen(leader);
  }
  return operations;
}

function restored(filter: RotatingBloomFilter, isDamaged: boolean): RotatingBloomFilter {
  const bytes = filter.snapshot();
  if (isDamaged) bytes[Math.floor(bytes.length / 2)]! ^= 1;
  const { filter: copy, unknownSegments } = RotatingBloomFilter.restore(bytes, filter.parameters, 4000);
  expect(unknownSegments).toHaveLength(isDamaged ? 1 : 0);
  if (isDamaged) pull(copy, filter);
  return copy;
}
