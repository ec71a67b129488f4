"""Measures a trained pair: perplexities, acceptance of the draft's tokens, sparsity of the verifier's attention."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from llama import Llama

WINDOWS_A_BOOK = 8
NUCLEUS = 0.95
# Sparsity is measured at every ROW_STEP-th row of a window's second half.
ROW_STEP = 64


def _window(book: np.ndarray, start: int, length: int, device: str) -> Tensor:
    return torch.from_numpy(book[start : start + length].astype(np.int64))[None].to(device)


@torch.no_grad()
def nucleus_shares(model: Llama, ids: Tensor) -> list[float]:
    """For each layer the mean share of visible keys that hold 95% of the attention, itself the mean over heads."""
    length = ids.shape[1]
    cos, sin = model.cos[:length], model.sin[:length]
    positions = torch.arange(length // 2, length, ROW_STEP, device=ids.device)
    hidden = torch.arange(length, device=ids.device)[None, :] > positions[:, None]
    x = model.embed_tokens(ids)
    shares = []
    for layer in model.layers:
        q, k, _ = layer.self_attn.qkv(layer.input_layernorm(x), cos, sin)
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        scores = (q[:, :, length // 2 :: ROW_STEP] @ k.transpose(-1, -2)) / math.sqrt(layer.self_attn.head_dim)
        weights = scores.masked_fill(hidden, -1e30).softmax(-1).mean(1)[0]
        ordered = weights.sort(-1, descending=True).values
        needed = ((ordered.cumsum(-1) - ordered) < NUCLEUS).sum(-1)
        shares.append((needed / (positions + 1)).mean().item())
        x = layer(x, cos, sin)
    return shares


@torch.no_grad()
def evaluate(verifier: Llama, draft: Llama, books: list[np.ndarray], length: int, device: str) -> dict:
    """Measures the pair on the first windows of `length` tokens of each held-out book.

    `expected_acceptance` is the mean over positions of sum(min(p, q)); p and q are the models' next-token distributions.
    """
    verifier_loss = draft_loss = agreed = accepted = 0.0
    tokens = 0
    shares: list[list[float]] = []
    for book in books:
        for start in range(0, min(len(book) - length - 1, WINDOWS_A_BOOK * length), length):
            ids = _window(book, start, length + 1, device)
            x, y = ids[:, :-1], ids[0, 1:]
            with torch.autocast(device, torch.bfloat16):
                p, q = verifier(x).float()[0], draft(x).float()[0]
            verifier_loss += F.cross_entropy(p, y, reduction="sum").item()
            draft_loss += F.cross_entropy(q, y, reduction="sum").item()
            agreed += (p.argmax(-1) == q.argmax(-1)).sum().item()
            accepted += torch.minimum(p.softmax(-1), q.softmax(-1)).sum().item()
            tokens += length
        if len(book) >= length:
            shares.append(nucleus_shares(verifier, _window(book, 0, length, device)))
    if tokens == 0:
        raise SystemExit(f"a held-out book must have more than {length + 1} tokens but none has")
    return dict(
        tokens=tokens,
        verifier_ppl=math.exp(verifier_loss / tokens),
        draft_ppl=math.exp(draft_loss / tokens),
        greedy_agreement=agreed / tokens,
        expected_acceptance=accepted / tokens,
        oracle_keep_p95_by_layer=[round(float(share), 3) for share in np.mean(shares, axis=0)],
    )
