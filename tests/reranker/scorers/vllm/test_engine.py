"""What surrounds an engine, without one: prompts within its context, where output goes, and which line of a log is the reason."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.vllm import scorer as vllm
from firstrank.reranker.scorers.vllm.settings import EngineSettings
from firstrank.reranker.scorers.vllm.start import _environment, _new_log, _output_into, complaint
from tests.reranker.fakes import request

LOG = """\
(MainProcess pid=1) WARNING 11-24 11:24:43 [vllm.py:1703] Enforce eager set, disabling torch.compile
(Worker pid=3) ERROR 11-24 11:31:28 [multiproc_executor.py:1063] Traceback (most recent call last):
(Worker pid=3) ERROR 11-24 11:31:28 [multiproc_executor.py:1063]   File "cpu_attn.py", line 253, in build
(Worker pid=3) ERROR 11-24 11:31:28 [multiproc_executor.py:1063] RuntimeError: Unsupported CPU attention configuration: head_dim=16
(EngineCore pid=2) ERROR 11-24 11:31:28 [core.py:1512] Exception: WorkerProc initialization failed due to an exception
RuntimeError: Engine core initialization failed. See root cause above.
vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.
"""


def test_the_first_error_of_a_log_is_the_reason(tmp_path):
    log = tmp_path / "engine.log"
    log.write_text(LOG)
    assert complaint(log) == "RuntimeError: Unsupported CPU attention configuration: head_dim=16"
    log.write_text("\n".join(LOG.splitlines()[-2:]))
    assert complaint(log) is None


def test_what_this_process_and_its_children_print_goes_to_the_log_and_comes_back(tmp_path, capfd):
    log = tmp_path / "engine.log"
    with _output_into(log):
        print("from here")
        os.write(2, b"from C\n")
        child = subprocess.Popen([sys.executable, "-c", "input(); print('from a child, later')"], stdin=subprocess.PIPE)
    os.write(1, b"afterwards\n")
    child.communicate(b"\n")
    assert log.read_text().split("\n") == ["from here", "from C", "from a child, later", ""]
    assert capfd.readouterr() == ("afterwards\n", "")


def test_variables_are_defaults_and_all_are_taken_back(monkeypatch):
    monkeypatch.setenv("FIRSTRANK_TEST_SET", "by the user")
    before = dict(os.environ)
    with _environment({"FIRSTRANK_TEST_SET": "by us", "FIRSTRANK_TEST_NEW": "by us"}):
        assert os.environ["FIRSTRANK_TEST_SET"] == "by the user"
        assert os.environ["FIRSTRANK_TEST_NEW"] == "by us"
        os.environ["LD_PRELOAD"] = "by vLLM"
    assert dict(os.environ) == before


def test_old_logs_go(tmp_path, monkeypatch):
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path))
    folder = tmp_path / "logs"
    folder.mkdir()
    for age in range(12):
        (folder / f"vllm-{age}.log").touch()
        os.utime(folder / f"vllm-{age}.log", (age, age))
    newest = _new_log("org/model")
    assert newest.name.startswith("vllm-org-model-")
    assert {log.name for log in folder.iterdir()} == {newest.name, *(f"vllm-{age}.log" for age in range(3, 12))}


def test_prompts_are_held_to_the_engine_s_context(monkeypatch, tiny_model, tmp_path):
    engine = SimpleNamespace(vllm_config=SimpleNamespace(device_config=SimpleNamespace(device_type="cpu")), errored=False)
    monkeypatch.setattr(vllm, "start_engine", lambda *start: (engine, tmp_path))
    scorer = vllm.VLLMScorer(load_model(str(tiny_model)), vllm.VLLMOptions(engine=EngineSettings(max_model_len=512)))
    session = scorer.open(request(20, values=["many words " * 40] * 20))
    assert 300 < sum(session.lengths) <= 512  # 1,600 tokens and more where nothing is cut
    with pytest.raises(InputError, match="a window of 129 candidates"):
        asyncio.run(session.score(tuple(range(129))))
