/** A queue of numbers whose smallest comes out first: a binary heap in an array that grows. */
export class NumberHeap {
  private values: Float64Array;
  private count = 0;

  /** @param capacity the number of values expected at once */
  constructor(capacity: number) {
    this.values = new Float64Array(Math.max(16, capacity));
  }

  push(value: number): void {
    if (this.count === this.values.length) {
      const larger = new Float64Array(2 * this.count);
      larger.set(this.values);
      this.values = larger;
    }
    const {values} = this;
    let at = this.count++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (values[parent] <= value) break;
      values[at] = values[parent];
      at = parent;
    }
    values[at] = value;
  }

  /** The smallest value, which leaves the queue; undefined if there is none. */
  pop(): number | undefined {
    if (this.count === 0) return undefined;
    const {values} = this;
    const smallest = values[0];
    const value = values[--this.count];
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.count) break;
      if (child + 1 < this.count && values[child + 1] < values[child]) child++;
      if (values[child] >= value) break;
      values[at] = values[child];
      at = child;
    }
    values[at] = value;
    return smallest;
  }
}
