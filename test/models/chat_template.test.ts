/** Tests of chat templates: those of well-known models give the expected text, and invalid ones are refused. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import {expect} from 'chai';

import {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {onBackend} from '../backends.js';
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
