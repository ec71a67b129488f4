/** Floats with a given number of digits, rounded half to even from their exact value, as C's printf and Python do. */

/** |value| as a fraction. */
function fractionOf(value: number): [bigint, bigint] {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, Math.abs(value));
  const word = bits.getBigUint64(0);
  const power = Number(word >> 52n);
  const mantissa = (word & 0xfffffffffffffn) | (power > 0 ? 0x10000000000000n : 0n);
  const exponent = Math.max(power, 1) - 1075;
  return exponent >= 0 ? [mantissa << BigInt(exponent), 1n] : [mantissa, 1n << BigInt(-exponent)];
}

/** |value| × 10^power as a whole number. */
function scaled(value: number, power: number): bigint {
  let [above, below] = fractionOf(value);
  if (power >= 0) above *= 10n ** BigInt(power);
  else below *= 10n ** BigInt(-power);
  const whole = above / below;
  const twice = 2n * (above % below);
  return twice > below || (twice === below && whole % 2n === 1n) ? whole + 1n : whole;
}

/** |value| with `digits` digits after the point. */
export function fixed(value: number, digits: number): string {
  const text = scaled(value, digits)
    .toString()
    .padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** The digits of |value|, `digits` + 1 of them, and the power of ten of the first. */
function digitsOf(value: number, digits: number): [string, number] {
  if (value === 0) return ['0'.repeat(digits + 1), 0];
  let power = Number(value.toExponential().split('e')[1]);
  let text = scaled(value, digits - power).toString();
  if (text.length > digits + 1) text = scaled(value, digits - ++power).toString();
  return [text, power];
}

const withPoint = (text: string, before: number): string =>
  text.length > before ? `${text.slice(0, before)}.${text.slice(before)}` : text;

const exponentText = (power: number): string =>
  `e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;

/** |value| as in 1.50e+10, with `digits` digits after the point. @param point whether there is one before no digits */
export function exponential(value: number, digits: number, point: boolean): string {
  const [text, power] = digitsOf(value, digits);
  return withPoint(text, 1) + (point && digits === 0 ? '.' : '') + exponentText(power);
}

/**
 * |value| with `digits` significant digits, in the shorter of both notations, without zeros at the end.
 * @param keepZeros keeps them
 * @param most powers of ten from which on the exponent is written
 */
export function general(
  value: number,
  digits: number,
  keepZeros: boolean,
  most = Math.max(1, digits),
): string {
  const significant = Math.max(1, digits);
  const [text, power] = digitsOf(value, significant - 1);
  const trim = (number: string) =>
    keepZeros
      ? number.includes('.')
        ? number
        : `${number}.`
      : number.includes('.')
        ? number.replace(/\.?0+$/, '')
        : number;
  if (power < -4 || power >= most) return trim(withPoint(text, 1)) + exponentText(power);
  return trim(power >= 0 ? withPoint(text, power + 1) : `0.${'0'.repeat(-power - 1)}${text}`);
}

/** Python's `round(value, digits)`. */
export function round(value: number, digits: number): number {
  if (!Number.isFinite(value) || digits > 330) return value;
  if (digits < -330) return value < 0 ? -0 : 0;
  const text = digits >= 0 ? fixed(value, digits) : `${scaled(value, digits)}e${-digits}`;
  return Math.sign(value) < 0 || Object.is(value, -0) ? -Number(text) : Number(text);
}
