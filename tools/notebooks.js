// `npm run test:notebooks [-- FILE...]` executes the notebooks of examples/ without a browser and fails if a cell fails.
//
// It needs Jupyter's nbconvert and client, and tslab from `npm install --prefix build/notebooks tslab@1.0.22`. tslab
// has a folder of its own because its older `tsc` would replace the project's. Where a requirement is missing, the
// script says so and executes nothing.
'use strict';

const {execFileSync, spawnSync} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');
const EXAMPLES = path.join(ROOT, 'examples');
const TSLAB = path.join(ROOT, 'build', 'notebooks', 'node_modules');
const KERNEL = path.join(TSLAB, 'tslab', 'bin', 'tslab');
/** Most seconds that a cell may run. */
const CELL_SECONDS = 120;

/** Why this machine cannot execute notebooks; undefined if it can. */
function missing() {
  try {
    execFileSync('jupyter', ['nbconvert', '--version'], {stdio: 'ignore'});
  } catch {
    return 'jupyter nbconvert is not installed (Debian: jupyter-nbconvert, jupyter-client, python3-ipykernel)';
  }
  if (!fs.existsSync(KERNEL))
    return 'tslab is not installed (npm install --prefix build/notebooks tslab@1.0.22)';
  if (!fs.existsSync(path.join(ROOT, 'dist', 'src', 'index.js'))) return 'dist/ is not built (npm run build)';
  return undefined;
}

/**
 * Makes a temporary folder like that of a user: the notebooks, this package and tslab in node_modules, and a kernel
 * description for Jupyter. Returns its path.
 */
function makeFolder(files) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-notebooks-'));
  const modules = path.join(folder, 'node_modules');
  fs.mkdirSync(modules);
  fs.symlinkSync(ROOT, path.join(modules, 'specattn'), 'junction');
  for (const name of ['tslab', '@types'])
    fs.symlinkSync(path.join(TSLAB, name), path.join(modules, name), 'junction');
  const kernel = path.join(folder, 'jupyter', 'kernels', 'tslab');
  fs.mkdirSync(kernel, {recursive: true});
  const argv = [process.execPath, KERNEL, 'kernel', '--config-path', '{connection_file}'];
  fs.writeFileSync(
    path.join(kernel, 'kernel.json'),
    JSON.stringify({argv, display_name: 'TypeScript', language: 'typescript'}),
  );
  for (const file of files) fs.copyFileSync(file, path.join(folder, path.basename(file)));
  return folder;
}

/** Executes a notebook in place, with nbconvert. */
function nbconvert(folder, name, options) {
  const args = ['nbconvert', '--to', 'notebook', '--execute', '--inplace', ...options, name];
  args.push(`--ExecutePreprocessor.timeout=${CELL_SECONDS}`);
  const env = {...process.env, JUPYTER_PATH: path.join(folder, 'jupyter')};
  return spawnSync('jupyter', args, {cwd: folder, encoding: 'utf8', env});
}

/** What the cells of a notebook wrote to standard error, and their errors. */
function complaints({cells}) {
  const outputs = cells.flatMap((cell) => cell.outputs ?? []);
  const words = ({name, text, ename, evalue}) =>
    name === 'stderr' ? [text].flat().join('') : ename ? `${ename}: ${evalue}` : '';
  return outputs.map(words).filter(Boolean).join('\n');
}

const read = (folder, name) => JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));

/**
 * Executes a notebook and returns its number of code cells.
 * @throws Error with the messages of a cell that failed, or if a cell that should show something shows nothing
 */
function execute(folder, name) {
  const {status, stderr} = nbconvert(folder, name, []);
  if (status !== 0) {
    // The compiler's messages are outputs in the notebook, which nbconvert does not write when a cell fails. With
    // --allow-errors it does.
    nbconvert(folder, name, ['--allow-errors']);
    const failed = stderr.slice(Math.max(0, stderr.indexOf('CellExecutionError: ')));
    throw new Error(`${name} failed: ${failed}${complaints(read(folder, name))}`);
  }
  // tslab does not number the cells that it has run, so a missing output is the only sign that a cell was not run.
  const {cells} = read(folder, name);
  const code = cells.filter(({cell_type: type}) => type === 'code');
  code.forEach(({source, outputs}, i) => {
    const failed = outputs.find(({output_type: type}) => type === 'error');
    if (failed) throw new Error(`${name}: cell ${i + 1} of code failed: ${failed.evalue}`);
    if (/console\.log\(|display\./.test(source.join('')) && outputs.length === 0)
      throw new Error(`${name}: cell ${i + 1} of code must show something but shows nothing`);
  });
  return code.length;
}

function main(asked) {
  const reason = missing();
  if (reason) {
    console.log(`notebooks: skipped: ${reason}`);
    return;
  }
  const examples = fs.readdirSync(EXAMPLES).filter((name) => name.endsWith('.ipynb'));
  const files = asked.length > 0 ? asked : examples.map((name) => path.join(EXAMPLES, name));
  const folder = makeFolder(files);
  try {
    for (const name of files.map((file) => path.basename(file))) {
      const start = Date.now();
      const cells = execute(folder, name);
      console.log(`${name}: ${cells} cells, ${((Date.now() - start) / 1000).toFixed(1)} s`);
    }
  } finally {
    fs.rmSync(folder, {recursive: true, force: true});
  }
}

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(`notebooks: ${error.message}`);
  process.exitCode = 1;
}
