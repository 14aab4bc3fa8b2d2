/** What each kind of fault does. One that does not apply now does nothing, and is not counted. */
import type { Act } from "./fault-plan.ts";
import type { FaultField } from "./faults.ts";
import type { FaultKind } from "./history.ts";
import { OF_CELLS } from "./fault-acts-cell.ts";
import { OF_SERVICES } from "./fault-acts-services.ts";

export type Acts<Names extends string> = Record<Names, (field: FaultField) => void>;

function stop({ simulation, name, ms, told, last }: FaultField): void {
  if (!simulation.isAlive(name) || simulation.processOf(name).state !== "running") return;
  told("stop", name, `${ms} ms`);
  simulation.stop(name);
  last("stop", name, ms, () => simulation.continue(name));
}

/** Cuts links of the peers' network; a link that two faults cut is whole when the first of them ends. */
function cut(field: FaultField, kind: FaultKind, pairs: readonly (readonly [string, string])[], detail: string): void {
  const { simulation, random, name, ms, told, last } = field;
  if (pairs.length === 0) return;
  const { network } = simulation;
  const node = kind === "split" ? "" : name;
  told(kind, node, detail);
  for (const [a, b] of pairs) {
    if (kind !== "cut-peers-one-way") network.cut(a, b);
    else if (random.chance(0.5)) network.cutOneWay(a, b);
    else network.cutOneWay(b, a);
  }
  last(kind, node, ms, () => pairs.forEach(([a, b]) => network.heal(a, b)));
}

function cutFromPeers(field: FaultField, kind: "cut-peers" | "cut-peers-one-way"): void {
  const { simulation, random, name } = field;
  const { names } = simulation;
  const others = names.filter((each) => each !== name && (names.length < 4 || random.chance(0.8)));
  cut(
    field,
    kind,
    others.map((each) => [name, each] as const),
    others.join(","),
  );
}

function split(field: FaultField): void {
  const { names } = field.simulation;
  const left = names.filter(() => field.random.chance(0.5));
  const right = names.filter((each) => !left.includes(each));
  const pairs = left.flatMap((a) => right.map((b) => [a, b] as const));
  cut(field, "split", pairs, `${left.join(",")} | ${right.join(",")}`);
}

function unreach({ simulation, name, ms, told, last }: FaultField, what: "log" | "coordinator"): void {
  const kind = what === "log" ? "cut-log" : "cut-coordinator";
  told(kind, name, `${ms} ms`);
  simulation.setReach(name, what, false);
  last(kind, name, ms, () => simulation.setReach(name, what, true));
}

function cutAll({ simulation, name, ms, told, last }: FaultField): void {
  const { network, names } = simulation;
  told("cut-all", name, `${ms} ms`);
  for (const each of names) if (each !== name) network.cut(name, each);
  simulation.setReach(name, "coordinator", false);
  simulation.setReach(name, "log", false);
  last("cut-all", name, ms, () => {
    for (const each of names) if (each !== name) network.heal(name, each);
    simulation.setReach(name, "coordinator", true);
    simulation.setReach(name, "log", true);
  });
}

function slowLink({ simulation, random, name, second, ms, told, last }: FaultField): void {
  if (second === "") return;
  const slowMs = random.between(5, simulation.settings.timing.leaseMs);
  told("slow-link", name, `to ${second}: ${slowMs} ms more`);
  simulation.network.slow(name, second, slowMs);
  last("slow-link", name, ms, () => simulation.network.slow(name, second, 0));
}

function jumpClock({ simulation, random, name, told }: FaultField): void {
  const jumpMs = random.pick([-3_600_000, 3_600_000, 400, -5_000]);
  const hit = random.chance(0.4) ? simulation.names : [name];
  told("clock-jump", hit.length > 1 ? "" : name, `${jumpMs} ms`);
  for (const each of hit) if (simulation.isAlive(each)) simulation.processOf(each).wallOffsetMs += jumpMs;
}

const OF_NODES: Acts<
  | "kill"
  | "stop"
  | "drain"
  | "half-open"
  | "clock-jump"
  | "cut-peers"
  | "cut-peers-one-way"
  | "cut-from"
  | "split"
  | "cut-coordinator"
  | "cut-log"
  | "cut-all"
  | "drop-links"
  | "slow-link"
  | "corrupt-link"
> = {
  kill: ({ simulation, random, name, ms, told, keepDown }) => {
    if (!simulation.isAlive(name)) return;
    told("kill", name);
    simulation.kill(name);
    keepDown(name, random.chance(0.3) ? random.below(200) : ms);
  },
  stop,
  drain: ({ simulation, name, told, keepDown }) => {
    if (!simulation.isAlive(name)) return;
    told("drain", name);
    simulation.drain(name);
    keepDown(name, 200);
  },
  "half-open": ({ simulation, name, ms, told, keepDown }) => {
    if (!simulation.isAlive(name)) return;
    told("half-open", name);
    simulation.network.halfOpen(name);
    simulation.kill(name, "power cut of its machine");
    keepDown(name, ms);
  },
  "clock-jump": jumpClock,
  "cut-peers": (field) => cutFromPeers(field, "cut-peers"),
  "cut-peers-one-way": (field) => cutFromPeers(field, "cut-peers-one-way"),
  "cut-from": (field) => {
    if (field.second !== "") cut(field, "cut-peers", [[field.name, field.second]], field.second);
  },
  split,
  "cut-coordinator": (field) => unreach(field, "coordinator"),
  "cut-log": (field) => unreach(field, "log"),
  "cut-all": cutAll,
  "drop-links": ({ simulation, name, told }) => {
    told("drop-links", name);
    simulation.network.dropConnections(name);
  },
  "slow-link": slowLink,
  "corrupt-link": ({ simulation, name, second, told }) => {
    if (second === "") return;
    told("corrupt-link", name, `to ${second}`);
    simulation.network.corruptNext(name, second);
  },
};

/** Handlers do these (workload.ts); "other" and "clock-drift" come otherwise. */
const none = (): void => {};
const OF_HANDLERS: Acts<"block" | "stop-before-handler" | "clock-drift" | "other"> = {
  block: none,
  "stop-before-handler": none,
  "clock-drift": none,
  other: none,
};

export const ACTS: Acts<Act> = { ...OF_NODES, ...OF_CELLS, ...OF_SERVICES, ...OF_HANDLERS };
