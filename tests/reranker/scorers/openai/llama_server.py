"""llama.cpp's own server with one GGUF, on loopback: `python llama_server.py GGUF` writes its address, and ends when its input does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ADDRESS = "address "


@contextmanager
def llama_server(gguf: Path, folder: Path) -> Iterator[str]:
    """The server's address; its log goes into `folder`."""
    log = folder / f"{gguf.stem}.log"
    with log.open("w") as output:
        server = subprocess.Popen([sys.executable, __file__, str(gguf)], stdin=-1, stdout=-1, stderr=output, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        found = next((line for line in server.stdout if line.startswith(_ADDRESS)), None)
        assert found is not None, f"the server did not start:\n{log.read_text()[-3000:]}"
        yield found.removeprefix(_ADDRESS).strip()
    finally:
        server.stdin.close()
        server.wait(60)


def in_fp32(source: Path, target: Path) -> Path:
    """A GGUF's copy with every weight written out, so that the engine computes with what transformers reads from it."""
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _serve(gguf: str) -> None:
    import xllamacpp

    asked = xllamacpp.CommonParams()
    asked.model.path, asked.model_alias = gguf, {"ranker"}
    asked.port, asked.n_ctx, asked.n_parallel = 0, 2048, 1
    asked.cache_type_k = asked.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    asked.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(asked)
    print(f"{_ADDRESS}{server.listening_address}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1])
