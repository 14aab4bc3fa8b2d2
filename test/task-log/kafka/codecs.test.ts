/** Compressed bytes as other producers write them: lz4 frames with every option, both snappy formats, and bombs. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { decompress } from "../../../src/task-log/kafka/codecs.ts";
import { crc32c } from "../../../native-ish/crc32.ts";
import { temporaryFolder } from "../../support/servers/processes.ts";
import { type Compression, compressed } from "./fetch-bytes.ts";

const NUMBERS = { gzip: 1, snappy: 2, xerial: 2, lz4: 3, zstd: 4 } as const;
const ALL = Object.keys(NUMBERS) as (keyof typeof NUMBERS & Compression)[];

/** Bytes that compress, and bytes that do not. */
function sample(bytes: number): Buffer {
  let state = 1;
  const random = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0);
  return Buffer.from(Array.from({ length: bytes }, (_, at) => (at % 400 < 200 ? at & 7 : random() >>> 24)));
}

for (const name of ALL) {
  test(`${name}: of any length, up to the limit and not beyond`, () => {
    for (const length of [0, 1, 63, 64, 65, 1_000, 70_000, 300_000]) {
      const plain = sample(length);
      const bytes = compressed(plain, name);
      expect(decompress(bytes, NUMBERS[name], length + 1).equals(plain)).toBe(true);
      if (length > 1) expect(() => decompress(bytes, NUMBERS[name], length - 1)).toThrow("data cannot be decompressed");
    }
  });

  test(`${name}: a few bytes that would become many take no memory`, () => {
    const bomb = compressed(Buffer.alloc(2_000_000), name);
    expect(() => decompress(bomb, NUMBERS[name], 10_000)).toThrow("data cannot be decompressed");
  });

  test(`${name}: bytes cut off at any place are an error or fewer bytes, and never go on for ever`, () => {
    const bytes = compressed(sample(1_000), name);
    for (let length = 0; length < bytes.length; length += 7) {
      try {
        expect(decompress(bytes.subarray(0, length), NUMBERS[name]).length).toBeLessThanOrEqual(1_000);
      } catch (error) {
        expect(String(error)).toContain("data cannot be decompressed");
      }
    }
  });
}

interface FrameOptions {
  readonly flags: number; // version 01, then independence, block checksums, content size, content checksum
  readonly sizeCode: number;
  readonly blocks: readonly { readonly bytes: Buffer; readonly stored?: boolean }[];
}

function frame({ flags, sizeCode, blocks }: FrameOptions): Buffer {
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const checksum = u32(0xdeadbeef); // the batch's own checksum is what is compared
  return Buffer.concat([
    u32(0x184d2204),
    Buffer.from([flags, sizeCode << 4]),
    ...((flags & 0x08) === 0 ? [] : [Buffer.alloc(8, 0xff)]),
    Buffer.from([0]),
    ...blocks.flatMap(({ bytes, stored = false }) => [
      u32(bytes.length + (stored ? 0x80000000 : 0)),
      bytes,
      ...((flags & 0x10) === 0 ? [] : [checksum]),
    ]),
    u32(0),
    ...((flags & 0x04) === 0 ? [] : [checksum]),
  ]);
}

const lz4Text = (options: FrameOptions): string => decompress(frame(options), 3).toString();
/** A token of literals alone; and one of a literal, then a match of 9 bytes that begins `back` bytes ago. */
const literals = (text: string): Buffer => Buffer.concat([Buffer.from([text.length << 4]), Buffer.from(text)]);
const match = (literal: string, back: number): Buffer =>
  Buffer.from([0x15, literal.charCodeAt(0), back, 0, ...literals("!")]);

test("lz4: block checksums, content size and content checksum are passed over; blocks may be stored", () => {
  const blocks = [
    { bytes: literals("one ") },
    { bytes: Buffer.from("two "), stored: true },
    { bytes: literals("three") },
  ];
  for (const flags of [0x60, 0x70, 0x68, 0x64, 0x7c])
    expect(lz4Text({ flags, sizeCode: 4, blocks })).toBe("one two three");
});

test("lz4: a linked block reaches back into the one before", () => {
  expect(
    lz4Text({ flags: 0x40, sizeCode: 7, blocks: [{ bytes: literals("abcdefgh") }, { bytes: match("-", 9) }] }),
  ).toBe("abcdefgh-abcdefgh-!");
});

test("lz4: what is no frame of this kind is named", () => {
  const blocks = [{ bytes: literals("x") }];
  expect(() => lz4Text({ flags: 0x80, sizeCode: 4, blocks })).toThrow("another version");
  expect(() => lz4Text({ flags: 0x60, sizeCode: 3, blocks })).toThrow("another version");
  expect(() => lz4Text({ flags: 0x61, sizeCode: 4, blocks })).toThrow("dictionary");
  expect(() => lz4Text({ flags: 0x60, sizeCode: 4, blocks: [{ bytes: Buffer.alloc(65_537), stored: true }] })).toThrow(
    "a block is longer than it may be",
  );
  expect(() => decompress(Buffer.from("no frame"), 3)).toThrow("no lz4 frame");
});

test("crc32c: the check value of its catalogue, and every length modulo its step", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  const bytes = sample(40);
  for (let length = 0; length < bytes.length; length++) {
    let crc = -1;
    for (const byte of bytes.subarray(0, length)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    }
    expect(crc32c(bytes.subarray(0, length))).toBe(~crc >>> 0);
  }
});

test("the codecs work in a compiled executable", async () => {
  await using folder = await temporaryFolder("vouch-codecs");
  const source = join(folder.path, "main.ts");
  const inputs = Object.fromEntries(
    ALL.map((name) => [name, compressed(Buffer.from("as it was"), name).toString("hex")]),
  );
  await Bun.write(
    source,
    `import { decompress } from ${JSON.stringify(join(import.meta.dir, "../../../src/task-log/kafka/codecs.ts"))};
     const inputs = ${JSON.stringify(inputs)}, numbers = ${JSON.stringify(NUMBERS)};
     for (const name of Object.keys(inputs)) {
       console.log(name, decompress(Buffer.from(inputs[name], "hex"), numbers[name]).toString());
     }`,
  );
  const program = join(folder.path, "main");
  const build = Bun.spawnSync([process.execPath, "build", "--compile", "--minify", source, "--outfile", program]);
  expect(build.stderr.toString()).not.toContain("error");
  const run = Bun.spawnSync([program], { cwd: folder.path });
  expect(run.stdout.toString().trim().split("\n")).toEqual(ALL.map((name) => `${name} as it was`));
}, 30_000);
