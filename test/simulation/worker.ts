/** One process of `pool.ts`: runs the seeds that it is sent on the real simulation. */
import { runSeed } from "./run-seed.ts";
import { serve } from "./serve-seeds.ts";

serve(runSeed);
