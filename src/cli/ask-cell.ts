/** What `status` and `task` share: whom to ask, and how long. */
import { option } from "../config/option.ts";
import { integer, text, toggle } from "../config/option-types.ts";
import { VouchError } from "../errors.ts";
import { Repeats } from "../ops/repeats.ts";
import { openCoordinator } from "../runtime/servers.ts";
import { coordinatorOptions } from "./server-options.ts";

const GROUP = "Whom to ask";

export const askOptions = {
  node: option({
    type: text("URL", /^https?:\/\/\S+$/, "a URL such as http://127.0.0.1:7480"),
    default: "",
    defaultText: "every member that the coordinator lists",
    unit: "",
    group: GROUP,
    description: "ask this node only",
  }),
  timeoutMs: option({
    type: integer(1, 600_000),
    default: 3_000,
    unit: "ms",
    group: GROUP,
    description: "how long to wait for the coordinator and for each node",
  }),
  json: option({
    type: toggle(),
    default: false,
    unit: "",
    group: GROUP,
    description: "one JSON object instead of text",
  }),
  ...coordinatorOptions,
};

export type CoordinatorValues = Parameters<typeof openCoordinator>[0];

type CellObservation = Awaited<ReturnType<ReturnType<typeof openCoordinator>["observe"]>>;

/** The shortest session that a coordinator takes. */
const SESSION_MS_MIN = 100;

/** A violation of the configuration when nothing says whom to ask. */
export function nowhereToAsk(given: ReadonlySet<string>, values: { readonly dataDir: string }): readonly string[] {
  if (given.has("node") || given.has("zookeeper") || values.dataDir !== "") return [];
  return ["no cell to ask: expected --node, --zookeeper or, for the embedded coordinator, --data-dir; got none"];
}

/** Of a cell in which nobody is registered. */
export function emptyCellText({ cell, zookeeper, dataDir }: CoordinatorValues): string {
  const where = zookeeper === "" ? dataDir : `ZooKeeper ${zookeeper}`;
  return `no node of cell "${cell}" is registered in ${where}: is a node running, and is --cell the name that it has?\n`;
}

/**
 * Who is a member of the cell now, and who leads, by its coordinator.
 * @throws VouchError "unavailable" when the coordinator does not answer in time.
 */
export async function observeCell(
  values: CoordinatorValues & { readonly timeoutMs: number },
  err: (text: string) => void,
): Promise<CellObservation> {
  const repeats = new Repeats(() => performance.now());
  const warn = (message: string): void => {
    if (repeats.pass(message) !== null) err(`${message}\n`);
  };
  // A session of this look's own: it must not go on after the look was given up.
  const sessionMs = Math.max(SESSION_MS_MIN, Math.min(values.sessionMs, values.timeoutMs));
  const coordinator = openCoordinator({ ...values, sessionMs }, warn);
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const who = values.zookeeper === "" ? `the coordinator in ${values.dataDir}` : `ZooKeeper ${values.zookeeper}`;
    timeout.reject(new VouchError("unavailable", `${who} did not answer within ${values.timeoutMs} ms`));
  }, values.timeoutMs);
  try {
    return await Promise.race([coordinator.observe(), timeout.promise]);
  } finally {
    clearTimeout(timer);
    await coordinator.close();
  }
}
