/** Folders for the files of fuzz cases. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {writeTinyPair} from '../../decoding/tiny_pair.js';

/** The tiny pair, made at first use and removed when the process ends. */
let pair: {draft: string; verifier: string} | undefined;

/** The folders of the tiny pair, which must not be changed. */
export function pairFolders(): {draft: string; verifier: string} {
  if (pair) return pair;
  const folder = new CaseFolder();
  process.on('exit', () => folder.remove());
  let made = 0;
  pair = writeTinyPair(() => {
    const dir = folder.file(`model-${made++}`);
    fs.mkdirSync(dir);
    return dir;
  });
  return pair;
}

/** A temporary folder, which is made at first use and deleted by `remove`. */
export class CaseFolder {
  private made: string | undefined;

  get path(): string {
    return (this.made ??= fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-fuzz-')));
  }

  file(name: string): string {
    return path.join(this.path, name);
  }

  write(name: string, content: string | Uint8Array): string {
    fs.writeFileSync(this.file(name), content);
    return this.file(name);
  }

  remove(): void {
    if (this.made) fs.rmSync(this.made, {recursive: true});
    this.made = undefined;
  }
}
