import eslint from '@eslint/js';
import {defineConfig, globalIgnores} from 'eslint/config';
import tseslint from 'typescript-eslint';

/** Globals of Node in every module. CommonJS modules also have those of `commonjs`. */
const node = {
  console: 'readonly',
  process: 'readonly',
  Buffer: 'readonly',
  setTimeout: 'readonly',
  URL: 'readonly',
};
const commonjs = {require: 'readonly', module: 'writable', exports: 'writable', __dirname: 'readonly'};

/** Allows untyped values, for files whose input has no usable types. */
const untyped = Object.fromEntries(
  ['argument', 'assignment', 'call', 'member-access', 'return'].map((use) => [
    `@typescript-eslint/no-unsafe-${use}`,
    'off',
  ]),
);

export default defineConfig(
  globalIgnores(['dist', 'build', 'coverage', 'node_modules']),
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {parserOptions: {projectService: true, tsconfigRootDir: import.meta.dirname}},
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', {argsIgnorePattern: '^_', varsIgnorePattern: '^_'}],
      // Error messages quote numbers, shapes and values that the types say cannot occur.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        {allowNumber: true, allowBoolean: true, allowArray: true, allowNever: true},
      ],
      // tfjs-core's ops are generic in the rank of their result, and an assertion states the rank. The rule calls it unnecessary.
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      // A synchronous function that implements an asynchronous interface is `async` without `await`.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    // chai's assertions are expressions without effect, and tests read untyped results of JSON.parse.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-explicit-any': 'off',
      ...untyped,
    },
  },
  {files: ['**/*.js'], languageOptions: {sourceType: 'commonjs', globals: {...node, ...commonjs}}},
  {files: ['**/*.mjs'], languageOptions: {sourceType: 'module', globals: node}},
);
