/** Texts that commands read: their encodings, and where they come from. */
import {spawn, spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {expect} from 'chai';
import * as fc from 'fast-check';

import {packageRoot} from '../../backend/addon.js';
import {readText} from '../../src/cli/texts.js';

const BIN = path.join(packageRoot, 'bin', 'specattn.js');
const PROMPT = 'The captain looked at the sea and';

describe('a text', function () {
  this.timeout(120_000);
  let folder: string;
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-texts-'));
  });
  after(() => fs.rmSync(folder, {recursive: true, force: true}));

  const write = (bytes: Uint8Array | string) => {
    const file = path.join(folder, 'text.txt');
    fs.writeFileSync(file, bytes);
    return file;
  };
  const utf16 = (text: string, littleEndian: boolean) => {
    const bytes = Buffer.from(`\ufeff${text}`, 'utf16le');
    return littleEndian ? bytes : bytes.swap16();
  };
  const refusal = (bytes: Uint8Array) => {
    const file = write(bytes);
    return readText(file).then(
      (text) => `read as ${JSON.stringify(text)}`,
      (error: Error) =>
        error.message.replace(`${file} must be text in UTF-8, or in UTF-16 with a byte-order mark, but `, ''),
    );
  };

  it('is the same in UTF-8 and UTF-16, with a byte-order mark and without one in UTF-8', async () => {
    const wellFormed = fc
      .oneof(
        fc.string(),
        fc.string({unit: 'binary'}),
        fc.constantFrom('', 'über', '☂ \u{1f60a}', 'a\r\nb\n', '\ufeffa', 'a\ufeff'),
      )
      .filter((text) => !/[\ud800-\udfff]/u.test(text) && !text.includes('\0'));
    await fc.assert(
      fc.asyncProperty(wellFormed, async (text) => {
        expect(await readText(write(`\ufeff${text}`))).to.equal(text);
        expect(await readText(write(utf16(text, true)))).to.equal(text);
        expect(await readText(write(utf16(text, false)))).to.equal(text);
        if (!text.startsWith('\ufeff')) expect(await readText(write(text))).to.equal(text);
      }),
      {numRuns: 200},
    );
  });

  it('is refused in other encodings, with what is wrong', async () => {
    const latin1 = Buffer.from('caf\xe9 au lait', 'latin1');
    expect(await refusal(latin1)).to.equal('its byte 3 is not UTF-8');
    expect(await refusal(Buffer.from([...Buffer.from('grün'), 0xff]))).to.equal('its byte 5 is not UTF-8');
    expect(await refusal(Buffer.from('☂').subarray(0, 2))).to.match(/^its byte \d is not UTF-8$/);
    const zero = 'its character 1 is a zero: it is no text, or in UTF-16 without that mark';
    expect(await refusal(Buffer.from('It was', 'utf16le'))).to.equal(zero);
    expect(await refusal(Buffer.from('%\0PDF'))).to.equal(zero);
    expect(await refusal(Buffer.from('\ufeffI\0', 'utf16le'))).to.equal(zero);
    expect(await refusal(Buffer.from([0xff, 0xfe, 0, 0, 65, 0, 0, 0]))).to.equal('is in UTF-32');
    expect(await refusal(Buffer.from([0, 0, 0xfe, 0xff, 0, 0, 0, 65]))).to.equal('is in UTF-32');
    const half = 'is not, though it begins with the mark of UTF-16LE';
    expect(await refusal(Buffer.from('\ufeffa\ud83d', 'utf16le'))).to.equal(half);
    expect(await refusal(utf16('abc', true).subarray(0, -1))).to.equal(half);
  });

  it('names the file that is not there', async () => {
    const file = path.join(folder, 'nowhere.txt');
    expect(await readText(file).catch((error: Error) => error.message)).to.match(
      /^.*nowhere\.txt cannot be read: ENOENT/,
    );
  });

  const generate = (args: string[], input?: Uint8Array | string) => {
    const all = [BIN, 'generate', ...args, '--json', '--temperature', '0', '--max-new-tokens', '8'];
    const {status, stdout, stderr} = spawnSync(process.execPath, all, {encoding: 'utf8', input});
    expect(status, stderr).to.equal(0);
    return (JSON.parse(stdout) as {tokens: number[]}).tokens;
  };

  it('is the prompt of generate when it is piped or redirected, and the built-in passage where that is empty', () => {
    const tokens = generate([PROMPT]);
    const passage = generate([]);
    expect(passage).not.to.deep.equal(tokens);
    expect(generate([], PROMPT)).to.deep.equal(tokens);
    expect(generate(['-'], utf16(PROMPT, true))).to.deep.equal(tokens);
    expect(generate(['--file', '-'], `\ufeff${PROMPT}`)).to.deep.equal(tokens);
    expect(generate(['--file', write(utf16(PROMPT, false))])).to.deep.equal(tokens);
    expect(generate([PROMPT], 'Something else')).to.deep.equal(tokens);
    if (process.platform === 'win32') return;
    const redirected = (from: string) => {
      const command = `"${process.execPath}" "${BIN}" generate --json --temperature 0 --max-new-tokens 8 < ${from}`;
      return (JSON.parse(spawnSync('sh', ['-c', command], {encoding: 'utf8'}).stdout) as {tokens: number[]})
        .tokens;
    };
    expect(redirected(write(PROMPT))).to.deep.equal(tokens);
    expect(redirected('/dev/null')).to.deep.equal(passage);
  });

  it('is read to its end, however slowly it comes, and the command says that it waits', async () => {
    const args = [BIN, 'generate', '--json', '--temperature', '0', '--max-new-tokens', '8'];
    const child = spawn(process.execPath, args);
    let stdout = '';
    let stderr = '';
    const waits = new Promise<void>((resolve) =>
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
        if (stderr.includes('\n')) resolve();
      }),
    );
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    await waits;
    expect(stderr).to.equal('specattn: reading the prompt from standard input, which has not ended yet\n');
    child.stdin.write(PROMPT.slice(0, 10));
    child.stdin.end(PROMPT.slice(10));
    const status = await new Promise((resolve) => child.on('close', resolve));
    expect(status).to.equal(0);
    expect((JSON.parse(stdout) as {tokens: number[]}).tokens).to.deep.equal(generate([PROMPT]));
  });
});
