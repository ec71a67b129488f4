/** Suites that need a GPU. Without one they are skipped, and their titles give the reason. */
import {describeDevices} from '../../backend/index.js';
import {onBackend} from '../backends.js';

/** A `describe` on the CUDA device. */
export function onCuda(title: string, body: () => void): void {
  const {device, devices, reason} = describeDevices();
  if (device === 'cuda') {
    onBackend('specattn', `${title} on cuda,`, body);
    return;
  }
  const cuda = devices.find(({name}) => name === 'cuda');
  const why = cuda?.available ? `SPECATTN_DEVICE is ${process.env.SPECATTN_DEVICE}` : cuda?.reason;
  describe.skip(`${title} on cuda (${why ?? reason})`, body);
}
