/** Which part of the shell carries out which effect. Every effect of the core has its line here, or this does not compile. */
import type { CoreEffect } from "../core/effects.ts";
import type { Runner } from "../execution/runner.ts";
import type { Consumption } from "./consumption.ts";
import type { Coordination } from "./coordination.ts";
import type { Peers } from "./peers.ts";

export interface Shell {
  readonly peers: Peers;
  readonly coordination: Coordination;
  readonly consumption: Consumption;
  readonly runner: Runner;
  readonly onNote: (effect: Extract<CoreEffect, { type: "role" | "alarm" | "log" }>) => void;
  readonly onStopped: (effect: Extract<CoreEffect, { type: "stopped" }>) => void;
}

export function carryOut(effect: CoreEffect, shell: Shell): void {
  const { peers, coordination, consumption, runner } = shell;
  switch (effect.type) {
    case "dial":
      return peers.dial(effect.peer);
    case "send":
      return peers.send(effect);
    case "disconnect":
      return peers.disconnect(effect.connection, effect.reason);
    case "compete":
      return coordination.compete(effect);
    case "resign":
      return coordination.resign(effect);
    case "write-in-sync":
      return coordination.writeInSync(effect);
    case "read-in-sync":
      return coordination.readInSync(effect);
    case "write-watermarks":
      return coordination.writeWatermarks(effect);
    case "join-group":
      return consumption.join();
    case "leave-group":
      return consumption.leave();
    case "revoke-done":
      return consumption.revokeDone();
    case "positions":
      return consumption.positions(effect);
    case "pause":
      return consumption.pause(effect);
    case "resume":
      return consumption.resume(effect);
    case "seek":
      return consumption.seek(effect);
    case "commit":
      return consumption.commit(effect);
    case "release-records":
      return consumption.release(effect);
    case "execute":
      return runner.execute(effect);
    case "check":
      return runner.check(effect);
    case "set-aside":
      return runner.setAside(effect);
    case "abort-all":
      return runner.abortAll(effect.reason);
    case "role":
    case "alarm":
    case "log":
      return shell.onNote(effect);
    case "stopped":
      return shell.onStopped(effect);
    default:
      return effect satisfies never;
  }
}
