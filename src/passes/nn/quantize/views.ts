/** Operations that only move values: format and role pass through. */
export const VIEWS: ReadonlySet<string> = new Set([
  "nn.reshape",
  "nn.transpose",
  "nn.slice",
  "nn.gather",
  "nn.broadcast",
  "nn.pad",
]);
