"""The tokenizer of the pair, and books as arrays of token ids."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCABULARY = 4096
BOS, EOS = 0, 1
BOS_TOKEN, EOS_TOKEN = "<|begin_of_text|>", "<|end_of_text|>"
# The tokenizer is trained on a sample of the corpus, which is enough for its small vocabulary.
SAMPLE_CHARACTERS = 60_000_000
SAMPLE_CHARACTERS_A_BOOK = 400_000


def _sample(corpus: Path) -> Iterator[str]:
    files = sorted(map(str, (corpus / "train").glob("*.txt")))
    np.random.default_rng(0).shuffle(files)
    taken = 0
    for file in files:
        text = Path(file).read_text(encoding="utf8")[:SAMPLE_CHARACTERS_A_BOOK]
        taken += len(text)
        yield text
        if taken > SAMPLE_CHARACTERS:
            return


def train_tokenizer(corpus: Path) -> Tokenizer:
    """Trains a byte-level BPE tokenizer. Its post-processor puts BOS in front of a text."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS_TOKEN, EOS_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample(corpus), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS_TOKEN} $A", special_tokens=[(BOS_TOKEN, BOS)]
    )
    return tokenizer


def load_tokenizer(corpus: Path, file: Path) -> Tokenizer:
    """The tokenizer in `file`. If the file does not exist, the tokenizer is trained and written there first."""
    if file.exists():
        return Tokenizer.from_file(str(file))
    tokenizer = train_tokenizer(corpus)
    tokenizer.save(str(file))
    return tokenizer


def tokenize(corpus: Path, split: str, tokenizer: Tokenizer) -> list[np.ndarray]:
    """Every book of a split (train or test) as ids, with BOS first and EOS last."""
    files = sorted((corpus / split).glob("*.txt"))
    if not files:
        raise SystemExit(f"{corpus / split} must hold books as .txt files but holds none")
    books: list[np.ndarray] = []
    for i in range(0, len(files), 64):
        texts = [file.read_text(encoding="utf8") for file in files[i : i + 64]]
        books += [np.asarray(e.ids + [EOS], dtype=np.uint16) for e in tokenizer.encode_batch(texts)]
    return books


def load_training_stream(corpus: Path, cache: Path, tokenizer: Tokenizer) -> np.ndarray:
    """The ids of all training books, one book after the other. They are kept in `cache` because tokenizing takes minutes."""
    if cache.exists():
        return np.load(cache)
    stream = np.concatenate(tokenize(corpus, "train", tokenizer))
    np.save(cache, stream)
    return stream
