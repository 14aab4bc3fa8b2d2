/** What the node processes of a test cluster are told to run. */
import { clusterTasks, readSetting } from "./cluster-tasks.ts";

export default clusterTasks(readSetting());
