/**
 * Preloaded by a worker of the simulation: changes one file of the product as it is loaded. The product itself has no switch. Which
 * mutation is in the environment variable SIMULATION_MUTATION. A text that does not occur exactly once ends the process; `worker.ts`
 * ends it when the file was not loaded.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { mutated, simulatorMutation } from "./list.ts";

const ROOT = join(import.meta.dir, "..", "..", "..");

const id = process.env.SIMULATION_MUTATION;
if (id === undefined) throw new Error("SIMULATION_MUTATION names no mutation");
const mutation = simulatorMutation(id);
const path = join(ROOT, mutation.file);
const contents = mutated(mutation, readFileSync(path, "utf8"));
Bun.plugin({
  name: "mutation",
  setup(build) {
    build.onLoad({ filter: new RegExp(`${path.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`) }, () => {
      process.env.SIMULATION_MUTATION_LOADED = "yes"; // the worker looks
      return { contents, loader: "ts" };
    });
  },
});
