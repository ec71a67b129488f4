/**
 * Gives an ES module that a bundler made the `require` that it lacks, under the global name: TensorFlow.js calls it for
 * modules of Node. This file must run before every other one and imports nothing, since an import would call it too.
 */
if (typeof __filename === 'undefined') {
  const {createRequire} = process.getBuiltinModule('node:module');
  const program = process.argv[1] ?? `${process.cwd()}/program.mjs`;
  (globalThis as {require?: NodeJS.Require}).require ??= createRequire(program);
}

export {};
