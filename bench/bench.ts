/** `bun run bench NAME [options]`: runs one benchmark. Each prints its machine, configuration, samples and spread. */

const benchmarks = {
  bloom: "the seen-set alone",
  idle: "what a cell costs that has nothing to do",
  runtime: "what a node itself costs a no-op task, without any broker",
  throughput: "no-op tasks on real Kafka, next to a plain consumer of the same topic",
} as const;

const [name = "", ...rest] = process.argv.slice(2);
if (!Object.hasOwn(benchmarks, name)) {
  const known = Object.entries(benchmarks).map(([each, what]) => `  ${each.padEnd(12)}${what}`);
  process.stderr.write(`usage: bun run bench NAME [options]\n${known.join("\n")}\n`);
  process.exit(2);
}
process.argv.splice(2, process.argv.length - 2, ...rest);
await import(`./${name}.ts`);
