"""A small Llama in PyTorch.

Modules are named as in Hugging Face's LlamaModel: its files have the names of the state dict after the prefix "model.".
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5
THETA = 10000.0


@dataclass(frozen=True)
class Shape:
    """The sizes in which the two models differ, named as in config.json."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    def config(self, vocab_size: int, max_position_embeddings: int, bos: int, eos: int) -> dict:
        """The config.json of a folder that transformers can load."""
        return dict(
            architectures=["LlamaForCausalLM"],
            model_type="llama",
            vocab_size=vocab_size,
            hidden_act="silu",
            rms_norm_eps=EPSILON,
            rope_theta=THETA,
            rope_scaling=None,
            max_position_embeddings=max_position_embeddings,
            tie_word_embeddings=True,
            attention_bias=False,
            mlp_bias=False,
            bos_token_id=bos,
            eos_token_id=eos,
            torch_dtype="bfloat16",
            head_dim=self.head_dim,
            **asdict(self),
        )


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, EPSILON)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of the channel pairs (i, i + D/2) of x [B,H,T,D], with cos and sin [T,D]."""
    a, b = x.chunk(2, -1)
    return (x * cos + torch.cat((-b, a), -1) * sin).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = shape.num_attention_heads, shape.num_key_value_heads, shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, self.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(shape.hidden_size, self.kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(shape.hidden_size, self.kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_dim, shape.hidden_size, bias=False)

    def qkv(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B,H,T,D], keys and values [B,G,T,D]."""
        batch, rows, _ = x.shape
        q = self.q_proj(x).view(batch, rows, self.heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(batch, rows, self.kv_heads, self.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(batch, rows, self.kv_heads, self.head_dim).transpose(1, 2)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, rows, _ = x.shape
        q, k, v = self.qkv(x, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
        return self.o_proj(y.transpose(1, 2).reshape(batch, rows, -1))


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden_size)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.hidden_size)
        self.mlp = MLP(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Maps token ids [B,T] to logits [B,T,V]. The head's weight is the embedding matrix."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, vocab_size: int, max_length: int) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = RMSNorm(shape.hidden_size)
        frequencies = THETA ** (-torch.arange(0, shape.head_dim, 2) / shape.head_dim)
        angles = torch.arange(max_length)[:, None] * frequencies[None]
        angles = torch.cat((angles, angles), -1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Normal weights with standard deviation 0.02.

        It is divided by sqrt(2 * layers) for the 2 * layers matrices whose products are added to the residual stream.
        """
        for name, parameter in self.named_parameters():
            if parameter.ndim != 2:
                continue
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * self.shape.num_hidden_layers) if residual else 1))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed_tokens(ids)
        rows = ids.shape[1]
        for layer in self.layers:
            x = layer(x, self.cos[:rows], self.sin[:rows])
        return F.linear(self.norm(x), self.embed_tokens.weight)
