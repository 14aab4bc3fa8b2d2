/** One process of `pool.ts`: runs the seeds that it is sent on the real simulation. */
import { prepare, runSeed } from "./run-seed.ts";
import { serve } from "./serve-seeds.ts";

// Nothing would be proven by a bug in a file that the simulation does not load.
const { SIMULATION_MUTATION, SIMULATION_MUTATION_LOADED } = process.env;
if (SIMULATION_MUTATION !== undefined && SIMULATION_MUTATION_LOADED !== "yes") {
  console.error(`${SIMULATION_MUTATION}: the simulation does not load its file`);
  process.exit(3);
}

serve(runSeed, prepare());
