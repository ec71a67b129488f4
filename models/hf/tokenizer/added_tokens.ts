/** Added tokens: those that are found in the text itself, before the model encodes what is between them. */
import {SPACE, WORD_CLASS} from './pattern.js';
import type {Vocabulary} from './vocabulary.js';
import type {Normalizer} from './normalizers.js';

export interface AddedToken {
  content: string;
  /** It has no text when ids are decoded. */
  special: boolean;
  /** It is found in the normalised text, in its own normalised form. */
  normalized: boolean;
  /** It is found only where no word goes on before or after it. */
  single_word: boolean;
  /** It takes the white space before it. */
  lstrip: boolean;
  /** It takes the white space after it. */
  rstrip: boolean;
}

/** A part of a text: an added token's id, or text; and whether it begins where the text begins. */
export interface Section {
  id?: number;
  text: string;
  first: boolean;
}

const WORD = new RegExp(`[${WORD_CLASS}]`, 'u');

/** A node of a trie by UTF-16 code unit, with the id of the token that ends there. */
interface Node {
  next: Map<number, Node>;
  id?: number;
}

export class AddedTokens {
  private readonly ids = new Map<string, number>();
  private readonly tokens = new Map<number, AddedToken>();
  /** The normalised forms of tokens, by id, where the form differs from the token. Decoders undo the normalisation. */
  private readonly normalForms = new Map<number, string>();
  private readonly specialContents = new Set<string>();
  /** What is searched for in the text as it is, and in the normalised text. */
  private tries: readonly [plain: Node, normalized: Node] = [{next: new Map()}, {next: new Map()}];

  /** @param normalizer the tokenizer's, if it has one */
  constructor(
    private readonly vocabulary: Vocabulary,
    private readonly normalizer: Normalizer | undefined,
  ) {}

  /**
   * Adds tokens. As in Hugging Face's tokenizers, a token that is known already keeps its id and gets the new
   * properties; one that is not gets the next free id, whatever id its file says.
   */
  add(tokens: Iterable<AddedToken>): void {
    const size = this.vocabulary.ids.size;
    let next = size;
    for (const id of this.tokens.keys()) if (id >= next) next = id + 1;
    for (const token of tokens) {
      if (token.content === '') continue;
      let id = this.idOf(token.content);
      if (id === undefined) id = next++;
      if (token.normalized && this.normalizer) {
        const form = this.normalizer(token.content);
        if (form !== token.content) this.normalForms.set(id, form);
      }
      this.ids.set(token.content, id);
      this.tokens.set(id, token);
      if (token.special) this.specialContents.add(token.content);
    }
    const plain: Node = {next: new Map()};
    const normalized: Node = {next: new Map()};
    for (const [id, token] of this.tokens) {
      if (token.normalized) insert(normalized, this.normalForms.get(id) ?? token.content, id);
      else insert(plain, token.content, id);
    }
    this.tries = [plain, normalized];
  }

  idOf(content: string): number | undefined {
    return this.ids.get(content) ?? this.vocabulary.ids.get(content);
  }

  /** The token's text as it stands in vocabularies. */
  contentOf(id: number): string | undefined {
    return this.tokens.get(id)?.content ?? this.vocabulary.tokens.get(id);
  }

  /** The token as decoders take it. */
  formOf(id: number): string | undefined {
    return this.normalForms.get(id) ?? this.contentOf(id);
  }

  isSpecial(id: number): boolean {
    const form = this.formOf(id);
    return form !== undefined && this.specialContents.has(form);
  }

  /** All ids of added tokens. */
  all(): Iterable<number> {
    return this.tokens.keys();
  }

  /** Finds the added tokens of a text and normalises what is between them. */
  extract(text: string): Section[] {
    const [plain, normalized] = this.tries;
    const sections = this.find(plain, {text, first: true});
    return sections.flatMap((section) =>
      section.id !== undefined
        ? [section]
        : this.find(normalized, {...section, text: this.normalizer?.(section.text) ?? section.text}),
    );
  }

  /** Splits at the tokens of a trie; of those that begin at one place the longest counts. */
  private find(trie: Node, {text, first}: Section): Section[] {
    const sections: Section[] = [];
    let done = 0;
    const pushText = (end: number) => {
      if (end > done) sections.push({text: text.slice(done, end), first: first && done === 0});
    };
    for (let at = 0; at < text.length && trie.next.size > 0;) {
      const match = longestMatch(trie, text, at);
      if (!match) {
        at++;
        continue;
      }
      const {id} = match;
      const token = this.tokens.get(id)!;
      let [start, end] = [at, match.end];
      at = end;
      if (token.single_word && (endsWithWord(text, start) || startsWithWord(text, end))) continue;
      if (token.lstrip) while (start > done && SPACE.test(text[start - 1])) start--;
      if (token.rstrip) while (end < text.length && SPACE.test(text[end])) end++;
      pushText(start);
      sections.push({id, text: text.slice(start, end), first: false});
      done = end;
    }
    pushText(text.length);
    return sections;
  }
}

function insert(trie: Node, content: string, id: number): void {
  let node = trie;
  for (let i = 0; i < content.length; i++) {
    const unit = content.charCodeAt(i);
    let child = node.next.get(unit);
    if (!child) node.next.set(unit, (child = {next: new Map()}));
    node = child;
  }
  if (node !== trie) node.id = id;
}

function longestMatch(trie: Node, text: string, start: number): {id: number; end: number} | undefined {
  let match: {id: number; end: number} | undefined;
  let node = trie.next.get(text.charCodeAt(start));
  for (let end = start + 1; node; node = node.next.get(text.charCodeAt(end++)))
    if (node.id !== undefined) match = {id: node.id, end};
  return match;
}

function endsWithWord(text: string, end: number): boolean {
  const last = [...text.slice(Math.max(0, end - 2), end)].at(-1);
  return last !== undefined && WORD.test(last);
}

function startsWithWord(text: string, start: number): boolean {
  const [next] = text.slice(start, start + 2);
  return next !== undefined && WORD.test(String.fromCodePoint(text.codePointAt(start)!));
}
