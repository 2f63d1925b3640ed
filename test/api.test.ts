/** The public API changes on purpose only. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { GOLDEN, publicApi } from "../scripts/api.js";

describe("public API", () => {
  const api = publicApi();
  it("is what test/golden/public-api.txt records; run npm run api to accept a change", () => {
    expect(api).toBe(readFileSync(GOLDEN, "utf8"));
  });
  it("has what the documentation promises, with signatures", () => {
    for (const name of ["registerDevice(device: Device): void", "writeVerilog(module: Module): Map<string, string>"])
      expect(api).toContain(`function ${name}`);
    for (const name of ["RtlSimulator", "RtlModuleBuilder", "NodeContext"])
      expect(api).toMatch(new RegExp(`^(class|interface) ${name} `, "m"));
    for (const name of ["prepareNn", "prepareFlow", "definePass", "importOnnx"])
      expect(api).toMatch(new RegExp(`^function ${name}\\b`, "m"));
  });
});
