/** Gives each test a temporary folder, which is removed after the test. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

let folder: string | undefined;

afterEach(() => {
  if (folder) fs.rmSync(folder, {recursive: true});
  folder = undefined;
});

/** The folder of the running test. */
export function testFolder(): string {
  folder ??= fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-'));
  return folder;
}

/** A copy of `from` in the test's folder, with `changes` to its config.json (undefined removes a field). */
export function copyModel(from: string, changes: Record<string, unknown> = {}): string {
  fs.cpSync(from, testFolder(), {recursive: true});
  const file = path.join(testFolder(), 'config.json');
  const config = JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, unknown>;
  fs.writeFileSync(file, JSON.stringify({...config, ...changes}));
  return testFolder();
}
