/** The variable `loop` of a `{% for %}`. It reads one item ahead only when it is asked for what comes. */
import {
  Callable,
  Instance,
  TemplateError,
  Undefined,
  firstOf,
  isSame,
  iterate,
  lengthOf,
  typeError,
  type Named,
  type Value,
} from './python/values.js';

export class Loop extends Instance {
  readonly typeName = 'LoopContext';
  private iterator: Iterator<Value>;
  private readonly known?: number;
  private counted?: number;
  /** Number of the item at hand; -1 before the first. */
  private index = -1;
  private before?: Value;
  private item?: Value;
  private after?: Value;
  private changes?: readonly Value[];

  constructor(
    items: Value | Iterable<Value>,
    private readonly depth: number,
    /** Renders the loop's body again for other items, in a recursive loop. */
    private readonly again?: (items: Value, depth: number) => Value,
  ) {
    super();
    const isValue = items === null || typeof items !== 'object' || !(Symbol.iterator in items);
    this.known = isValue ? lengthOf(items as Value) : undefined;
    this.iterator = (isValue ? iterate(items as Value) : (items as Iterable<Value>))[Symbol.iterator]();
  }

  /** Moves on to the next item; undefined after the last. */
  next(): Value | undefined {
    const item = this.peek();
    if (item === undefined) return undefined;
    this.after = undefined;
    this.index++;
    this.before = this.item;
    this.item = item;
    return item;
  }

  private peek(): Value | undefined {
    if (this.after !== undefined) return this.after;
    const {done, value} = this.iterator.next() as IteratorResult<Value, undefined>;
    return done ? undefined : (this.after = value as Value);
  }

  private get length(): number {
    if (this.known !== undefined) return this.known;
    if (this.counted !== undefined) return this.counted;
    const rest: Value[] = [];
    for (let next = this.iterator.next(); !next.done; next = this.iterator.next()) rest.push(next.value);
    this.iterator = rest[Symbol.iterator]();
    return (this.counted = rest.length + this.index + 1 + Number(this.after !== undefined));
  }

  get(name: string): Value | undefined {
    switch (name) {
      case 'index':
        return BigInt(this.index + 1);
      case 'index0':
        return BigInt(this.index);
      case 'revindex':
        return BigInt(this.length - this.index);
      case 'revindex0':
        return BigInt(this.length - this.index - 1);
      case 'first':
        return this.index === 0;
      case 'last':
        return this.peek() === undefined;
      case 'length':
        return BigInt(this.length);
      case 'depth':
        return BigInt(this.depth + 1);
      case 'depth0':
        return BigInt(this.depth);
      case 'previtem':
        return this.index === 0 ? new Undefined('there is no previous item') : this.before;
      case 'nextitem':
        return firstOf(this.peek(), () => new Undefined('there is no next item'));
      case 'cycle':
        return new Callable(name, (items) => {
          if (items.length === 0) throw typeError('no items for cycling given');
          return items[this.index % items.length];
        });
      case 'changed':
        return new Callable(name, (values) => {
          const {changes} = this;
          const same =
            changes?.length === values.length && values.every((value, i) => isSame(value, changes[i]));
          if (!same) this.changes = values;
          return !same;
        });
    }
    return undefined;
  }

  text(): string {
    return `<LoopContext ${this.index + 1}/${this.length}>`;
  }

  override call(positional: readonly Value[], named: Named): Value {
    if (!this.again)
      throw new TemplateError("The loop must have the 'recursive' marker to be called recursively.");
    if (positional.length !== 1 || named.size > 0) throw typeError('loop() takes one argument');
    return this.again(positional[0], this.depth + 1);
  }
}
