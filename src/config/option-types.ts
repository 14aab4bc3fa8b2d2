/**
 * What an option can be. A type reads text (flag, environment) or a JSON value (file) and either returns the value or
 * says in words what it expected; it never throws, so that all violations can be reported at once.
 */

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly expected: string };

export interface OptionType<T> {
  /** Placeholder in the help, e.g. `N` or `HOST:PORT`; "" for a switch, which takes no value. */
  readonly placeholder: string;
  parse(raw: unknown): Parsed<T>;
  /** The value as a person would write it. */
  format(value: T): string;
}

/** A host and a port; port 0 lets the system choose a free one. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const accept = <T>(value: T): Parsed<T> => ({ ok: true, value });
const reject = (expected: string): Parsed<never> => ({ ok: false, expected });

/** A whole number within [min, max]. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): OptionType<number> {
  const expected =
    max === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${min}` : `a whole number between ${min} and ${max}`;
  return {
    placeholder: "N",
    parse(raw) {
      const value = typeof raw === "string" && /^-?\d+$/.test(raw.trim()) ? Number(raw) : raw;
      if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min || value > max) {
        return reject(expected);
      }
      return accept(value);
    },
    format: String,
  };
}

/** A number strictly between min and max. */
export function fraction(min: number, max: number): OptionType<number> {
  return {
    placeholder: "NUMBER",
    parse(raw) {
      const value = typeof raw === "string" && raw.trim() !== "" ? Number(raw) : raw;
      if (typeof value !== "number" || !(value > min && value < max)) {
        return reject(`a number between ${min} and ${max}, both excluded`);
      }
      return accept(value);
    },
    format: String,
  };
}

/** Free text, or text that matches `pattern`; `expected` says in words what the pattern wants. */
export function text(placeholder: string, pattern: RegExp = /^/, expected: string = "a text"): OptionType<string> {
  return {
    placeholder,
    parse: (raw) => (typeof raw === "string" && pattern.test(raw) ? accept(raw) : reject(expected)),
    format: (value) => value,
  };
}

/** A switch: `--name` and `--no-name`, or true and false elsewhere. */
export function toggle(): OptionType<boolean> {
  return {
    placeholder: "",
    parse(raw) {
      if (raw === true || raw === "true" || raw === "1") return accept(true);
      if (raw === false || raw === "false" || raw === "0") return accept(false);
      return reject("true or false");
    },
    format: String,
  };
}

/** One of the given words. */
export function choice<const W extends string>(words: readonly W[]): OptionType<W> {
  return {
    placeholder: words.join("|"),
    parse(raw) {
      const word = words.find((candidate) => candidate === raw);
      return word === undefined ? reject(`one of ${words.join(", ")}`) : accept(word);
    },
    format: (value) => value,
  };
}

/** Reads `host:port` or `[ipv6]:port`; null when it is neither. */
export function parseAddress(value: string): Address | null {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(value);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? null : { host, port };
}

export function formatAddress(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** An address to listen on. */
export function listenAddress(): OptionType<Address> {
  return {
    placeholder: "HOST:PORT",
    parse(raw) {
      const address = typeof raw === "string" ? parseAddress(raw) : null;
      return address === null ? reject("host:port with a port between 0 and 65535") : accept(address);
    },
    format: formatAddress,
  };
}

/** An address to listen on, or `off`. */
export function listenAddressOrOff(): OptionType<Address | null> {
  const inner = listenAddress();
  return {
    placeholder: "HOST:PORT|off",
    parse(raw) {
      if (raw === "off" || raw === false || raw === null) return accept(null);
      const parsed = inner.parse(raw);
      return parsed.ok ? parsed : reject(`${parsed.expected}, or off`);
    },
    format: (value) => (value === null ? "off" : formatAddress(value)),
  };
}

/** `host:port,host:port`, or a list of such texts in the file; empty when not given. */
export function addressList(): OptionType<readonly string[]> {
  return {
    placeholder: "HOST:PORT,…",
    parse(raw) {
      const parts: unknown[] = typeof raw === "string" ? raw.split(",") : Array.isArray(raw) ? raw : [];
      const addresses: string[] = [];
      for (const part of parts) {
        const address = typeof part === "string" ? part.trim() : "";
        const parsed = parseAddress(address);
        if (parsed === null || parsed.port === 0) return reject("host:port, with more of them after commas");
        addresses.push(address);
      }
      return addresses.length === 0 ? reject("host:port, with more of them after commas") : accept(addresses);
    },
    format: (value) => value.join(","),
  };
}
