#!/usr/bin/env node
import { processEnv } from "./env.js";
import { main } from "./program.js";

const env = processEnv();
// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (e: NodeJS.ErrnoException) => {
  if (e.code === "EPIPE") process.exit(0);
  throw e;
});
process.exitCode = await main(process.argv.slice(2), env);
