// A name of lib.dom that declarations of TensorFlow.js use. See dom.d.ts.
type BufferSource = ArrayBufferView | ArrayBuffer;
export = BufferSource;
export as namespace BufferSource;
