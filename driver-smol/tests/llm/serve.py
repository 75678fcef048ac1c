"""A real OpenAI-compatible server (llama.cpp's own, from the package xllamacpp) with a tiny model of random weights.

    python serve.py FOLDER    writes FOLDER/tiny.gguf, serves it on 127.0.0.1 and prints the base URL; ends with stdin

The model is a llama of one layer whose words are the 256 bytes: what it says makes no sense, but it is computed, sampled
and streamed as a large one's answer would be.
"""

import socket
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType
import xllamacpp

WIDTH, HEADS, HIDDEN, CONTEXT = 32, 2, 64, 65536
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def write_model(path: Path) -> None:
    words = [(b"<unk>", TokenType.UNKNOWN), (b"<s>", TokenType.CONTROL), (b"</s>", TokenType.CONTROL)]
    words += [(f"<0x{byte:02X}>".encode(), TokenType.BYTE) for byte in range(256)]
    words += [(bytes([byte]), TokenType.NORMAL) for byte in range(33, 127)]
    words += [("\u2581".encode(), TokenType.NORMAL)]
    out = GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(1)
    out.add_feed_forward_length(HIDDEN)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(words))
    out.add_tokenizer_model("llama")
    out.add_token_list([word for word, _ in words])
    out.add_token_scores([0.0] * len(words))
    out.add_token_types([kind for _, kind in words])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_chat_template(TEMPLATE)
    chance = np.random.default_rng(7)

    def tensor(name: str, *shape: int) -> None:
        out.add_tensor(name, (chance.standard_normal(shape) * 0.3).astype(np.float32))

    tensor("token_embd.weight", len(words), WIDTH)
    tensor("output.weight", len(words), WIDTH)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        out.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        tensor(f"blk.0.{name}.weight", WIDTH, WIDTH)
    tensor("blk.0.ffn_gate.weight", HIDDEN, WIDTH)
    tensor("blk.0.ffn_up.weight", HIDDEN, WIDTH)
    tensor("blk.0.ffn_down.weight", WIDTH, HIDDEN)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def serve(model: Path):
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames = ["127.0.0.1"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        params.port = free.getsockname()[1]
    params.n_ctx = CONTEXT
    params.n_predict = 48
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.warmup = False
    return xllamacpp.Server(params)


if __name__ == "__main__":
    model = Path(sys.argv[1]) / "tiny.gguf"
    write_model(model)
    server = serve(model)
    print(f"{server.listening_address}/v1", flush=True)
    sys.stdin.read()
