// A name of lib.dom that declarations of TensorFlow.js use. See dom.d.ts.
type PredefinedColorSpace = 'display-p3' | 'srgb';
export = PredefinedColorSpace;
export as namespace PredefinedColorSpace;
