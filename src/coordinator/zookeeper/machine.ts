/** The machine that the ZooKeeper coordinator stands on outside of simulations. */
import { randomBytes } from "node:crypto";
import { BootClock } from "../boot-clock.ts";
import type { ZooKeeperMachine } from "./connection-port.ts";
import { ZooKeeperConnection } from "./connection.ts";

const clock = new BootClock();

export const realMachine: ZooKeeperMachine = {
  connect: (options, listener) => new ZooKeeperConnection(options, listener),
  nowMs: () => clock.nowMs(),
  drawUuid: () => randomBytes(16).toString("hex"),
};
