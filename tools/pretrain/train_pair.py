"""Trains the embedded verifier and draft: two small Llamas on long public-domain books.

The verifier learns from the text. The draft then learns mostly from the verifier's next-token distributions and a little
from the text, so that the verifier accepts more of its tokens. Both models are written as Hugging Face LlamaForCausalLM
folders in bfloat16.

CORPUS has two folders, train/ and test/ (held out), with one .txt file for each book. OUT also keeps the tokenizer and
the tokenized corpus for later runs. Progress is printed as one line of JSON every 50 steps.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from corpus import BOS, BOS_TOKEN, EOS, EOS_TOKEN, VOCABULARY, load_tokenizer, load_training_stream, tokenize
from evaluate import evaluate
from llama import Llama, Shape

SHAPES = {
    "verifier": Shape(320, 896, num_hidden_layers=8, num_attention_heads=5, num_key_value_heads=5),
    "draft": Shape(160, 448, num_hidden_layers=4, num_attention_heads=5, num_key_value_heads=1),
}
WARM_UP_STEPS = 100
# The clock starts after these steps, because the model is compiled during them.
UNTIMED_STEPS = 10
# The learning rate falls linearly after this share of the time, to no less than this share of its value.
DECAY_FROM, LEAST_RATE = 0.6, 0.02
DISTILLATION = 0.9  # weight of the KL divergence in the draft's loss; cross-entropy has the rest
LOG_EVERY = 50


@dataclass(frozen=True)
class Settings:
    """Settings that are the same for both models."""

    length: int
    batch: int
    learning_rate: float
    max_steps: int
    device: str


def log(**values: object) -> None:
    print(json.dumps(values), flush=True)


def make_optimizers(model: Llama, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings and norms."""
    is_matrix = {name: p.ndim == 2 and "embed" not in name for name, p in model.named_parameters()}
    matrices = [p for name, p in model.named_parameters() if is_matrix[name]]
    others = [p for name, p in model.named_parameters() if not is_matrix[name]]
    rate, fused = settings.learning_rate, settings.device == "cuda"
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=fused),
    ]


def rate_multiplier(step: int, elapsed: float) -> float:
    """The factor of the learning rate: warm-up by steps, then 1, then linear decay by the share of time that has passed."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    decay = 1.0 if elapsed < DECAY_FROM else max(LEAST_RATE, (1 - elapsed) / (1 - DECAY_FROM))
    return warm_up * decay


def make_loss(
    model: Callable[[Tensor], Tensor], teacher: Callable[[Tensor], Tensor] | None, device: str
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A function from ids [B,T+1] to (loss, cross-entropy). With a teacher the loss is mostly KL(teacher || model)."""

    def loss_of(ids: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ids[:, :-1], ids[:, 1:]
        with torch.autocast(device, torch.bfloat16):
            logits = model(x)
            if teacher is not None:
                with torch.no_grad():
                    target = teacher(x)
        cross_entropy = F.cross_entropy(logits.float().view(-1, VOCABULARY), y.reshape(-1))
        if teacher is None:
            return cross_entropy, cross_entropy
        student, target = F.log_softmax(logits.float(), -1), F.log_softmax(target.float(), -1)
        divergence = F.kl_div(student, target, log_target=True, reduction="none").sum(-1).mean()
        return DISTILLATION * divergence + (1 - DISTILLATION) * cross_entropy, cross_entropy

    return loss_of


def train(
    name: str, data: np.ndarray, minutes: float, settings: Settings, teacher: Callable[[Tensor], Tensor] | None = None
) -> Llama:
    """Trains on random windows of the stream `data` until `minutes` have passed or `max_steps` are done."""
    device, length = settings.device, settings.length
    model = Llama(SHAPES[name], VOCABULARY, length).to(device)
    parameters = sum(p.numel() for p in model.parameters())
    optimizers = make_optimizers(model, settings)
    loss_of = make_loss(torch.compile(model) if device == "cuda" else model, teacher, device)
    stream = torch.from_numpy(data.astype(np.int32)).to(device)  # the whole corpus stays on the device
    window = torch.arange(length + 1, device=device)

    step, start, last, smoothed = 0, None, time.time(), None
    while True:
        if step == UNTIMED_STEPS:
            if device == "cuda":
                torch.cuda.synchronize()
            start = time.time()
        elapsed = 0.0 if start is None else min(1.0, (time.time() - start) / (minutes * 60))
        if elapsed >= 1.0 or (settings.max_steps and step >= settings.max_steps):
            return model.eval()

        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate_multiplier(step, elapsed)
        begin = torch.randint(0, len(stream) - length - 1, (settings.batch,), device=device)
        loss, cross_entropy = loss_of(stream[begin[:, None] + window[None]].long())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        step += 1
        if step % LOG_EVERY == 0:
            value = cross_entropy.item()
            smoothed = value if smoothed is None else 0.8 * smoothed + 0.2 * value
            rate = int(LOG_EVERY * settings.batch * length / (time.time() - last))
            log(
                **dict(model=name, params=parameters, step=step, frac=round(elapsed, 3)),
                **dict(ce=round(smoothed, 4), loss=round(loss.item(), 4), tok_per_s=rate),
            )
            last = time.time()


def save(model: Llama, folder: Path, max_length: int, tokenizer_file: Path) -> None:
    """Writes the model and its tokenizer as a Hugging Face folder."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        f"model.{name}": tensor.detach().to(torch.bfloat16).contiguous().cpu()
        for name, tensor in model.state_dict().items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer_config = dict(
        tokenizer_class="PreTrainedTokenizerFast",
        bos_token=BOS_TOKEN,
        eos_token=EOS_TOKEN,
        add_bos_token=True,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
    config = model.shape.config(VOCABULARY, max_length, BOS, EOS)
    for file, values in [("config.json", config), ("tokenizer_config.json", tokenizer_config)]:
        (folder / file).write_text(json.dumps(values, indent=2) + "\n")
    (folder / "tokenizer.json").write_text(tokenizer_file.read_text(encoding="utf8"), encoding="utf8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder with train/*.txt and test/*.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder to write verifier/ and draft/ to")
    parser.add_argument("--verifier-minutes", type=float, default=14, help="default: %(default)s")
    parser.add_argument("--draft-minutes", type=float, default=5, help="default: %(default)s")
    parser.add_argument("--seq", type=int, default=4096, help="tokens a window, and the models' context; default: %(default)s")
    parser.add_argument("--batch", type=int, default=32, help="windows a step; default: %(default)s")
    parser.add_argument("--lr", type=float, default=3e-3, help="learning rate; default: %(default)s")
    parser.add_argument("--max-steps", type=int, default=0, help="steps a model at most; default: 0, as many as there is time for")
    default_device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default_device, help="default: cuda if there is one, else cpu")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    args.out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    tokenizer_file = args.out / "tokenizer.json"
    tokenizer = load_tokenizer(args.corpus, tokenizer_file)
    data = load_training_stream(args.corpus, args.out / "train.npy", tokenizer)
    log(train_tokens=len(data), prepare_s=round(time.time() - start))

    settings = Settings(args.seq, args.batch, args.lr, args.max_steps, args.device)
    verifier = train("verifier", data, args.verifier_minutes, settings)
    save(verifier, args.out / "verifier", args.seq, tokenizer_file)
    teacher = torch.compile(verifier) if args.device == "cuda" else verifier
    draft = train("draft", data, args.draft_minutes, settings, teacher)
    save(draft, args.out / "draft", args.seq, tokenizer_file)
    log(eval=evaluate(verifier, draft, tokenize(args.corpus, "test", tokenizer), args.seq, args.device))


if __name__ == "__main__":
    main()
