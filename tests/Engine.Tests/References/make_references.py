"""Makes the tiny Hugging Face checkpoints beside this file and computes their logits.

    python3 make_references.py          (torch and numpy; takes seconds; the same bytes every time)

Each folder gets config.json, the weights as safetensors and logits.json: tokens, and for every position the logits that follow it.
The forward pass is written from the papers and from the published configs, plainly and in the layout of Hugging Face (rotary pairs half a
head apart), and shares nothing with the engine.
"""

import json
import math
import os
import struct

import numpy
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}

BASE = {
    "hidden_act": "silu",
    "hidden_size": 32,
    "intermediate_size": 40,
    "max_position_embeddings": 4096,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "vocab_size": 64,
}

CASES = {
    # Llama 3.1 and 3.2: scaled frequencies, with an old context so short that all three ranges are met; tied embeddings.
    "llama3": (
        "BF16",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "attention_bias": False,
            "head_dim": 16,
            "mlp_bias": False,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_theta": 500000.0,
            "rope_scaling": {
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 256,
                "rope_type": "llama3",
            },
            "tie_word_embeddings": True,
        },
    ),
    # Llama 2 with interpolated positions, float16, in two files.
    "llama2-linear": (
        "F16",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_key_value_heads": 4,
            "pretraining_tp": 1,
            "rope_scaling": {"type": "linear", "factor": 4.0},
            "rms_norm_eps": 1e-6,
        },
    ),
    # Mistral: a window shorter than the text, and heads that together are wider than the model (Mistral-Nemo).
    "mistral": (
        "BF16",
        {
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "head_dim": 12,
            "sliding_window": 5,
            "rope_theta": 1000000.0,
        },
    ),
    # Qwen2: biases on queries, keys and values, a window only from the second layer on.
    "qwen2": (
        "BF16",
        {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "max_window_layers": 1,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "sliding_window": 7,
            "tie_word_embeddings": True,
            "use_sliding_window": True,
        },
    ),
    # Qwen3: a norm on every query and key head, explicit head_dim.
    "qwen3": (
        "BF16",
        {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "attention_bias": False,
            "head_dim": 16,
            "max_window_layers": 2,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "sliding_window": None,
            "tie_word_embeddings": True,
            "use_sliding_window": False,
        },
    ),
}


def shapes(config):
    dimension, hidden = config["hidden_size"], config["intermediate_size"]
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    width = config.get("head_dim", dimension // heads)
    yield "model.embed_tokens.weight", (config["vocab_size"], dimension)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (dimension,)
        for name, count in (("q", heads), ("k", kv), ("v", kv)):
            yield prefix + f"self_attn.{name}_proj.weight", (count * width, dimension)
            if config["model_type"] == "qwen2":
                yield prefix + f"self_attn.{name}_proj.bias", (count * width,)
        yield prefix + "self_attn.o_proj.weight", (dimension, heads * width)
        if config["model_type"] == "qwen3":
            yield prefix + "self_attn.q_norm.weight", (width,)
            yield prefix + "self_attn.k_norm.weight", (width,)
        yield prefix + "post_attention_layernorm.weight", (dimension,)
        yield prefix + "mlp.gate_proj.weight", (hidden, dimension)
        yield prefix + "mlp.up_proj.weight", (hidden, dimension)
        yield prefix + "mlp.down_proj.weight", (dimension, hidden)
    yield "model.norm.weight", (dimension,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], dimension)


def random_weights(config, dtype, seed):
    random = numpy.random.RandomState(seed)
    weights = {}
    for name, shape in shapes(config):
        values = random.standard_normal(shape)
        if name.endswith("norm.weight"):
            values = 1 + 0.2 * values
        elif len(shape) == 2:
            values *= 1.5 / math.sqrt(shape[1])
        else:
            values *= 0.5
        weights[name] = torch.tensor(values, dtype=torch.float32).to(dtype)
    return weights


def norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def frequencies(config, width):
    inverse = 1.0 / config["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    scaling = config.get("rope_scaling")
    if scaling is None:
        return inverse
    if scaling.get("type") == "linear":
        return inverse / scaling["factor"]
    old = scaling["original_max_position_embeddings"]
    low, high, factor = scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["factor"]
    scaled = []
    for frequency in inverse.tolist():
        wavelength = 2 * math.pi / frequency
        if wavelength < old / high:
            scaled.append(frequency)
        elif wavelength > old / low:
            scaled.append(frequency / factor)
        else:
            smooth = (old / wavelength - low) / (high - low)
            scaled.append((1 - smooth) * frequency / factor + smooth * frequency)
    return torch.tensor(scaled, dtype=torch.float64)


def rotate(x, positions, inverse):
    """x: [head, position, width]; element i turns with element i + width / 2."""
    angles = positions[:, None] * inverse[None, :]
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    cosine, sine = torch.cos(angles), torch.sin(angles)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def window_of(config, layer):
    window = config.get("sliding_window")
    if config["model_type"] == "mistral":
        return window
    if config.get("use_sliding_window") and layer >= config["max_window_layers"]:
        return window
    return None


def forward(config, weights, tokens):
    """All in float64: what is left is the engine's own error."""
    weights = {name: tensor.double() for name, tensor in weights.items()}
    heads, kv, eps = config["num_attention_heads"], config["num_key_value_heads"], config["rms_norm_eps"]
    width = config.get("head_dim", config["hidden_size"] // heads)
    positions = torch.arange(len(tokens), dtype=torch.float64)
    inverse = frequencies(config, width)
    hidden = weights["model.embed_tokens.weight"][torch.tensor(tokens)]
    for layer in range(config["num_hidden_layers"]):

        def weight(name):
            return weights[f"model.layers.{layer}.{name}"]

        def project(x, name, count):
            y = x @ weight(f"self_attn.{name}_proj.weight").T
            if config["model_type"] == "qwen2":
                y = y + weight(f"self_attn.{name}_proj.bias")
            return y.view(len(tokens), count, width).transpose(0, 1)

        x = norm(hidden, weight("input_layernorm.weight"), eps)
        q, k, v = project(x, "q", heads), project(x, "k", kv), project(x, "v", kv)
        if config["model_type"] == "qwen3":
            q = norm(q, weight("self_attn.q_norm.weight"), eps)
            k = norm(k, weight("self_attn.k_norm.weight"), eps)
        q, k = rotate(q, positions, inverse), rotate(k, positions, inverse)
        k, v = k.repeat_interleave(heads // kv, 0), v.repeat_interleave(heads // kv, 0)
        distance = positions[:, None] - positions[None, :]
        window = window_of(config, layer)
        allowed = (distance >= 0) & (distance < (window or len(tokens)))
        scores = (q @ k.transpose(1, 2) / math.sqrt(width)).masked_fill(~allowed, -math.inf)
        attended = (torch.softmax(scores, -1) @ v).transpose(0, 1).reshape(len(tokens), heads * width)
        hidden = hidden + attended @ weight("self_attn.o_proj.weight").T
        x = norm(hidden, weight("post_attention_layernorm.weight"), eps)
        gate, up = x @ weight("mlp.gate_proj.weight").T, x @ weight("mlp.up_proj.weight").T
        hidden = hidden + (torch.nn.functional.silu(gate) * up) @ weight("mlp.down_proj.weight").T
    output = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return norm(hidden, weights["model.norm.weight"], eps) @ output.T


def write_safetensors(path, weights, type_name):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in weights.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": type_name, "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in weights.values():
            raw = tensor.contiguous()
            file.write((raw.view(torch.int16) if raw.element_size() == 2 else raw).numpy().tobytes())


def main():
    for seed, (name, (type_name, changes)) in enumerate(CASES.items()):
        config = {**BASE, **changes, "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": [2, 3]}
        weights = random_weights(config, TYPES[type_name], 100 + seed)
        tokens = numpy.random.RandomState(200 + seed).randint(0, config["vocab_size"], 14).tolist()
        logits = forward(config, weights, tokens)
        folder = os.path.join(HERE, name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(config, file, indent=2)
            file.write("\n")
        if name == "llama2-linear":
            names = list(weights)
            files = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
            for file_name, part in files.items():
                write_safetensors(os.path.join(folder, file_name), {key: weights[key] for key in part}, type_name)
            index = {"metadata": {}, "weight_map": {key: file_name for file_name, part in files.items() for key in part}}
            with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
                json.dump(index, file, indent=1)
                file.write("\n")
        else:
            write_safetensors(os.path.join(folder, "model.safetensors"), weights, type_name)
        with open(os.path.join(folder, "logits.json"), "w") as file:
            rows = [[round(value, 6) for value in row] for row in logits.tolist()]
            file.write(json.dumps({"tokens": tokens, "logits": rows}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
