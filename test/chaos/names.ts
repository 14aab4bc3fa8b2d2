/** What the harness and the processes that it starts agree upon. */
export const TOPIC = "chaos";
export const GROUP = "chaos";

export const Environment = {
  node: "CHAOS_NODE",
  record: "CHAOS_EFFECT_RECORD",
  checks: "CHAOS_CHECKS",
} as const;
