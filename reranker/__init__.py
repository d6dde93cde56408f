"""Firstrank: listwise LLM reranking from the first token's logits.

>>> from firstrank import Reranker
>>> Reranker("default").rank("who wrote Emma?", ["Bees make honey.", "Jane Austen wrote Emma."])[0].docid
'1'

All names here are public, and docs/library.md says what each is for. Each is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firstrank.reranker.calibration.calibration import Calibration
    from firstrank.reranker.errors import (
        DeadlineExceeded,
        EngineLost,
        FirstrankError,
        FormatError,
        InputError,
        MachineError,
        MissingExtra,
        ModelError,
        Overloaded,
        RequestFailed,
        ScorerError,
        TransientError,
    )
    from firstrank.reranker.executor.executor import Executor
    from firstrank.reranker.feedback import Feedback, distil
    from firstrank.reranker.models.loaded import Model, load_model
    from firstrank.reranker.models.spec import ModelSpec
    from firstrank.reranker.reranker import Reranker
    from firstrank.reranker.retrievers.bm25 import BM25
    from firstrank.reranker.retrievers.register import Retriever, open_retriever
    from firstrank.reranker.runs.documents import Document, request_of
    from firstrank.reranker.runs.qrels import Qrels, read_qrels
    from firstrank.reranker.runs.queries import Query, read_queries
    from firstrank.reranker.runs.rankllm import ScoredRequest, read_requests, write_requests
    from firstrank.reranker.runs.trec import Ranked, Run, read_run, write_run
    from firstrank.reranker.scorers.backends import BackendOptions, Oracle, open_scorer
    from firstrank.reranker.scorers.base import Scorer, Session
    from firstrank.reranker.scorers.calibrated import CalibratedScorer
    from firstrank.reranker.scorers.cascade.scorer import CascadeScorer
    from firstrank.reranker.scorers.chat.options import ChatOptions, ChatSettings
    from firstrank.reranker.scorers.decisions.options import DecisionOptions, DecisionSettings
    from firstrank.reranker.scorers.openai.options import OpenAIOptions, ServerSettings
    from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer
    from firstrank.reranker.scorers.prior import PriorScorer
    from firstrank.reranker.scorers.transformers.options import TransformersOptions
    from firstrank.reranker.scorers.vllm.options import VLLMOptions
    from firstrank.reranker.scorers.vllm.settings import EngineSettings
    from firstrank.reranker.setup import Cascade, Setup, SetupSettings
    from firstrank.reranker.strategies.prior import Prior
    from firstrank.reranker.strategies.register import parse_strategy
    from firstrank.reranker.strategies.schedule import Schedule
    from firstrank.reranker.texts.sources import Texts, open_texts, read_passages
    from firstrank.reranker.types import (
        Backend,
        Failure,
        Outcome,
        Passage,
        Ranking,
        Request,
        Result,
        Scores,
        Strategy,
        Trace,
        View,
        Windows,
        WindowTrace,
    )

__all__ = [
    "BM25",
    "Backend",
    "BackendOptions",
    "CalibratedScorer",
    "Calibration",
    "Cascade",
    "CascadeScorer",
    "ChatOptions",
    "ChatSettings",
    "DeadlineExceeded",
    "DecisionOptions",
    "DecisionSettings",
    "Document",
    "EngineLost",
    "EngineSettings",
    "Executor",
    "Failure",
    "Feedback",
    "FirstrankError",
    "FormatError",
    "InputError",
    "MachineError",
    "MissingExtra",
    "Model",
    "ModelError",
    "ModelSpec",
    "OpenAIOptions",
    "Oracle",
    "OracleOptions",
    "OracleScorer",
    "Outcome",
    "Overloaded",
    "Passage",
    "Prior",
    "PriorScorer",
    "Qrels",
    "Query",
    "Ranked",
    "Ranking",
    "Request",
    "RequestFailed",
    "Reranker",
    "Result",
    "Retriever",
    "Run",
    "Schedule",
    "ScoredRequest",
    "Scorer",
    "ScorerError",
    "Scores",
    "ServerSettings",
    "Session",
    "Setup",
    "SetupSettings",
    "Strategy",
    "Texts",
    "Trace",
    "TransformersOptions",
    "TransientError",
    "VLLMOptions",
    "View",
    "WindowTrace",
    "Windows",
    "__version__",
    "distil",
    "load_model",
    "open_retriever",
    "open_scorer",
    "open_texts",
    "parse_strategy",
    "read_passages",
    "read_qrels",
    "read_queries",
    "read_requests",
    "read_run",
    "request_of",
    "write_requests",
    "write_run",
]

_NAMES = {
    "calibration.calibration": "Calibration",
    "errors": "DeadlineExceeded EngineLost FirstrankError FormatError InputError MachineError MissingExtra ModelError Overloaded "
    "RequestFailed ScorerError TransientError",
    "executor.executor": "Executor",
    "feedback": "Feedback distil",
    "models.loaded": "Model load_model",
    "models.spec": "ModelSpec",
    "reranker": "Reranker",
    "retrievers.bm25": "BM25",
    "retrievers.register": "Retriever open_retriever",
    "runs.documents": "Document request_of",
    "runs.qrels": "Qrels read_qrels",
    "runs.queries": "Query read_queries",
    "runs.rankllm": "ScoredRequest read_requests write_requests",
    "runs.trec": "Ranked Run read_run write_run",
    "scorers.backends": "BackendOptions Oracle open_scorer",
    "scorers.base": "Scorer Session",
    "scorers.calibrated": "CalibratedScorer",
    "scorers.cascade.scorer": "CascadeScorer",
    "scorers.chat.options": "ChatOptions ChatSettings",
    "scorers.decisions.options": "DecisionOptions DecisionSettings",
    "scorers.openai.options": "OpenAIOptions ServerSettings",
    "scorers.oracle": "OracleOptions OracleScorer",
    "scorers.prior": "PriorScorer",
    "scorers.transformers.options": "TransformersOptions",
    "scorers.vllm.options": "VLLMOptions",
    "scorers.vllm.settings": "EngineSettings",
    "setup": "Cascade Setup SetupSettings",
    "strategies.prior": "Prior",
    "strategies.register": "parse_strategy",
    "strategies.schedule": "Schedule",
    "texts.sources": "Texts open_texts read_passages",
    "types": "Backend Failure Outcome Passage Ranking Request Result Scores Strategy Trace View Windows WindowTrace",
}
"""module -> the public names that it defines. Type checkers read the imports and the list above, which a test holds to this table."""

_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("firstrank")
        if name in _HOME:
            return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
