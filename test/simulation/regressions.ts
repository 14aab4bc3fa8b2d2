/**
 * Seeds that once violated an invariant because of a bug of the product, with what it was. A seed draws the same history only while the
 * swarm, the faults and the workload are as they are: what must not come back has a test of its own beside (docs/simulation/found.md).
 */
export interface Regression {
  readonly seed: number;
  readonly found: string;
}

export const regressions: readonly Regression[] = [
  { seed: 60122, found: "a node that was told to stop in the last moment of its start ran on without a coordinator" },
  { seed: 90068, found: "doubts of a partition that stands still kept its node talking to itself without an end" },
  { seed: 80465, found: "a dead letter that was written was kept by the partition that came back" },
  { seed: 100002, found: "a drained node that won an election talked to itself without an end" },
  { seed: 100017, found: "the same" },
  { seed: 143, found: "the policy drop took that a duplicate was given, and never run, for exact evidence" },
  { seed: 40215, found: "the same" },
  { seed: 200_120, found: "a leader that drained asked its own member about one task again and again within one turn" },
  { seed: 200_312, found: "the same" },
  { seed: 10_641, found: "the late word that a task was dead ended it while another node ran it" },
];
