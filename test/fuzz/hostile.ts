/** Generators of hostile values and files, for fuzz targets. */
import {inspect} from 'node:util';
import * as fc from 'fast-check';

/** Numbers at the limits of their types, and past them. */
export const hostileNumber: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(
    ...[
      0,
      -0,
      1,
      -1,
      0.5,
      2,
      3,
      7,
      8,
      16,
      31,
      32,
      33,
      64,
      255,
      256,
      1e9,
      2 ** 31 - 1,
      2 ** 31,
      -(2 ** 31),
      2 ** 32,
    ],
    ...[
      2 ** 53 - 1,
      2 ** 53,
      2 ** 53 + 2,
      2 ** 63,
      2 ** 64,
      1e308,
      -1e308,
      5e-324,
      1e-9,
      NaN,
      Infinity,
      -Infinity,
    ],
  ),
  fc.integer({min: -4, max: 40}),
  fc.double(),
);

export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '0',
    '1',
    'NaN',
    '-1',
    '\0',
    '\ud800',
    'x\udc00',
    '__proto__',
    'constructor',
    'toString',
  ),
  fc.constantFrom(
    '.',
    '..',
    '/',
    '../x',
    '..\\x',
    '/etc/passwd',
    'C:\\x',
    'a/../../b',
    '\u202e',
    '\ufeff',
    'x'.repeat(5000),
  ),
  fc.string({unit: 'binary', maxLength: 12}),
);

/** Any JSON value that is not deeply nested. */
export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    [],
    {},
    [null],
    [[]],
    {a: 1},
    [0],
    [1, 1],
    [-1, 5],
    ['a'],
    [1.5],
    [[0, 0, '1']],
  ),
  hostileNumber,
  hostileText,
  fc.array(hostileNumber, {maxLength: 5}),
  fc.jsonValue({maxDepth: 3}),
);

export interface HostileFile {
  bytes: Uint8Array;
  /** the fields that differ from the good file's, possibly none; undefined if the bytes may not be JSON */
  changed?: string[];
}

/** A file that is printed as text in the report of a failure. */
function hostileFile(bytes: Uint8Array, changed?: string[]): HostileFile {
  return {
    bytes,
    changed,
    [inspect.custom]: () => `${new TextDecoder().decode(bytes)} (${changed?.join(', ') ?? 'spoiled'})`,
  } as HostileFile;
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/**
 * A good JSON file with some of its fields changed, removed or doubled, or with its bytes spoiled.
 */
export function hostileJson(good: object): fc.Arbitrary<HostileFile> {
  const places = placesIn(good);
  const change = fc.record({place: fc.constantFrom(...places), value: hostileValue, how: fc.nat(5)});
  const structural = fc.array(change, {minLength: 1, maxLength: 3}).map((changes) => {
    const copy = structuredClone(good);
    for (const {place, value, how} of changes) changeAt(copy, place, value, how);
    const changed = changes.map(({place, how}) => (how === 1 ? String(place[0]) : place.join('.')));
    return hostileFile(encode(JSON.stringify(copy)), changed);
  });
  const bytes = encode(JSON.stringify(good));
  return fc.oneof(
    {weight: 4, arbitrary: structural},
    {weight: 1, arbitrary: spoiled(bytes)},
    {weight: 1, arbitrary: odd(bytes)},
  );
}

type Place = (string | number)[];

/** The places of all fields, and of the first few elements of every list and table. */
function placesIn(value: unknown, at: Place = []): Place[] {
  if (typeof value !== 'object' || value === null || at.length > 5) return at.length > 0 ? [at] : [];
  const keys = Array.isArray(value) ? [...value.keys()].slice(0, 4) : Object.keys(value).slice(0, 40);
  const inner = keys.flatMap((key) =>
    placesIn((value as Record<string | number, unknown>)[key], [...at, key]),
  );
  return at.length > 0 ? [at, ...inner] : inner;
}

function changeAt(root: object, place: Place, value: unknown, how: number): void {
  let parent = root as Record<string | number, unknown>;
  for (const key of place.slice(0, -1)) {
    const next = parent[key];
    if (typeof next !== 'object' || next === null) return; // an earlier change removed it
    parent = next as Record<string | number, unknown>;
  }
  const key = place.at(-1)!;
  if (how === 0) delete parent[key];
  else if (how === 1 && Array.isArray(parent)) parent.push(parent[key as number]);
  else parent[key] = structuredClone(value); // a later change may be inside it
}

/** A file with some bytes changed, inserted or removed. */
export function spoiled(good: Uint8Array): fc.Arbitrary<HostileFile> {
  const edit = fc.record({
    at: fc.nat(good.length),
    bytes: fc.oneof(
      fc.uint8Array({maxLength: 4}),
      fc.constantFrom(...['"', '{', '}', '[', ',', ':', '\\', '\xff', '\\ud800', '1e999'].map(encode)),
    ),
    remove: fc.oneof(fc.nat(4), fc.nat(good.length)),
  });
  return fc.array(edit, {minLength: 1, maxLength: 3}).map((edits) => {
    let bytes = good;
    for (const {at, bytes: put, remove} of edits)
      bytes = Uint8Array.from([...bytes.subarray(0, at), ...put, ...bytes.subarray(at + remove)]);
    return hostileFile(bytes);
  });
}

/** Files that are not of this kind at all, or that readers take for different things. */
function odd(good: Uint8Array): fc.Arbitrary<HostileFile> {
  const nested = (open: string, close: string) =>
    fc.constantFrom(65, 1000, 100_000).map((depth) => open.repeat(depth) + close.repeat(depth));
  const text = new TextDecoder().decode(good);
  return fc
    .oneof(
      fc.uint8Array({maxLength: 64}),
      fc
        .constantFrom(
          '',
          'null',
          '[]',
          '7',
          '"x"',
          '{}',
          `\ufeff${text}`,
          `${text}${text}`,
          text.replace('{', '{"":{},'),
        )
        .map(encode),
      // The first name of the file occurs twice, with another value at first.
      fc.constant(encode(text.replace(/^\{("[^"]*"):/, '{$1:null,$1:'))),
      nested('[', ']').map((deep) => encode(deep)),
      nested('{"a":', '}').map((deep) =>
        encode(text.replace(/\}$/, `,"deep":${deep.replace('}', 'null}')}}`)),
      ),
    )
    .map((bytes) => hostileFile(bytes));
}

/** Whether a refusal names one of the changed fields, or says that the whole file is invalid. */
export function namesField(
  message: string,
  file: string,
  {changed}: HostileFile,
  related: Record<string, string[]> = {},
): boolean {
  if (!message.startsWith(file)) return false;
  const rest = message.slice(file.length);
  if (/^: must (be JSON|be a JSON object|be nested)/.test(rest)) return true;
  const fields = /^: ([^]+?) must (?:be|have|hold) /.exec(rest);
  if (!fields) return false;
  if (!changed) return true;
  const named = fields[1].split('.');
  return changed.some((place) => {
    const [first, ...more] = place.split('.');
    return named.some(
      (name) =>
        name === first || more.includes(name) || (related[name] ?? []).some((other) => place.includes(other)),
    );
  });
}
