import { random } from "../test/backend/random-nets.js";
import { measureQuantized } from "../test/support/agreement.js";
import { randomQuantized } from "../test/quantize/random-integers.js";
import { writeFileSync } from "node:fs";
const [a, b, wide] = process.argv.slice(2);
const sum: any = {};
for (let seed = Number(a); seed <= Number(b); seed++) {
  try {
    const net = randomQuantized(random(seed * 7919 + (wide ? 1 : 0)), wide !== undefined);
    writeFileSync("/tmp/seed.onnx", net.bytes);
    const r = await measureQuantized(`seed_${seed}.onnx`, net.bytes, { samples: 4, flow: true, references: ["nodes", "integers"], random: random(seed) });
    for (const c of r.compared) { const s = (sum[c.reference] ??= { n: 0, bad: 0, most: 0 }); s.n += c.given.elements; s.bad += Math.round((1 - c.given.equal) * c.given.elements); s.most = Math.max(s.most, c.given.most); }
    const bad = r.compared.filter((c) => c.given.equal < 1);
    if (bad.length || r.real.length || !r.flow) console.log(seed, bad.map((c) => `${c.reference} ${c.given.elements} ${c.given.equal.toFixed(4)} ${c.given.most}`).join(" | "), r.real.join(";"), r.flow ? "" : "FLOW DIFFERS", net.operators.filter((o) => !/quantize/i.test(o)).join(","));
  } catch (e) { console.log(seed, "ERROR", String((e as Error).message).slice(0, 300)); }
}
console.log(JSON.stringify(sum));
