/**
 * What a contestant's process measures about itself while it works. Begins at the first record and ends at the last one;
 * the parent reads it as JSON from a file that is written when the process exits.
 */
import { writeFileSync } from "node:fs";

export const METER_FILE = "BENCH_METER_FILE";
/** Resident memory is read for the first time after so many records: by then the code is compiled. */
export const WARM_RECORDS = 50_000;

export interface Measurement {
  readonly records: number;
  /** Wall clock, so that processes compare; milliseconds. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** User and system time of the process from the first record to its end; the start is not in it. */
  readonly cpuMs: number;
  /** Between the warm-up and the last record; NaN when there were too few. */
  readonly residentGrowthBytes: number;
  readonly grownOver: number; // records
}

export class Meter {
  #records = 0;
  #cpuAtFirst = process.cpuUsage();
  #firstAt = 0;
  #lastAt = 0;
  #warmAt = 0;
  #warmBytes = 0;
  #lastBytes = 0;
  #countedAt = 0;
  readonly #everyRecords: number;

  /** `residentEvery`: how often resident memory is looked at; 0 for never. */
  constructor(residentEvery: number) {
    this.#everyRecords = residentEvery;
    process.on("exit", () => this.#write());
  }

  count(records: number): void {
    const now = performance.timeOrigin + performance.now();
    if (this.#records === 0) {
      this.#firstAt = now;
      this.#cpuAtFirst = process.cpuUsage();
    }
    this.#records += records;
    this.#lastAt = now;
    if (this.#everyRecords > 0 && this.#records - this.#countedAt >= this.#everyRecords) this.#look();
  }

  #look(): void {
    this.#countedAt = this.#records;
    if (this.#records < WARM_RECORDS) return;
    this.#lastBytes = process.memoryUsage.rss();
    if (this.#warmAt > 0) return;
    this.#warmAt = this.#records;
    this.#warmBytes = this.#lastBytes;
  }

  #write(): void {
    const file = process.env[METER_FILE];
    if (file === undefined) return;
    const cpu = process.cpuUsage(this.#cpuAtFirst);
    const grownOver = this.#warmAt === 0 ? 0 : this.#countedAt - this.#warmAt;
    const measurement: Measurement = {
      records: this.#records,
      firstAt: this.#firstAt,
      lastAt: this.#lastAt,
      cpuMs: (cpu.user + cpu.system) / 1_000,
      residentGrowthBytes: this.#lastBytes - this.#warmBytes,
      grownOver,
    };
    writeFileSync(file, JSON.stringify(measurement));
  }
}
