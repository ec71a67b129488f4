"""Writes test/data/tokenizers: small tokenizers of the kinds that Llama-like models have, with the ids and texts that
Hugging Face's tokenizers and transformers give.

    pip install -r requirements.txt sentencepiece
    python make_tokenizers.py            writes everything again
    python make_tokenizers.py --digests  writes everything but the tokenizers again
    python make_tokenizers.py --folders  writes only folders.json again

NAME/            a folder with a tokenizer.json
alphabet.json    what made-up texts consist of
cases.json       by kind of tokenizer, some texts with their ids and texts of ids
digests.bin      by kind, checksums of TEXTS made-up texts: uint32, little-endian, one for each BLOCK texts
folders.json     folders with tokenizer_config.json and special_tokens_map.json, and what transformers makes of them
"""
import json
import os
import shutil
import sys
import tempfile
import unicodedata
import zlib

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Regex

HERE = os.path.dirname(os.path.abspath(__file__))
TEST = os.path.join(HERE, '..', '..', 'test')
OUT = os.path.join(TEST, 'data', 'tokenizers')
TEXTS = 20_000
BLOCK = 8
CASES = 40

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PIECES = [
    'a', 'b', ' ', '  ', '   ', '\n', '\n\n', '\r\n', '\t', ' \n ', '\u0085', '\u00a0', '\u3000', '\ufeff', '\u200b', '\u200d', '\u2028',
    '0', '12', '345', '6789', '½', '²', 'Ⅷ', '①', '٣', '१', "'s", "'S", "'ll", "'LL", "'ſ", "n't", "'", '’', '"', '.', ',', '!', '?', ' .',
    '...', '-', '_', '__', '#', '@', '$', '+', '<', '>', '|', '/', '\\', '(', ')', '[', ']', '{', '}', '~', '`', '^', '=', '*', '&', '%',
    'the', ' the', 'The', ' and', 'word', ' word', 'WORD', 'NASA', 'New York', ' New York', 'Été', 'été', 'e\u0301', 'é', 'ﬁ', 'Σ', 'ΣΑΣ',
    'İ', 'ß', 'ſ', '\u212a', 'Ａ', 'ｱ', 'ｶ\uff9e', '你好', '世界。', 'いろ', 'カ', '한국', '\u1112\u1161\u11ab', 'привет', 'Ё', 'سلام', 'שָׁ',
    'ภาษา', 'नमस्ते', '🦙', '👩\u200d🚀', '🇩🇪', '👍🏽', '\U0001f9d1', '\ufffd', '\u0000', '\u0001', '\u007f', '\u00ad', '▁', '▁▁', '<0x41>',
    '<0xE2>', 'Ġ', 'Ċ', 'x', 'tt', 'aeiou', '##ing', '@@a', '</w>', ' do not', 'return', 'def f(x):', '    ',
    ]
OTHER_LANGUAGES = [
    'Der schnelle braune Fuchs springt über den faulen Hund, nicht wahr?', "L'été dernier, où étiez-vous? Ça va, garçon.",
    'Съешь же ещё этих мягких французских булок, да выпей чаю.', '我能吞下玻璃而不伤身体。今天是2024年3月15日。',
    'いろはにほへと ちりぬるを。カタカナも少し。', '나는 유리를 먹을 수 있어요.', 'Το καφέ ΣΟΦΟΣ σοφός.',
    'نص عربي قصير 123.', 'שלום עולם', 'ภาษาไทยง่าย', 'def f(x):\n\treturn x * 2  # 10,000 + 3.14\n', '{"a": [1, 2.5, null]}',
]


def corpus():
    lines = []
    for i in (1, 2, 3):
        with open(os.path.join(TEST, 'data', f'passage_{i}.txt'), encoding='utf-8') as file:
            lines += file.read().split('\n')
    return lines[:4000] + OTHER_LANGUAGES * 20 + neighbours()


def neighbours():
    """Texts of every two short pieces beside each other, so that there are tokens across all places where a
    pre-tokenizer may cut: without these a wrong cut would go unnoticed."""
    short = [piece for piece in PIECES if len(piece) <= 2]
    return [a + b for a in short for b in short] * 4


def special(content, **properties):
    return AddedToken(content, **{'special': True, 'normalized': False, **properties})


def plain(content, **properties):
    return AddedToken(content, **{'special': False, 'normalized': True, **properties})


def train(tokenizer, trainer):
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def byte_level(pre_tokenizer, normalizer=None, size=1800, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if normalizer:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    train(tokenizer, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False, max_token_length=12))
    tokenizer.pre_tokenizer = pre_tokenizer
    if ignore_merges:
        tokenizer = changed(tokenizer, lambda model: model.update(ignore_merges=True))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def changed(tokenizer, change):
    """The tokenizer with its model's JSON changed."""
    parts = json.loads(tokenizer.to_str())
    change(parts['model'])
    return Tokenizer.from_str(json.dumps(parts))


def sentence_piece(size=1500, **options):
    """BPE over words that begin with ▁, with tokens for bytes."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    train(trained, trainers.BpeTrainer(vocab_size=size, show_progress=False, limit_alphabet=250, max_token_length=12))
    model = json.loads(trained.to_str())['model']
    tokens = ['<unk>', '<s>', '</s>'] + [f'<0x{byte:02X}>' for byte in range(256)]
    tokens += [token for token in model['vocab'] if token not in tokens]
    tokenizer = Tokenizer(models.BPE(
        vocab={token: i for i, token in enumerate(tokens)}, merges=[tuple(merge) for merge in model['merges']],
        unk_token='<unk>', fuse_unk=True, byte_fallback=True, **options))
    tokenizer.add_special_tokens([special('<unk>'), special('<s>'), special('</s>')])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(' ', 1, 0)])
    return tokenizer


def begin_with(tokenizer, token):
    return processors.TemplateProcessing(
        single=f'{token} $A', pair=f'{token} $A {token} $B', special_tokens=[(token, tokenizer.token_to_id(token))])


def llama2():
    tokenizer = sentence_piece()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')])
    tokenizer.post_processor = begin_with(tokenizer, '<s>')
    tokenizer.add_tokens([plain('<tool>'), plain('</tool>'), plain('New York', single_word=True)])
    tokenizer.add_special_tokens([special('[INST]', lstrip=True), special('[/INST]', rstrip=True)])
    return tokenizer


def mistral():
    tokenizer = sentence_piece()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='first', split=False)
    tokenizer.post_processor = begin_with(tokenizer, '<s>')
    tokenizer.add_special_tokens([special('[INST]'), special('[/INST]')])
    tokenizer.add_tokens([plain('<tool>', lstrip=True, rstrip=True)])
    return tokenizer


def gemma():
    tokenizer = sentence_piece()
    tokenizer.normalizer = normalizers.Replace(' ', '▁')
    tokenizer.pre_tokenizer = pre_tokenizers.Split(' ', 'merged_with_previous')
    tokenizer.post_processor = begin_with(tokenizer, '<s>')
    tokenizer.decoder = decoders.Sequence([decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([plain('\n' * n, normalized=False) for n in (2, 3, 4)])
    tokenizer.add_tokens([plain('▁' * n, normalized=False) for n in (2, 3, 4)])
    tokenizer.add_special_tokens([special('[INST]', single_word=True)])
    return tokenizer


def llama3():
    cut = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), 'isolated'), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(cut, ignore_merges=True)
    tokenizer.add_special_tokens([special(f'<|{name}|>') for name in (
        'begin_of_text', 'end_of_text', 'eot_id', 'start_header_id', 'end_header_id')])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False), begin_with(tokenizer, '<|begin_of_text|>')])
    return tokenizer


def smollm():
    cut = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer = byte_level(cut)
    tokenizer.add_special_tokens([special('<|endoftext|>'), special('<|im_start|>'), special('<|im_end|>')])
    return tokenizer


def qwen():
    cut = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN), 'isolated'), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(cut, normalizers.NFC())
    tokenizer.add_special_tokens([special('<|endoftext|>'), special('<|im_start|>'), special('<|im_end|>')])
    tokenizer.add_tokens([plain('<think>', normalized=False), plain('</think>', normalized=False)])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False)
    return tokenizer


def tekken():
    cut = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(TEKKEN), 'isolated'), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(cut, ignore_merges=True)
    tokenizer.add_special_tokens([special('<s>'), special('</s>'), special('[INST]'), special('[/INST]')])
    tokenizer.post_processor = begin_with(tokenizer, '<s>')
    return tokenizer


def deepseek():
    cut = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex('[\r\n]'), 'isolated'), pre_tokenizers.Split(Regex(r'\s?\p{L}+'), 'isolated'),
        pre_tokenizers.Split(Regex(r'\s?\p{P}+'), 'isolated'), pre_tokenizers.Split(Regex('[一-龥ࠀ-一가-퟿]+'), 'isolated'),
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(cut, normalizers.Sequence([]))
    tokenizer.add_special_tokens([special('<｜begin▁of▁sentence｜>', normalized=True), special('<｜end▁of▁sentence｜>')])
    tokenizer.post_processor = begin_with(tokenizer, '<｜begin▁of▁sentence｜>')
    return tokenizer


def deepseek3():
    cut = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r'\p{N}{1,3}'), 'isolated'), pre_tokenizers.Split(Regex('[一-龥぀-ゟ゠-ヿ]+'), 'isolated'),
        pre_tokenizers.Split(Regex(DEEPSEEK3), 'isolated'), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(cut)
    tokenizer.add_special_tokens([special('<｜User｜>'), special('<｜Assistant｜>')])
    tokenizer.add_tokens([plain('<think>', normalized=False, lstrip=True, rstrip=True)])
    return tokenizer


def bytes_with_regex():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.add_special_tokens([special('<s>'), special('</s>'), special('<mask>', lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ('</s>', tokenizer.token_to_id('</s>')), ('<s>', tokenizer.token_to_id('<s>')), add_prefix_space=True)
    return tokenizer


def bytes_without_regex():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    tokenizer.add_special_tokens([special('<s>'), special('</s>', rstrip=True)])
    tokenizer.add_tokens([plain('word', single_word=True), plain('WORD', lstrip=True)])
    return tokenizer


def character_map():
    """A small precompiled map of SentencePiece."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as proto
    with tempfile.TemporaryDirectory() as folder:
        rules = os.path.join(folder, 'rules.tsv')
        with open(rules, 'w') as file:
            for source, target in [('½', '1/2'), ('ﬁ', 'fi'), ('²', '2'), ('①', '1'), ('\u00a0', ' '), ('\u3000', ' '), ('é', 'e'),
                                   ('e\u0301', 'é'), ('\u200b', ' '), ('Ａ', 'A'), ('ｱ', 'ア'), ('ｶ\uff9e', 'ガ'), ('\u0001', '')]:
                file.write(' '.join(f'{ord(c):X}' for c in source) + '\t' + ' '.join(f'{ord(c):X}' for c in target) + '\n')
        text = os.path.join(folder, 'text.txt')
        with open(text, 'w') as file:
            file.write('\n'.join(corpus()[:500]))
        sentencepiece.SentencePieceTrainer.train(
            input=text, model_prefix=os.path.join(folder, 'm'), vocab_size=300, normalization_rule_tsv=rules, minloglevel=2,
            hard_vocab_limit=False, character_coverage=0.98)
        model = proto.ModelProto()
        with open(os.path.join(folder, 'm.model'), 'rb') as file:
            model.ParseFromString(file.read())
        return model.normalizer_spec.precompiled_charsmap


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    train(tokenizer, trainers.UnigramTrainer(
        vocab_size=500, show_progress=False, unk_token='<unk>', special_tokens=['<pad>', '</s>', '<unk>']))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Precompiled(character_map()), normalizers.Replace(Regex(' {2,}'), ' ')])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single='$A </s>', pair='$A </s> $B </s>', special_tokens=[('</s>', tokenizer.token_to_id('</s>'))])
    return tokenizer


def unigram_with_bytes():
    tokenizer = unigram()
    vocab = json.loads(tokenizer.to_str())['model']['vocab'] + [[f'<0x{byte:02X}>', -20.0] for byte in range(256)]
    tokenizer = changed(tokenizer, lambda model: model.update(vocab=vocab, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token='[UNK]', max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    train(tokenizer, trainers.WordPieceTrainer(
        vocab_size=600, show_progress=False, special_tokens=['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(
        ('[SEP]', tokenizer.token_to_id('[SEP]')), ('[CLS]', tokenizer.token_to_id('[CLS]')))
    return tokenizer


def odd_parts():
    """Parts that Llama-like models rarely have."""
    tokenizer = Tokenizer(models.BPE(unk_token='[UNK]', end_of_word_suffix='</w>', continuing_subword_prefix='@@', fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Strip(), normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(),
        normalizers.Replace(Regex(r'\d+'), '0$1')])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation('contiguous'), pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex('[aeiou]'), 'merged_with_next'), pre_tokenizers.Split(Regex('t+'), 'merged_with_previous', invert=True),
        pre_tokenizers.CharDelimiterSplit('x')])
    train(tokenizer, trainers.BpeTrainer(
        vocab_size=400, show_progress=False, special_tokens=['[UNK]'], limit_alphabet=60, end_of_word_suffix='</w>',
        continuing_subword_prefix='@@'))
    tokenizer.decoder = decoders.BPEDecoder(suffix='</w>')
    tokenizer.add_tokens([plain('Été'), plain('NASA', single_word=True)])
    return tokenizer


KINDS = [llama2, mistral, gemma, llama3, smollm, qwen, tekken, deepseek, deepseek3, bytes_with_regex, bytes_without_regex,
         unigram, unigram_with_bytes, word_piece, odd_parts]


def alphabet(tokenizers):
    """Fragments of texts, and ranges of code points that every Unicode since 3.2 has."""
    pieces = set(PIECES)
    for tokenizer in tokenizers:
        for token in tokenizer.get_added_tokens_decoder().values():
            pieces |= {token.content, ' ' + token.content + ' '}
    old = unicodedata.ucd_3_2_0
    ranges = []
    for code in range(0x20, 0x30000):
        # Code points whose category has changed since, or that the references know by different versions, are left out.
        if old.category(chr(code)) in ('Cn', 'Cs', 'Co') or old.category(chr(code)) != unicodedata.category(chr(code)):
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return {'pieces': sorted(pieces), 'ranges': ranges}


class Random:
    """Marsaglia's xorshift32, which test/models/tokenizer_kinds.ts repeats."""

    def __init__(self, seed):
        self.state = (seed * 2654435761 + 1) & 0xFFFFFFFF

    def below(self, most):
        x = self.state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        self.state = x
        return x % most


def made_up(index, letters, size):
    """Text and ids number `index`. The ids are for decoding."""
    draw = Random(index)
    for _ in range(4):
        draw.below(2)
    text = ''
    for _ in range(draw.below(14)):
        if draw.below(5) == 0:
            low, high = letters['ranges'][draw.below(len(letters['ranges']))]
            text += chr(low + draw.below(high - low + 1))
        else:
            text += letters['pieces'][draw.below(len(letters['pieces']))]
    # Many ids are low, because byte tokens and special tokens are among the first.
    most = [size + 2, 259, 40][draw.below(3)]
    ids = [draw.below(most) for _ in range(1 + draw.below(12))]
    return text, ids


def answer(tokenizer, text, ids):
    encoded = tokenizer.encode(text).ids
    return encoded, tokenizer.decode(encoded), tokenizer.decode(ids)


def flags(content, **properties):
    """An added token as JSON files have it."""
    return {'content': content, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True,
            **properties}


def folders():
    """Files beside llama2's or llama3's tokenizer.json, and what transformers makes of texts with them."""
    import transformers
    transformers.logging.set_verbosity_error()
    texts = ['a<|new|>b', 'x <|new|> y', 'the<tool>and</tool>', ' New York <|eot_id|> <pad>word', '<s>a</s>', 'x<b> <|new|><c>y<d> z']
    variants = [
        ('llama2', {'added_tokens_decoder': {'0': flags('<unk>'), '1': flags('<s>'), '9000': flags('<|new|>')}}, None),
        ('llama2', {'added_tokens_decoder': {'9000': flags('<|new|>', lstrip=True, rstrip=True), '1761': flags('<tool>', special=True)}}, None),
        ('llama2', {'pad_token': '<pad>', 'eos_token': '</s>', 'bos_token': '<s>'}, None),
        ('llama2', {'pad_token': '<pad>'}, {'pad_token': '<|new|>', 'eos_token': flags('<b>', rstrip=True)}),
        ('llama2', {'additional_special_tokens': ['<tool>', '<c>', '<d>'], 'image_token': '<b>'}, None),
        ('llama2', {'bos_token': {'__type': 'AddedToken', **flags('<|new|>', lstrip=True)}}, None),
        ('llama2', {'pad_token': '<tool>', 'eos_token': '</tool>', 'sep_token': 'New York'}, None),
        ('llama2', {'pad_token': '<tool>', 'eos_token': '<b>', 'added_tokens_decoder': {'1760': flags('</tool>', special=False, normalized=True, lstrip=True), '1761': flags('<b>', special=False)}}, None),
        ('llama3', {'added_tokens_decoder': {'1804': flags('<b>', special=False, normalized=True), '1900': flags('<c>')}, 'eos_token': '<b>'},
         {'pad_token': '<d>'}),
        ('llama3', {'eos_token': '<|eot_id|>', 'pad_token': '<pad>', 'extra_special_tokens': ['the', '<d>']}, None),
        ('llama3', {'add_bos_token': True, 'add_eos_token': True, 'unk_token': '<|new|>'}, {'mask_token': flags('<b>', lstrip=True)}),
    ]
    made = []
    for kind, config, special_map in variants:
        config = {'tokenizer_class': 'PreTrainedTokenizerFast', **config}
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(os.path.join(OUT, kind, 'tokenizer.json'), folder)
            files = {'tokenizer_config.json': config, **({'special_tokens_map.json': special_map} if special_map else {})}
            for name, value in files.items():
                with open(os.path.join(folder, name), 'w') as file:
                    json.dump(value, file)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            answers = []
            for text in texts:
                ids = tokenizer(text)['input_ids']
                answers.append([text, ids, tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)])
            made.append({'kind': kind, 'files': files, 'eos': tokenizer.eos_token_id, 'bos': tokenizer.bos_token_id, 'answers': answers})
    return made


def write(name, value):
    with open(os.path.join(OUT, name), 'w', encoding='utf-8') as file:
        json.dump(value, file, ensure_ascii=True, separators=(',', ':'))
        file.write('\n')


def main():
    os.makedirs(OUT, exist_ok=True)
    names = [kind.__name__ for kind in KINDS]
    if '--folders' in sys.argv:
        return write('folders.json', folders())
    if '--digests' not in sys.argv:
        for kind in KINDS:
            os.makedirs(os.path.join(OUT, kind.__name__), exist_ok=True)
            write(f'{kind.__name__}/tokenizer.json', json.loads(kind().to_str()))
    tokenizers = [Tokenizer.from_file(os.path.join(OUT, name, 'tokenizer.json')) for name in names]
    letters = alphabet(tokenizers)
    write('alphabet.json', letters)
    cases, digests = {}, b''
    for name, tokenizer in zip(names, tokenizers):
        size = tokenizer.get_vocab_size()
        cases[name] = []
        lines = []
        for index in range(TEXTS):
            text, ids = made_up(index, letters, size)
            encoded, back, decoded = answer(tokenizer, text, ids)
            if index < CASES:
                cases[name].append([text, encoded, back, ids, decoded])
            lines.append(','.join(map(str, encoded)) + '\x1f' + back + '\x1f' + decoded)
            if len(lines) == BLOCK:
                digests += zlib.crc32('\x1e'.join(lines).encode()).to_bytes(4, 'little')
                lines = []
        print(name, size, flush=True)
    write('cases.json', cases)
    write('folders.json', folders())
    with open(os.path.join(OUT, 'digests.bin'), 'wb') as file:
        file.write(digests)


if __name__ == '__main__':
    main()
