/** The payments example with a check that looks at the wrong place: it never sees what was paid a moment ago. */
import tasks from "../../examples/payments/tasks.ts";

export default { ...tasks, check: () => "not-executed" };
