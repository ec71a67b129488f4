/** The functions that every chat template may call: Jinja2's, and those that transformers adds. */
import {bind} from './bind.js';
import {strftime} from './python/strftime.js';
import {repr, textOf} from './python/text.js';
import {
  Callable,
  Dict,
  Instance,
  Range,
  TemplateError,
  intOf,
  iterate,
  typeError,
  type Named,
  type Value,
} from './python/values.js';

/** Longer ranges are refused, as by Jinja2's sandbox. */
const MOST_RANGE = 100_000;

/** What `namespace()` makes: a value whose attributes may be set. */
export class Namespace extends Instance {
  readonly typeName = 'Namespace';
  private readonly attributes: Map<string, Value>;

  constructor(attributes: Dict) {
    super();
    this.attributes = new Map(attributes.items().map(([name, value]) => [textOf(name), value]));
  }

  get(attribute: string): Value | undefined {
    return this.attributes.get(attribute);
  }

  set(attribute: string, value: Value): void {
    this.attributes.set(attribute, value);
  }

  text(): string {
    return `<Namespace ${repr(new Dict(this.attributes))}>`;
  }
}

/** Gives its items in turn, without end. */
class Cycler extends Instance {
  readonly typeName = 'Cycler';
  private at = 0;

  constructor(private readonly items: readonly Value[]) {
    super();
    if (items.length === 0) throw new TemplateError('at least one item has to be provided');
  }

  get(attribute: string): Value | undefined {
    switch (attribute) {
      case 'current':
        return this.items[this.at];
      case 'next':
        return new Callable('next', () => {
          const item = this.items[this.at];
          this.at = (this.at + 1) % this.items.length;
          return item;
        });
      case 'reset':
        return new Callable('reset', () => {
          this.at = 0;
          return null;
        });
    }
    return undefined;
  }

  text(): undefined {
    return undefined;
  }
}

/** The dict that `dict(pairs, name=value)` makes. */
function dictOf(caller: string, positional: readonly Value[], named: Named): Dict {
  if (positional.length > 1)
    throw typeError(`${caller} expected at most 1 argument, got ${positional.length}`);
  const [source] = positional;
  let pairs: (readonly [Value, Value])[] = [];
  if (source instanceof Dict) pairs = source.items();
  else if (source !== undefined)
    pairs = Array.from(iterate(source), (pair) => {
      const items = [...iterate(pair)];
      if (items.length !== 2) throw new TemplateError('dictionary update sequence element is no pair');
      return [items[0], items[1]] as const;
    });
  return new Dict([...pairs, ...named]);
}

function rangeOf(positional: readonly Value[], named: Named): Range {
  const bound = bind('range', ['start', 'stop=', 'step=', '/'], positional, named);
  const [first, second, third] = bound.map((value) => (value === undefined ? undefined : intOf(value)));
  const step = third ?? 1n;
  if (step === 0n) throw new TemplateError('range() arg 3 must not be zero');
  const range = second === undefined ? new Range(0n, first!, step) : new Range(first!, second, step);
  if (range.length > MOST_RANGE)
    throw new TemplateError(
      `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MOST_RANGE}).`,
    );
  return range;
}

/** The functions by name. `now` is the time that `strftime_now` writes. */
export function globals(now: () => Date): [string, Value][] {
  const functions: Record<string, (positional: readonly Value[], named: Named) => Value> = {
    range: rangeOf,
    dict: (...given) => dictOf('dict', ...given),
    namespace: (...given) => new Namespace(dictOf('namespace', ...given)),
    cycler: (items) => new Cycler(items),
    joiner: (...given) => {
      const [separator = ', '] = bind('joiner', ['sep='], ...given);
      let isFirst = true;
      return new Callable('joiner', () => {
        const text = isFirst ? '' : separator;
        isFirst = false;
        return text;
      });
    },
    raise_exception: (...given) => {
      const [message] = bind('raise_exception', ['message'], ...given);
      throw new TemplateError(textOf(message!));
    },
    strftime_now: (...given) => {
      const [format] = bind('strftime_now', ['format'], ...given);
      if (typeof format !== 'string') throw typeError('strftime_now needs a format');
      return strftime(now(), format);
    },
  };
  return Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)]);
}
