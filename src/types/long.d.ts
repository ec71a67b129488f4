// The global name of @types/long, which declarations of TensorFlow.js use without a reference to it. See dom.d.ts.
interface Long {
  high: number;
  low: number;
  unsigned: boolean;
}
export = Long;
export as namespace Long;
