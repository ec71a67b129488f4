/**
 * The rules of `npm run lint:imports`. In the order backend <- ops <- models <- src a folder imports only from folders to
 * its left, and imports never form a circle. docs/architecture.md describes these folders ("rooms").
 */
'use strict';

/** The rule that files of the folder `name` import nothing from the folders `above`. */
const layer = (name, above) => ({
  name: `${name.replaceAll('/', '-')}-imports-no-upper-layer`,
  comment: `${name} stands below ${above.join(', ')}.`,
  severity: 'error',
  from: {path: `^${name}/`},
  to: {path: above.map((folder) => `^${folder}/`)},
});

module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'Two files that import each other cannot be read one after the other.',
      severity: 'error',
      from: {},
      to: {circular: true},
    },
    {
      name: 'no-orphans-outside-programs',
      comment: 'A file that nothing imports is dead, unless it is a program.',
      severity: 'error',
      from: {
        orphan: true,
        path: '^(backend|ops|models|src)/',
        pathNot: '^src/cli/install_tensorflow/trial\\.ts$',
      },
      to: {},
    },
    layer('backend', ['ops', 'models', 'src']),
    layer('ops', ['models', 'src']),
    layer('models', ['src']),
    layer('src/selection', ['src/decoding', 'src/calibration', 'src/evaluate', 'src/report', 'src/cli']),
    layer('src/decoding', ['src/calibration', 'src/evaluate', 'src/report', 'src/cli']),
    layer('src/evaluate', ['src/calibration', 'src/report', 'src/cli']),
    layer('src/calibration', ['src/report', 'src/cli']),
    layer('src/report', ['src/cli']),
    {
      name: 'product-imports-no-tests',
      comment: 'What is shipped stands without tests, benches and examples.',
      severity: 'error',
      from: {path: '^(backend|ops|models|src)/'},
      to: {path: '^(test|bench|examples)/'},
    },
  ],
  options: {
    doNotFollow: {path: 'node_modules'},
    tsConfig: {fileName: 'tsconfig.json'},
    tsPreCompilationDeps: true,
  },
};
