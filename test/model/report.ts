/** How a run is shown in one line, by the tests and by the table. */
import type { Ablation } from "./ablation.ts";
import type { Exploration } from "./explore.ts";

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2).padStart(6)} s`;
const number = (count: number): string => count.toLocaleString("en-US").padStart(10);

/** "grant model, crashes 1, elections 1": what is 0, false or "nowhere" is left out. */
export function boundsOf(bounds: unknown): string {
  const parts = Object.entries(bounds as Record<string, unknown>).flatMap(([name, value]) => {
    if (value === 0 || value === false || value === "nowhere") return [];
    return [value === true ? name : `${name} ${String(value)}`];
  });
  return parts.join(", ");
}

/** `without`: the switch that was off, when nothing is found even so. */
export function soundLine(
  { model, states, elapsedMs }: Exploration,
  { title = titleOf(model), without }: { title?: string; without?: string | undefined } = {},
): string {
  const label =
    without === undefined
      ? "all rules on"
      : `without ${without.slice(0, without.search(/[A-Z]/)).toUpperCase().padEnd(4)}`;
  const rest = without === undefined ? title : without;
  return `${label} ${number(states)} states ${seconds(elapsedMs)}  nothing found: ${rest}`;
}

export function brokenLine({ rule, without, kind, steps }: Ablation, { states, elapsedMs }: Exploration): string {
  return `without ${rule.padEnd(4)} ${number(states)} states ${seconds(elapsedMs)}  ${kind} in ${steps} steps: ${without}`;
}

/** A model's name ends with its bounds in JSON. */
function titleOf(model: string): string {
  const at = model.indexOf("{");
  return at < 0 ? model : `${model.slice(0, at).trim()}, ${boundsOf(JSON.parse(model.slice(at)))}`;
}
