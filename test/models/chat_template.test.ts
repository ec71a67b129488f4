/** Tests of chat templates: those of well-known models give the expected text, and invalid ones are refused. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import {expect} from 'chai';

import {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {onBackend} from '../backends.js';
import {CONVERSATIONS, RENDERINGS, templateOf, tokensOf} from './templates.js';
import {
  PRETRAINED,
  linkModel,
  newFolder,
  refusal,
  replaceFile,
  tinyPair,
  withModel,
} from '../decoding/models.js';

/** The template of TinyLlama-1.1B-Chat. */
const ZEPHYR =
  "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n" +
  "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n" +
  "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n" +
  "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}";
/** The template of Llama 3. */
const LLAMA3 =
  "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + " +
  "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}" +
  "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
/** The template of Llama 2, which raises an error if roles do not alternate. */
const LLAMA2 =
  "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}" +
  '{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}' +
  "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}" +
  "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}" +
  '{% if loop.index0 == 0 and system_message != false %}' +
  "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}" +
  "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}" +
  "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}" +
  "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";

const CHAT = [
  {role: 'system', content: 'Be brief.'},
  {role: 'user', content: 'Hello'},
  {role: 'assistant', content: 'Hi'},
  {role: 'user', content: 'Bye '},
];

/** A folder with the embedded tokenizer, this tokenizer_config.json and, if given, this chat_template.jinja. */
function folderWith(config: object, file?: string): string {
  const folder = newFolder();
  fs.copyFileSync(path.join(PRETRAINED, 'verifier', 'tokenizer.json'), path.join(folder, 'tokenizer.json'));
  fs.writeFileSync(path.join(folder, 'tokenizer_config.json'), JSON.stringify(config));
  if (file !== undefined) fs.writeFileSync(path.join(folder, 'chat_template.jinja'), file);
  return folder;
}

const rendered = (config: object, file?: string) =>
  LlamaTokenizer.load(folderWith(config, file)).chatTemplate?.render(CHAT);

describe('a chat template', () => {
  const tokens = {bos_token: '<s>', eos_token: {content: '</s>'}};

  it("gives TinyLlama's text", () => {
    expect(rendered({...tokens, chat_template: ZEPHYR})).to.equal(
      '<|system|>\nBe brief.</s>\n<|user|>\nHello</s>\n<|assistant|>\nHi</s>\n<|user|>\nBye </s>\n<|assistant|>\n',
    );
  });

  it("gives Llama 2's text", () => {
    expect(rendered({...tokens, chat_template: LLAMA2})).to.equal(
      '<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHello [/INST] Hi </s><s>[INST] Bye [/INST]',
    );
  });

  it("gives Llama 3's text", () => {
    const header = (role: string) => `<|start_header_id|>${role}<|end_header_id|>\n\n`;
    expect(rendered({bos_token: '<|begin_of_text|>', chat_template: LLAMA3})).to.equal(
      `<|begin_of_text|>${header('system')}Be brief.<|eot_id|>${header('user')}Hello<|eot_id|>` +
        `${header('assistant')}Hi<|eot_id|>${header('user')}Bye<|eot_id|>${header('assistant')}`,
    );
  });

  it('is chat_template.jinja, or the template in the config (the default one of several), or absent', () => {
    const several = [
      {name: 'tool_use', template: 'tools'},
      {name: 'default', template: '{{ messages | length }} messages'},
    ];
    expect(rendered({chat_template: several})).to.equal('4 messages');
    expect(rendered({chat_template: several}, "{{ messages[0]['role'] }}")).to.equal('system');
    expect(rendered({})).to.equal(undefined);
    expect(rendered({chat_template: null})).to.equal(undefined);
  });

  it("has transformers' variables: tools and documents are none, and every named token is there", () => {
    const probe =
      '{{ tools is none and documents is none and tools is defined }}{{ add_generation_prompt }}{{ sep_token }}{{ pad_token }}{{ image_token }}{{ own_token }}{{ nothing_token is defined }}';
    const config = {
      ...{sep_token: '<sep>', pad_token: {content: '<pad>'}, own_token: '<own>', nothing_token: null},
      ...{extra_special_tokens: {image_token: '<image>'}, chat_template: probe},
    };
    expect(rendered(config)).to.equal('TrueTrue<sep><pad><image><own>False');
  });

  it('has the tokens of special_tokens_map.json, unless the config has added_tokens_decoder', () => {
    const load = (config: object) => {
      const folder = folderWith({...config, chat_template: '{{ bos_token }} {{ eos_token }}'});
      const map = {bos_token: '<map>', eos_token: {content: '<|end_of_text|>'}};
      fs.writeFileSync(path.join(folder, 'special_tokens_map.json'), JSON.stringify(map));
      return LlamaTokenizer.load(folder);
    };
    const legacy = load({bos_token: '<s>'});
    expect(legacy.chatTemplate!.render(CHAT)).to.equal('<map> <|end_of_text|>');
    const end = legacy.encode('<|end_of_text|>', {addSpecialTokens: false});
    expect(end).to.have.length(1);
    expect([...legacy.eosIds]).to.deep.equal(end);
    expect(load({bos_token: '<s>', added_tokens_decoder: {}}).chatTemplate!.render(CHAT)).to.equal('<s> ');
  });

  it('names special_tokens_map.json where that is wrong', () => {
    const folder = folderWith({});
    fs.writeFileSync(path.join(folder, 'special_tokens_map.json'), '{"eos_token": 7}');
    expect(() => LlamaTokenizer.load(folder)).to.throw(
      /special_tokens_map\.json: eos_token must be a token but is 7$/,
    );
  });

  it('reads the line ends of a file as Jinja2 does, and refuses one that is not UTF-8', () => {
    const template = '{% for m in messages %}\r\n{{ m.role }}\r{% endfor %}\r\nend\r\n\r\n';
    expect(rendered({}, template)).to.equal('system\nuser\nassistant\nuser\nend\n');
    const folder = folderWith({}, '');
    fs.writeFileSync(path.join(folder, 'chat_template.jinja'), Uint8Array.of(0x61, 0xff));
    expect(() => LlamaTokenizer.load(folder)).to.throw(/chat_template\.jinja: must be a template in UTF-8: /);
  });

  it('takes content as a list of parts where the template does, and refuses it where it would be written', () => {
    const lists = CONVERSATIONS.filter((messages) =>
      messages.some(({content}) => typeof content !== 'string'),
    );
    let written = 0;
    for (const {template, conversation, text} of RENDERINGS) {
      const source = templateOf(template);
      const messages = CONVERSATIONS[conversation];
      if (!lists.includes(messages) || text === undefined || source.includes('strftime_now')) continue;
      const folder = folderWith(tokensOf(template), source);
      const render = () => LlamaTokenizer.load(folder).chatTemplate!.render(messages);
      if (!text.includes("[{'type': 'text'")) {
        expect(render(), template).to.equal(text);
        continue;
      }
      written++;
      expect(render, template).to.throw(
        'does not take these messages: it takes content as a text, not as a list',
      );
    }
    expect(written).to.be.at.least(3);
    expect(lists).to.have.length(2);
  });

  it('is refused with the name of its file and field', () => {
    const load = (config: object) => () => LlamaTokenizer.load(folderWith(config));
    expect(load({chat_template: 7})).to.throw(
      /tokenizer_config\.json: chat_template must be a template, or a list of \{name, template\} but is 7$/,
    );
    expect(load({chat_template: [{name: 'rag', template: ''}]})).to.throw(
      /tokenizer_config\.json: chat_template must be a list with a template named 'default' but is /,
    );
    // A template is parsed when it is used, so that a model whose template is for another engine can still continue texts.
    expect(() => rendered({chat_template: '{% for %}'})).to.throw(
      /tokenizer_config\.json: chat_template does not take these messages: /,
    );
    const alternating = LlamaTokenizer.load(folderWith({...tokens, chat_template: LLAMA2}));
    expect(() => alternating.chatTemplate!.render([CHAT[1], CHAT[1]])).to.throw(
      'does not take these messages: Conversation roles must alternate',
    );
  });
});

onBackend('specattn', 'messages', () => {
  const options = {maxNewTokens: 6, gamma: 2, verification: 'dense', draft: true} as const;

  it('are answered like their rendered text, in which only the template adds special tokens', async () => {
    const pair = tinyPair();
    const verifier = linkModel(pair.verifier);
    const config = JSON.parse(fs.readFileSync(path.join(verifier, 'tokenizer_config.json'), 'utf8')) as {
      bos_token: string;
    };
    const chat_template = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}";
    replaceFile(verifier, 'tokenizer_config.json', JSON.stringify({...config, chat_template}));
    await withModel({...pair, verifier}, async (lm) => {
      const text = await lm.generate('It was a dark', options);
      const answer = await lm.generate(
        [
          {role: 'system', content: 'It was'},
          {role: 'user', content: ' a dark'},
        ],
        options,
      );
      expect(answer.tokens).to.deep.equal(text.tokens);
      expect(answer.stats.promptTokens).to.equal(text.stats.promptTokens);
    });
  });

  it('are answered alike with content as a text and as a list of parts', async () => {
    const pair = tinyPair();
    const verifier = linkModel(pair.verifier);
    const config = JSON.parse(
      fs.readFileSync(path.join(verifier, 'tokenizer_config.json'), 'utf8'),
    ) as object;
    const chat_template =
      '{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}';
    replaceFile(verifier, 'tokenizer_config.json', JSON.stringify({...config, chat_template}));
    await withModel({...pair, verifier}, async (lm) => {
      const parts = ['It was', ' a dark'].map((text) => ({type: 'text' as const, text}));
      const text = await lm.generate([{role: 'user', content: 'It was a dark'}], options);
      const list = await lm.generate([{role: 'user', content: parts}], options);
      expect(list.tokens).to.deep.equal(text.tokens);
      for (const [content, what] of [
        [[], 'is []'],
        [[{type: 'image', url: 'x'}], 'one is {"type":"image","url":"x"}'],
        [['Hello'], 'one is "Hello"'],
      ] as const)
        expect(await refusal(() => lm.generate([{role: 'user', content}] as never, options))).to.equal(
          `[generate] content of a message must be a list of one or more, each {type: 'text', text}, but ${what}`,
        );
    });
  });

  it('are refused if there is no template or if they are not messages', () =>
    withModel(tinyPair(), async (lm) => {
      const user = {role: 'user', content: 'Hello'};
      expect(await refusal(() => lm.generate([user], options))).to.match(
        /^\[generate\] prompt must be a text, not messages: .* has no chat template \(chat_template\.jinja, or chat_template in tokenizer_config\.json\)$/,
      );
      for (const [prompt, what] of [
        [[], 'is []'],
        [[user, {role: 'user'}], 'one is {"role":"user"}'],
        [['Hello'], 'one is "Hello"'],
      ] as const)
        expect(await refusal(() => lm.generate(prompt as never, options))).to.equal(
          `[generate] prompt must be a list of one or more, each {role, content}, but ${what}`,
        );
    }));
});
