/** One question of a process to the brokers, answered or given up after a while: what producers and admins are made of. */
import { VouchError } from "../../../src/errors.ts";
import type { SimulatedProcess } from "../virtual-time.ts";
import type { BrokerLink, Channel } from "./link.ts";

/** What the brokers answer. `lateMs`: Infinity for no answer at all. */
export type Served<T> = ({ readonly value: T } | { readonly error: VouchError }) & { readonly lateMs?: number };

/** @throws VouchError the answered one, or "unavailable" after the settings' `requestTimeoutMs` */
export function ask<T>(
  link: BrokerLink,
  process: SimulatedProcess,
  what: string,
  serve: () => Served<T>,
  channel?: Channel,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timeoutMs = link.settings.requestTimeoutMs;
  const giveUp = (): void => {
    reject(new VouchError("unavailable", `simulated Kafka: ${what}: no answer within ${timeoutMs} ms`));
  };
  const timer = link.time.after(timeoutMs, giveUp, process);
  const arrive = (): void => {
    const served = serve();
    if (served.lateMs === Infinity) return;
    const settle = (): void => {
      link.time.cancel(timer);
      if ("value" in served) resolve(served.value);
      else reject(served.error);
    };
    link.answer(process, settle, undefined, served.lateMs);
  };
  link.send(process, arrive, undefined, channel);
  return promise;
}
