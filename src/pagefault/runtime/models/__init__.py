"""Processors: whatever turns a context into a reply, and the counters that say what a context costs.

:class:`~pagefault.runtime.models.openai.OpenAIProcessor` is not among the names here, as its SDK takes half a
second and 24 MB to load: :func:`make_processor` loads it for agents that have such a model.
"""

from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.replay import ReplayProcessor, recorded_replies, request_hash
from pagefault.runtime.models.retry import RetryPolicy, Timing
from pagefault.runtime.models.scripted import Act, Mind, Reply, ScriptedProcessor, call, mind, nothing, say
from pagefault.runtime.models.tokens import BpeTokenCounter, ByteTokenCounter, make_counter
from pagefault.runtime.models.view import CallResult, Hits, Line, View

__all__ = [
    "Act",
    "BpeTokenCounter",
    "ByteTokenCounter",
    "CallResult",
    "Hits",
    "Line",
    "Mind",
    "Processor",
    "ReplayProcessor",
    "Reply",
    "RetryPolicy",
    "ScriptedProcessor",
    "Timing",
    "View",
    "call",
    "make_counter",
    "make_processor",
    "mind",
    "nothing",
    "recorded_replies",
    "request_hash",
    "say",
]
