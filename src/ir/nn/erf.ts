/**
 * Error function to double precision: the Taylor series near 0, a continued fraction (Lentz) in the tails.
 *
 * @source Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.5 and 7.1.14
 */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && n < 200; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  if (a > 6) return Math.sign(x);
  let f = 0;
  for (let k = 80; k > 0; k--) f = k / 2 / (a + f);
  const tail = Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + f));
  return Math.sign(x) * (1 - tail);
}
