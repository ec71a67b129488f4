/** The golden files of test/data/templates: chat templates, and what Python's Jinja2 makes of them. */
import {readFileSync} from 'node:fs';
import * as path from 'node:path';

import {Template, fromJson} from '../../models/hf/jinja/template.js';

const FOLDER = path.join(__dirname, '..', '..', '..', 'test', 'data', 'templates');
/** The time at which the golden files were made, by strftime_now. */
export const NOW = new Date(2024, 6, 9, 7, 5, 3);

/** A rendering: a text, what the template raised with raise_exception, or another error of Python's. */
export interface Rendering {
  text?: string;
  raised?: string;
  error?: string;
}

export type Variables = Record<string, unknown>;
export type Message = {role: string; content: string | {type: 'text'; text: string}[]};

const read = (name: string): string => readFileSync(path.join(FOLDER, name), 'utf8');
const lines = <T>(name: string): T[] =>
  read(name)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T);

/** The templates by name, each as its lines. */
const templates = JSON.parse(read('templates.json')) as Record<string, string[]>;
export const MODELS = Object.keys(templates);
export const templateOf = (model: string): string => templates[model].join('\n');

const tokens = JSON.parse(read('tokens.json')) as Record<string, Record<string, string>>;
export const tokensOf = (model: string): Record<string, string> => tokens[model] ?? tokens.default;
export const CONVERSATIONS = JSON.parse(read('conversations.json')) as Message[][];
export const RENDERINGS = lines<Rendering & {template: string; conversation: number}>('models.jsonl');
export const TIMES = lines<{time: number[]; format: string; text: string}>('strftime.jsonl');

const [{variables}, ...madeUp] = lines<Rendering & {template: string; variables: Variables}>('made_up.jsonl');
export const MADE_UP: readonly (Rendering & {template: string})[] = madeUp;
export const MADE_UP_VARIABLES = variables;

/** What ChatTemplate renders templates with, besides the messages. */
export const FIXED = {tools: null, documents: null, add_generation_prompt: true};

/** A rendering by this project, as the golden files hold it: an error is as it is raised. */
export function rendering(template: string, given: Variables): Rendering {
  try {
    const values = Object.entries(given).map(([name, value]) => [name, fromJson(value)] as const);
    return {text: new Template(template).render(values, () => NOW)};
  } catch (error) {
    return {raised: (error as Error).message};
  }
}

/** How a rendering differs from Python's; undefined if it does not. What Python's own errors say is not compared. */
export function difference(got: Rendering, expected: Rendering): string | undefined {
  const isSame =
    expected.error === undefined
      ? got.text === expected.text && got.raised === expected.raised
      : got.raised !== undefined;
  return isSame ? undefined : `got ${JSON.stringify(got)} but Python gives ${JSON.stringify(expected)}`;
}
