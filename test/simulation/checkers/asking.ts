/** R1, R3, R19: what a node asks of the coordinator, and whom it lets in. */
import type { Observer, World } from "../observer.ts";
import { copiesOf, violated } from "./checker.ts";

interface Asked {
  readonly epoch: number;
  version: number; // as this leader knows it
  pending: boolean;
}

/** A candidate names the highest epoch that it has heard of: its own must be higher, also after the coordinator lost its records. */
export function candidatesNameTheirEpoch(world: World): Observer {
  return {
    quietSteps: [],
    onStep(node, _event, effects) {
      for (const effect of effects) {
        if (effect.type !== "compete" || effect.highestKnownEpoch >= node.core!.epoch) continue;
        const named = effect.highestKnownEpoch;
        violated(
          "R1",
          `${node.name} competes at ${world.now} as if it knew epoch ${named}; it knows ${node.core!.epoch}`,
        );
      }
    },
  };
}

/** One change of the set at a time, at the version that the leader knows. */
export function writesAreAskedInTurn(world: World): Observer {
  const leaders = new Map<string, Asked>(); // by incarnation
  return {
    quietSteps: ["election", "in-sync-written", "in-sync-read"],
    onStep(node, event, effects) {
      if (event.type === "election" && event.outcome === "won")
        leaders.set(node.incarnation, { epoch: event.epoch, version: event.inSync.version, pending: false });
      const asked = leaders.get(node.incarnation);
      if (event.type === "in-sync-written" && asked?.epoch === event.epoch && event.outcome !== "unknown") {
        asked.pending = false;
        if (event.outcome === "written") asked.version = event.version;
      } else if (event.type === "in-sync-read" && asked?.epoch === event.epoch && event.inSync !== null) {
        asked.pending = false;
        asked.version = event.inSync.version;
      }
      for (const effect of effects) {
        if (effect.type !== "write-in-sync" || asked?.epoch !== effect.epoch) continue;
        if (asked.pending)
          violated("R3", `${node.name} writes the set at ${world.now}; of its last write nothing is known`);
        if (effect.version !== asked.version)
          violated(
            "R3",
            `${node.name} writes the set at ${world.now} at version ${effect.version}; it knows ${asked.version}`,
          );
        asked.pending = true;
      }
    },
  };
}

/** R19: copies have one geometry of the filter; a node that is configured otherwise is let in nowhere. */
export function copiesShareParameters(world: World): Observer {
  let version = Number.NaN;
  return {
    worldOnly: true,
    afterEvent() {
      if (version === world.inSyncVersion) return;
      version = world.inSyncVersion;
      let first = "";
      for (const { name, core } of copiesOf(world)) {
        const { parameters, generationsMax, capacity } = core!.replica.filter;
        const described = JSON.stringify([parameters, generationsMax, capacity]);
        if (first === "") first = described;
        if (described !== first)
          violated("R19", `${name} is in the set at ${world.now} with ${described}, not ${first}`);
      }
    },
  };
}
