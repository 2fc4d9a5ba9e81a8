"""A model as judge, where words in common say too little: was the answer right?"""

from __future__ import annotations

from pagefault.cluster.worlds.exam import Question
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.tokens import BpeTokenCounter, message_tokens
from pagefault.runtime.values import AgentId, Message, ModelRequest

SYSTEM = (
    "You mark an exam. You are given a question, the answers that are right, and a student's answer. Mark it CORRECT "
    "if it says the same as one of them, in whatever words, and contradicts none; otherwise WRONG. If no answer is "
    "right, the student has to say that it is not known. Reply with one word: CORRECT or WRONG."
)
REPLY_TOKENS = 16


class Judge:
    """Marks answers with a model.  Strict on purpose: a judge who is told to be generous lifts every memory alike."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._counter = BpeTokenCounter()

    async def verdict(self, question: Question, given: str) -> float:
        """1 for right, 0 for wrong.  Raises a :class:`~pagefault.runtime.errors.ModelError`."""
        right = "\n".join(question.answers) if question.answerable else "(none: it cannot be known)"
        text = f"Question: {question.text}\nRight answers:\n{right}\nStudent's answer: {given or '(nothing)'}"
        messages = (Message("system", SYSTEM), Message("user", text))
        tokens = message_tokens(self._counter, messages)
        reply = await self._processor.reply(ModelRequest(AgentId("judge"), messages, (), tokens, REPLY_TOKENS))
        return float("correct" in reply.text.lower().replace("incorrect", ""))

    async def close(self) -> None:
        """Close the model's connections."""
        await self._processor.close()
