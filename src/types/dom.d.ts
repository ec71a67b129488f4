/* eslint-disable @typescript-eslint/no-empty-object-type, @typescript-eslint/triple-slash-reference */
// Names that the declarations of TensorFlow.js use and a Node program without lib.dom lacks. Without them such a
// program could be checked only with skipLibCheck. Where lib.dom or @types/node declares a name, nothing changes:
// an empty interface merges with the other one, and a global name that is made by `export as namespace` gives way.
/// <reference path="./buffer_source.d.ts" />
/// <reference path="./predefined_color_space.d.ts" />
/// <reference path="./long.d.ts" />
interface Element {}
interface EventInit {}
interface HTMLElement extends Element {}
interface HTMLImageElement extends HTMLElement {}
interface HTMLSourceElement extends HTMLElement {}
interface IDBFactory {}
interface ImageBitmap {}
interface ImageData {}
interface KeyboardEvent {}
interface MouseEvent {}
interface Storage {}
interface TouchEvent {}
interface VideoFrame {}
interface WebGLContextAttributes {}
interface WebGLTexture {}
