/** Chat templates against Python's Jinja2 as transformers sets it up: those of well-known models, and made-up ones. */
import {expect} from 'chai';

import {strftime} from '../../models/hf/jinja/python/strftime.js';
import {Template} from '../../models/hf/jinja/template.js';
import {
  CONVERSATIONS,
  FIXED,
  MADE_UP,
  MADE_UP_VARIABLES,
  MODELS,
  RENDERINGS,
  TIMES,
  difference,
  rendering,
  templateOf,
  tokensOf,
} from './templates.js';

describe('chat templates of models', () => {
  it('are 30 or more, each with every conversation', () => {
    expect(MODELS.length).to.be.at.least(30);
    expect(RENDERINGS.length).to.equal(MODELS.length * CONVERSATIONS.length);
  });

  for (const model of MODELS)
    it(`${model}: as transformers renders it`, () => {
      for (const {conversation, ...expected} of RENDERINGS.filter(({template}) => template === model)) {
        const given = {...FIXED, ...tokensOf(model), messages: CONVERSATIONS[conversation]};
        expect(
          difference(rendering(templateOf(model), given), expected),
          JSON.stringify(CONVERSATIONS[conversation]),
        ).to.equal(undefined);
      }
    });

  it('are the same with the line ends of Windows', () => {
    for (const {template, conversation, ...expected} of RENDERINGS) {
      const given = {...FIXED, ...tokensOf(template), messages: CONVERSATIONS[conversation]};
      const windows = templateOf(template).replaceAll('\n', '\r\n');
      expect(difference(rendering(windows, given), expected), template).to.equal(undefined);
    }
  });
});

describe('Jinja', () => {
  it(`gives what Python's Jinja2 gives for ${MADE_UP.length} made-up templates`, () => {
    for (const {template, ...expected} of MADE_UP)
      expect(difference(rendering(template, MADE_UP_VARIABLES), expected), template).to.equal(undefined);
  });

  it('writes times as Python does', () => {
    for (const {time, format, text} of TIMES) {
      const [year, month, day, hour, minute, second] = time;
      const date = new Date(year, month - 1, day, hour, minute, second);
      expect(strftime(date, format), `${format} of ${date.toISOString()}`).to.equal(text);
    }
    expect(strftime(new Date(1_700_000_000_000), '%s')).to.equal('1700000000');
  });

  it('refuses by name what it cannot do as Jinja2 does', () => {
    for (const [template, message] of [
      ["{{ 'a' | random }}", "line 1: the filter 'random' is not supported"],
      ['\n{{ messages | pprint }}', "line 2: the filter 'pprint' is not supported"],
      [
        "{{ ('<' | safe) + '<' }}",
        "line 1: the filter 'safe' is supported only as the last one of an output",
      ],
      ["{{ ['a'] | map('e') | list }}", "line 1: the filter 'e' is not supported in map"],
      ["{{ 'a'.encode('utf-8') }}", "the method 'encode' is not supported"],
      ["{% include 'a' %}", 'line 1: {% include %} needs another file, which a chat template has not'],
      ['{% autoescape true %}{% endautoescape %}', 'line 1: {% autoescape %} is not supported'],
      ['{{ lipsum() }}', "line 1: 'lipsum' is not supported"],
      [
        '{% if a %}',
        'line 1: unexpected the end of the template: the tag {% elif %} or {% else %} or {% endif %} is missing',
      ],
      ['{{ "\\N{BULLET}" }}', 'line 1: the escape \\N in a string is unknown'],
    ] as const)
      expect(() => new Template(template), template).to.throw(message);
    expect(rendering('{{ messages.items }}', {messages: {}})).to.deep.equal({
      raised: 'a function cannot be written as text',
    });
  });

  it('ends templates that would fill memory or the stack', () => {
    for (const template of [
      '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}',
      `{{ ${'('.repeat(100_000)} }}`,
      `{{ ${'not '.repeat(100_000)} 1 }}`,
      "{{ 'x' * 10000000000 }}",
      '{{ [0] * 10000000000 }}',
      '{{ 9 ** (9 ** 9) }}',
      '{{ 2 ** 100000 }}',
      "{{ '%999999999d' % 1 }}",
      "{{ '{:999999999}'.format(1) }}",
      '{{ range(10 ** 9) | list }}',
    ])
      expect(rendering(template, {}).raised, template.slice(0, 60)).to.be.a('string');
  });
});
