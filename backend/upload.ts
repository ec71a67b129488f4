/**
 * Fills a native buffer with raw bytes that come in parts, from host memory or from open files: how weights reach the
 * device.
 */
import type {NativeDevice} from './addon.js';
import type {FilePart} from './types.js';

/**
 * Writes the parts one after the other into the buffer `handle`. A part in host memory need only be valid until the
 * next one is asked for, so that a file can be read through one small buffer. Native code reads a part of a file
 * itself, straight to the device.
 * @returns the bytes of all parts; parts past `capacity` bytes are counted but not written
 */
export function writeParts(
  device: NativeDevice,
  handle: number,
  parts: Iterable<ArrayBufferView | FilePart>,
  capacity: number,
): number {
  let bytes = 0;
  for (const part of parts) {
    if (bytes + part.byteLength <= capacity) writePart(device, handle, bytes, part);
    bytes += part.byteLength;
  }
  return bytes;
}

function writePart(device: NativeDevice, handle: number, at: number, part: ArrayBufferView | FilePart): void {
  if (!('fd' in part)) {
    device.write(handle, at, part);
    return;
  }
  const {file, fd, position, byteLength} = part;
  try {
    device.writeFromFile(handle, at, fd, position, byteLength);
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`, {cause: error});
  }
}
