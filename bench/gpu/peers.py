"""Times PyTorch at the shapes of `npm run bench:gpu` and prints them as the JSON that its --peers reads.

    python3 bench/gpu/peers.py > peers.json                     # torch.sort masks and SDPA attention, in CUDA graphs
    python3 bench/gpu/peers.py --models > peers.json            # also Hugging Face's and torch.compile's steps and prompts

It needs torch with CUDA; --models also needs transformers 5. It measures as bench:gpu does: the L2 cache is flushed, then several
calls on different buffers run one after the other, timed by CUDA events. The result is the median of 30 runs. Masks and attention
run in CUDA graphs.
"""

import argparse
import datetime
import json
import pathlib
import statistics
import sys

import torch

RUNS = 30
MASK_KEYS = (512, 2048, 8192, 32768, 131072)
ATTENTION_KEYS = (2048, 8192, 32768, 131072)
SHAPES = {'llama-2-7b': (32, 32, 128), 'tinyllama-1.1b': (32, 4, 64)}
CONFIGS = pathlib.Path(__file__).parent / 'configs'


FLUSH = None  # a buffer larger than the L2 cache; main makes it


def copies(size):
    """Number of inputs of `size` bytes to rotate over, so that no call finds its input in the L2 cache."""
    return min(16, max(1, -(-(2**27) // size)))


def event():
    return torch.cuda.Event(enable_timing=True)


def median_us(replay, calls=1):
    """Microseconds of one call: the median time of `replay`, which makes `calls` calls, after a flush of the L2 cache."""
    samples = []
    for run in range(-3, RUNS):
        FLUSH.max()
        begin, end = event(), event()
        begin.record()
        replay()
        end.record()
        torch.cuda.synchronize()
        if run >= 0:
            samples.append(begin.elapsed_time(end) * 1e3 / calls)
    return round(statistics.median(samples), 2)


def graph_us(calls):
    """Microseconds of one call, when all of `calls` run one after the other in one CUDA graph."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(2):
            for call in calls:
                call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return median_us(graph.replay, len(calls))


def bandwidth():
    """How fast torch reads and copies memory, in words."""
    x = torch.rand(2**28, device='cuda')
    y = torch.empty_like(x)
    read, copy = graph_us([lambda: x.sum()]), graph_us([lambda: y.copy_(x)])
    return f'read {2**30 / read / 1e6:.2f} TB/s, copy {2**31 / copy / 1e6:.2f} TB/s'


def nucleus(weights, p):
    """The mask of the smallest set of keys whose weights sum to p, by sorting. NucleusMask gives the same mask."""
    ordered, order = torch.sort(weights, dim=-1, descending=True)
    before = torch.cumsum(ordered, dim=-1) - ordered
    keep = before < p * ordered.sum(dim=-1, keepdim=True)
    return torch.zeros_like(keep).scatter_(-1, order, keep)


def masks():
    """Microseconds to find the nuclei of rows of attention weights."""
    table = {}
    for rows in (1, 32):
        for keys in MASK_KEYS:
            inputs = [
                torch.softmax(torch.empty(rows, keys, device='cuda').uniform_(-6, 6), -1)
                for _ in range(copies(rows * keys * 5))
            ]
            table[f'mask/{rows}x{keys}'] = graph_us([lambda w=w: nucleus(w, 0.95) for w in inputs])
    return table


def attention():
    """Microseconds of dense attention of one row, and of a block of five rows with its causal mask."""
    table = {}
    for name, (heads, kv_heads, size) in SHAPES.items():
        for keys in ATTENTION_KEYS:
            shape = (1, kv_heads, keys, size)
            caches = [
                (
                    torch.randn(shape, device='cuda', dtype=torch.bfloat16),
                    torch.randn(shape, device='cuda', dtype=torch.bfloat16),
                )
                for _ in range(copies(4 * kv_heads * keys * size))
            ]
            for rows in (1, 5):
                q = torch.randn(1, heads, rows, size, device='cuda', dtype=torch.bfloat16)
                mask = None
                if rows > 1:
                    mask = torch.ones(rows, keys, dtype=torch.bool, device='cuda').tril(keys - rows)
                calls = [
                    lambda k=k, v=v: torch.nn.functional.scaled_dot_product_attention(
                        q, k, v, attn_mask=mask, enable_gqa=heads != kv_heads
                    )
                    for k, v in caches
                ]
                table[f'attention/{name}/dense/{rows}x{keys}'] = graph_us(calls)
            del caches
            torch.cuda.empty_cache()
    return table


def models():
    """Microseconds of steps and prompts of Hugging Face's models, and of steps of compiled models with a static cache."""
    from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, StaticCache

    eager, compiled = {}, {}
    for name in SHAPES:
        config = AutoConfig.for_model(**json.loads((CONFIGS / f'{name}.json').read_text()))
        config.max_position_embeddings = 2**16
        with torch.device('cuda'):
            model = AutoModelForCausalLM.from_config(
                config, dtype=torch.bfloat16, attn_implementation='sdpa'
            ).eval()
        kv_heads, size = config.num_key_value_heads, config.hidden_size // config.num_attention_heads

        def tokens(rows):
            return torch.randint(0, config.vocab_size, (1, rows), device='cuda')

        def filled(cache, keys):
            for layer in range(config.num_hidden_layers):
                kv = torch.randn(1, kv_heads, keys, size, device='cuda', dtype=torch.bfloat16)
                cache.update(kv, kv.clone(), layer, {'cache_position': torch.arange(keys, device='cuda')})
            return cache

        with torch.inference_mode():
            for keys in (2048, 8192):
                for rows in (1, 5):
                    cache = filled(DynamicCache(config=config), keys - rows)
                    ids = tokens(rows)

                    def step():
                        model(ids, past_key_values=cache, use_cache=True)
                        cache.crop(keys - rows)

                    eager[f'step/{name}/{rows}x{keys}'] = median_us(step)
                    del cache
                ids = tokens(keys)
                eager[f'prefill/{name}/{keys}'] = median_us(lambda: model(ids, use_cache=True, logits_to_keep=1))
                torch.cuda.empty_cache()

            fast = torch.compile(model, mode='reduce-overhead', fullgraph=True)
            for keys in (2048, 8192):
                for rows in (1, 5):
                    cache = filled(StaticCache(config=config, max_cache_len=keys), keys - rows)
                    ids = tokens(rows)
                    at = torch.arange(keys - rows, keys, device='cuda')

                    def step():
                        fast(ids, past_key_values=cache, cache_position=at, use_cache=True)

                    compiled[f'step/{name}/{rows}x{keys}'] = median_us(step)
                    del cache
                    torch.cuda.empty_cache()
        del model, fast
        torch._dynamo.reset()
        torch.cuda.empty_cache()
    return eager, compiled


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--models', action='store_true', help="also Hugging Face's models, eager and compiled")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit('peers.py: torch has no CUDA device')
    global FLUSH
    FLUSH = torch.zeros(2**28 // 4, device='cuda')
    us = {'torch.sort in a CUDA graph': masks(), 'SDPA in a CUDA graph': attention()}
    if arguments.models:
        import transformers

        eager, compiled = models()
        us[f'Hugging Face transformers {transformers.__version__}, sdpa'] = eager
        us['torch.compile, static cache, CUDA graphs'] = compiled
    about = {
        'machine': f'{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; {bandwidth()}',
        'date': datetime.date.today().isoformat(),
        'source': "peers.py: medians, batch 1, bfloat16, random weights at the models' shapes",
    }
    print(json.dumps({**about, 'us': us}, indent=2))


if __name__ == '__main__':
    main()
