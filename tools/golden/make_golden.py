"""Writes test/golden: tiny random models, and the logits that Hugging Face transformers computes for them.

Each folder holds a model (config.json and safetensors) and two files of expected values:

    expected.json  tokens; rows, the rows whose logits are kept; frequencies and scale of the rotary embedding
    logits.bin     float32 [rows, vocabulary], computed in float32 from the stored weights

The folders of the embedded pair hold only the expected values.

    pip install -r requirements.txt
    python make_golden.py
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

ROOT = Path(__file__).resolve().parents[2]
PASSAGE = (
    "The old house stood upon the hill, and from its windows one could see the river winding away through the meadows "
    "towards the sea. Nobody had lived there since the winter of the great storm."
)
# More tokens than every original context below, so that scaled frequencies change the logits.
TOKENS = [(7 * i * i + 3 * i + 1) % 96 for i in range(40)]

BASE = dict(
    architectures=["LlamaForCausalLM"],
    model_type="llama",
    vocab_size=99,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    hidden_act="silu",
    rms_norm_eps=1e-5,
    max_position_embeddings=64,
    initializer_range=0.2,
    bos_token_id=0,
    eos_token_id=1,
)

# Llamas. name: (fields that differ from BASE, dtype of the weights, number of shards)
VARIANTS: dict[str, tuple[dict, torch.dtype, int]] = {
    "mha_tied_f32": (dict(tie_word_embeddings=True, rope_theta=10000.0), torch.float32, 1),
    "gqa_linear_f16": (
        dict(num_key_value_heads=2, rope_theta=5000.0, rope_scaling=dict(type="linear", factor=4.0)),
        torch.float16,
        1,
    ),
    "gqa_llama3_bf16": (
        dict(
            num_key_value_heads=1,
            head_dim=16,
            tie_word_embeddings=True,
            eos_token_id=[1, 2],
            rope_theta=500000.0,
            rope_scaling=dict(
                rope_type="llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=16,
            ),
        ),
        torch.bfloat16,
        1,
    ),
    "yarn_sharded_f32": (
        dict(
            num_key_value_heads=2,
            head_dim=16,
            rope_parameters=dict(
                rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16
            ),
        ),
        torch.float32,
        3,
    ),
    "yarn_mscale_bf16": (
        dict(
            rope_theta=10000.0,
            rope_scaling=dict(
                type="yarn",
                factor=4.0,
                original_max_position_embeddings=16,
                beta_fast=8.0,
                beta_slow=2.0,
                mscale=0.707,
                mscale_all_dim=1.2,
                truncate=False,
            ),
        ),
        torch.bfloat16,
        1,
    ),
    "biases_f32": (
        dict(num_key_value_heads=2, attention_bias=True, mlp_bias=True, rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
        torch.float32,
        1,
    ),
}

# The other architectures, and Llamas whose files need care. They are smaller, since there are many of them.
SMALL = dict(
    vocab_size=61,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    hidden_act="silu",
    rms_norm_eps=1e-5,
    max_position_embeddings=64,
    initializer_range=0.3,
    rope_theta=10000.0,
    tie_word_embeddings=False,
    bos_token_id=0,
    eos_token_id=1,
    pad_token_id=None,
)


def small(architecture: str, model_type: str, **changes) -> dict:
    return SMALL | dict(architectures=[architecture], model_type=model_type) | changes


def llama(**changes) -> dict:
    return small("LlamaForCausalLM", "llama", **changes)


LONG_ROPE = dict(
    rope_type="longrope",
    short_factor=[1.0, 1.1],
    long_factor=[1.5, 3.0],
    original_max_position_embeddings=16,
)
# name: (config.json, dtype of the weights). The windows are shorter than TOKENS.
SMALL_MODELS: dict[str, tuple[dict, torch.dtype]] = {
    "mistral_f16": (small("MistralForCausalLM", "mistral", sliding_window=None, head_dim=8), torch.float16),
    "mistral_window_f32": (small("MistralForCausalLM", "mistral", sliding_window=7), torch.float32),
    "qwen2_bf16": (
        small("Qwen2ForCausalLM", "qwen2", use_sliding_window=False, sliding_window=7, max_window_layers=1),
        torch.bfloat16,
    ),
    "qwen2_window_f32": (
        small("Qwen2ForCausalLM", "qwen2", use_sliding_window=True, sliding_window=9, max_window_layers=1),
        torch.float32,
    ),
    "qwen3_bf16": (
        small("Qwen3ForCausalLM", "qwen3", head_dim=8, attention_bias=False, tie_word_embeddings=True),
        torch.bfloat16,
    ),
    "qwen3_window_f32": (
        small(
            "Qwen3ForCausalLM",
            "qwen3",
            head_dim=6,
            attention_bias=True,
            use_sliding_window=True,
            sliding_window=5,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
        torch.float32,
    ),
    "smollm3_bf16": (
        # Without tie_word_embeddings and rope_theta, since SmolLM3 has defaults of its own; layer 3 has no rotary embedding.
        {
            name: value
            for name, value in small("SmolLM3ForCausalLM", "smollm3", num_hidden_layers=5).items()
            if name not in ("tie_word_embeddings", "rope_theta")
        },
        torch.bfloat16,
    ),
    "smollm3_window_f32": (
        small(
            "SmolLM3ForCausalLM",
            "smollm3",
            no_rope_layers=[0, 1, 0],
            use_sliding_window=True,
            sliding_window=6,
            rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16),
        ),
        torch.float32,
    ),
    "granite_f32": (
        small(
            "GraniteForCausalLM",
            "granite",
            attention_bias=True,
            mlp_bias=True,
            rms_norm_eps=0.05,
            embedding_multiplier=12.0,
            attention_multiplier=0.3,
            residual_multiplier=0.22,
            logits_scaling=0.7,
        ),
        torch.float32,
    ),
    "longrope_long_f32": (llama(rope_scaling=LONG_ROPE), torch.float32),
    "longrope_short_f32": (
        llama(rope_scaling=LONG_ROPE | dict(original_max_position_embeddings=48, attention_factor=1.2)),
        torch.float32,
    ),
    "dynamic_f32": (llama(rope_scaling=dict(type="dynamic", factor=2.0)), torch.float32),
    "proportional_f32": (
        llama(head_dim=8, rope_parameters=dict(rope_type="proportional", rope_theta=1e4, partial_rotary_factor=0.5)),
        torch.float32,
    ),
    # The factor is not read where there is no scaling.
    "partial_f16": (llama(partial_rotary_factor=0.5), torch.float16),
    "names_f64": (llama(hidden_act="swish", bos_token_id=-1, eos_token_id=[-1, 2]), torch.float64),
    # A head in the file although config.json says that there is none.
    "tied_and_head_f16": (llama(tie_word_embeddings=True), torch.float16),
}


def write_weights(model: PreTrainedModel, folder: Path, dtype: torch.dtype, shards: int) -> None:
    """Writes the model as one safetensors file, or as shards with an index."""
    tied = model.config.tie_word_embeddings
    state = {
        name: tensor.to(dtype).contiguous()
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    if folder.name.startswith("names"):
        state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    if folder.name.startswith("tied_and_head"):
        embedding = state["model.embed_tokens.weight"]
        state["lm_head.weight"] = (0.3 * torch.randn(embedding.shape)).to(dtype)
    if shards == 1:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: state[name] for name in sorted(state)[i::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    total = sum(tensor.nbytes for tensor in state.values())
    index = dict(metadata=dict(total_size=total), weight_map=dict(sorted(weight_map.items())))
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def make_model(folder: Path, config: dict, dtype: torch.dtype, shards: int) -> None:
    """Writes a random model. Norms and biases are random too, because ones and zeros would hide a mistake in them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    torch.manual_seed(sum(map(ord, folder.name)))
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(0.3 * torch.randn_like(parameter) + ("norm" in name))
    write_weights(model, folder, dtype, shards)


@torch.no_grad()
def write_expected(model_folder: Path, out: Path, tokens: list[int], rows: list[int]) -> None:
    """Writes logits of the stored model in float32. The model is read from its files, so that its weights are rounded."""
    model = AutoModelForCausalLM.from_pretrained(
        model_folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    logits = model(torch.tensor([tokens])).logits[0, rows]
    rotary = model.model.rotary_emb
    expected = dict(
        tokens=tokens,
        rows=rows,
        frequencies=[float(f) for f in rotary.inv_freq],
        scale=float(rotary.attention_scaling),
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "expected.json").write_text(json.dumps(expected) + "\n")
    (out / "logits.bin").write_bytes(logits.float().numpy().astype("<f4").tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "test" / "golden", help="default: test/golden")
    out: Path = parser.parse_args().out

    for name, (changes, dtype, shards) in VARIANTS.items():
        make_model(out / name, BASE | changes, dtype, shards)
        write_expected(out / name, out / name, TOKENS, list(range(len(TOKENS))))
    for name, (config, dtype) in SMALL_MODELS.items():
        make_model(out / name, config, dtype, 1)
        tokens = [token % config["vocab_size"] for token in TOKENS]
        write_expected(out / name, out / name, tokens, list(range(len(tokens))))
    for role in ("draft", "verifier"):
        folder = ROOT / "models" / "pretrained" / role
        tokens = AutoTokenizer.from_pretrained(folder)(PASSAGE)["input_ids"]
        write_expected(folder, out / f"pretrained_{role}", tokens, list(range(3, len(tokens), 8)))


if __name__ == "__main__":
    main()
