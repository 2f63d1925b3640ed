/** A thread of `explore`: finds the designs for the intervals that it is sent. */
import "./stages.js";
import { parentPort, workerData } from "node:worker_threads";
import { Explorer, type ExploreJob } from "./explore.js";

const explorer = new Explorer(workerData as ExploreJob);
parentPort!.on("message", ({ index, ii }: { index: number; ii: number }) => {
  parentPort!.postMessage({ index, points: explorer.point(ii) });
});
