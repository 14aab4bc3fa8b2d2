/** What the node processes of a misbehaving cell are told to run. */
import { misbehavingTasks, readSetting } from "./misbehaving-tasks.ts";

export default misbehavingTasks(readSetting());
