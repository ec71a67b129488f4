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

export default defineConfig(
  globalIgnores(['dist', 'build', 'coverage', 'node_modules']),
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {parserOptions: {projectService: true, tsconfigRootDir: import.meta.dirname}},
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', {argsIgnorePattern: '^_', varsIgnorePattern: '^_'}],
      '@typescript-eslint/restrict-template-expressions': ['error', {allowNumber: true, allowBoolean: true}],
      // An async function without await is how a synchronous body meets an asynchronous interface.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    // chai's assertions are expressions, and a test reads what JSON.parse gives it.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
  {files: ['**/*.js'], languageOptions: {sourceType: 'commonjs', globals: {...node, ...commonjs}}},
  {files: ['**/*.mjs'], languageOptions: {sourceType: 'module', globals: node}},
);
