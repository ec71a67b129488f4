import eslint from '@eslint/js';
import {defineConfig, globalIgnores} from 'eslint/config';
import tseslint from 'typescript-eslint';

/** What Node gives to CommonJS and ES modules alike; `require` and its kin only where they exist. */
const node = {
  console: 'readonly',
  process: 'readonly',
  Buffer: 'readonly',
  setTimeout: 'readonly',
  URL: 'readonly',
};
const commonjs = {require: 'readonly', module: 'writable', exports: 'writable', __dirname: 'readonly'};

/** For values whose types are not to be had. */
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
      // Error messages quote numbers, shapes and what should not have come.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        {allowNumber: true, allowBoolean: true, allowArray: true, allowNever: true},
      ],
      // tfjs-core's ops are generic in the rank of their result: an assertion is where it is said.
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      // An async function without await is how a synchronous body meets an asynchronous interface.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    // chai's assertions are expressions, and a test reads what JSON.parse gives it.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-explicit-any': 'off',
      ...untyped,
    },
  },
  // The declarations of @huggingface/tokenizers do not resolve with Node's rules.
  {files: ['models/hf/tokenizer.ts', 'models/hf/tokenizer_file.ts'], rules: untyped},
  {files: ['**/*.js'], languageOptions: {sourceType: 'commonjs', globals: {...node, ...commonjs}}},
  {files: ['**/*.mjs'], languageOptions: {sourceType: 'module', globals: node}},
);
