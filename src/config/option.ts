/**
 * One table describes each option: flags, environment names, file keys, help and the static type all come from it.
 */
import type { OptionType } from "./option-types.ts";

export interface Option<T> {
  readonly type: OptionType<T>;
  /** The value when nobody gives one. */
  readonly default: NoInfer<T>;
  /** What the help says instead of that value, e.g. where it depends on the machine. */
  readonly defaultText?: string;
  /** "" when the value has none. */
  readonly unit:
    | "ms"
    | "tasks"
    | "offsets"
    | "bytes"
    | "nodes"
    | "keys"
    | "doubts"
    | "deltas"
    | "frames"
    | "handlers"
    | "checks"
    | "runs"
    | "attempts"
    | "slots"
    | "";
  readonly description: string;
  /** Heading in the help. */
  readonly group: string;
  /** Environment name, where it follows the ecosystem; else `VOUCH_` and the key in capitals. */
  readonly environment?: string;
  /** Never on the command line, never shown; read from NAME or from the file that NAME_FILE names. */
  readonly secret?: boolean;
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** The values of a table, by key. */
export type OptionValues<Table> = {
  readonly [Key in keyof Table]: Table[Key] extends { readonly type: OptionType<infer Value> } ? Value : never;
};

/** Writes one entry of a table with its value's type checked; the table itself is a plain object. */
export function option<T>(entry: Option<T>): Option<T> {
  return entry;
}

function words(key: string): string[] {
  return key.split(/(?=[A-Z])/).map((word) => word.toLowerCase());
}

/** `leaseMs` -> `lease-ms`, without the dashes in front. */
export function flagName(key: string, entry: Option<unknown>): string {
  const name = words(key).join("-");
  return entry.secret === true ? `${name}-file` : name;
}

/** `leaseMs` -> `VOUCH_LEASE_MS`. */
export function environmentName(key: string, entry: Option<unknown>): string {
  return entry.environment ?? `VOUCH_${words(key).join("_").toUpperCase()}`;
}
