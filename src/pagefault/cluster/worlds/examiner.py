"""Puts an exam to every memory that sits it, and keeps the answers so that a run can go on where it stopped."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pagefault.cluster.documents.filing import digest_of, document_agent, filing
from pagefault.cluster.documents.passages import Passage
from pagefault.cluster.documents.upload import file_all
from pagefault.cluster.worlds.answers import Answers
from pagefault.cluster.worlds.baselines import Baseline, Room, Searches
from pagefault.cluster.worlds.contract import GOOD_OUTCOMES, Progress, Report, RunningFleet, together
from pagefault.cluster.worlds.exam import EXAMINER, Case, Given, Memory, Question, Sitting, Task, standing
from pagefault.cluster.worlds.exam_mind import SEARCHES
from pagefault.cluster.worlds.judge import Judge
from pagefault.runtime.errors import AgentFailed, ModelError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.scripted import Reply, mind, nothing
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.models.view import View
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

EXAMINED = "examined"
"""The name under which the model sits; there is one exam at a time in a process."""
FAILED_SHARE_MAX = 0.5


class Listener:
    """The model as an agent's mind: it is asked only when the examiner speaks, and what it was shown is kept.

    Reading costs no call of the model, so that every memory reads for the same price.
    """

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._shown: dict[AgentId, list[ModelRequest]] = defaultdict(list)

    async def think(self, request: ModelRequest) -> Reply:
        """A mind, as :mod:`~pagefault.runtime.models.scripted` has them.  Raises what the model raises."""
        if request.purpose == "step":
            incoming = View(request).incoming
            if incoming is None or incoming.author != EXAMINER:
                return nothing()
            self._shown[request.agent].append(request)
        return await self._processor.reply(request)

    def take(self, agent: AgentId) -> list[ModelRequest]:
        """What the model was shown in the name of an agent since this was last asked."""
        return self._shown.pop(agent, [])


class Exam:
    """A world that is an exam.  ``answers`` are those of an earlier, unfinished run, and where new ones go."""

    name = "exam"

    def __init__(self, task: Task, sitting: Sitting, answers: Answers, judge: Judge | None = None) -> None:
        self.task = task
        self._sitting = sitting
        self._answers = answers
        self._judge = judge
        self._processor = make_processor(sitting.agent.definition().model)
        self._listener = Listener(self._processor)
        mind(EXAMINED)(self._listener.think)
        self._searches = Searches(sitting.embedder)
        self._counter = BpeTokenCounter()
        self._gate = asyncio.Semaphore(sitting.at_once)
        self._token = secrets.token_hex(4)  # a question that was put, but not written down, is put again

    def agents(self, template: Mapping[str, Any]) -> list[Agent]:
        """One agent a case, with the task's functions and words."""
        made = {
            "functions": self.task.functions,
            **template,
            "system": self.task.agent_system,
            "model": f"scripted:{EXAMINED}",
            "model_options": {},
        }
        return [
            Agent(**{**made, "name": case.name, "spaces": (_space(case),) if case.filed else ()})
            for case in self.task.cases
        ]

    async def run(self, fleet: RunningFleet, refs: Sequence[AgentRef], progress: Progress) -> Report:  # noqa: ARG002 - the contract's
        """Every case with every memory.  Raises what the fleet raises; a model that fails costs its question."""
        memories = self._sitting.memories
        reading = sum(len(case.pieces) for case in self.task.cases if not case.filed)
        asking = sum(len(case.questions) for case in self.task.cases)
        progress.begin(
            f"{self.task.name}: reading and answering",
            asking * len(memories) + (reading if Memory.PAGEFAULT in memories else 0),
        )
        try:
            await together(self._sit(fleet, case, memory, progress) for memory in memories for case in self.task.cases)
        finally:
            self._searches.close()
            await self._processor.close()
            if self._judge is not None:
                await self._judge.close()
        return self._report()

    async def _sit(self, fleet: RunningFleet, case: Case, memory: Memory, progress: Progress) -> None:
        open_questions = [each for each in case.questions if not self._answers.has(memory, case, each)]
        progress.advance(len(case.questions) - len(open_questions))
        reads = memory is Memory.PAGEFAULT and not case.filed
        if not open_questions:
            progress.advance(len(case.pieces) if reads else 0)
            return
        async with self._gate:
            if memory is Memory.PAGEFAULT:
                if self._answers.begun(memory, case):
                    progress.advance(len(case.pieces) if reads else 0)
                else:
                    await self._read(fleet, case, progress)
                for question in open_questions:
                    await self._keep(question, await self._ask_agent(fleet, case, question), progress)
                return
            baseline = Baseline(memory, case, self.task.system, self._room, self._counter)
            problem = ""
            try:
                await baseline.prepare(self._processor)
            except ModelError as error:
                problem = f"{type(error).__name__}: {error}"
            for question in open_questions:
                await self._keep(question, await self._ask_once(baseline, question, problem), progress)

    @property
    def _room(self) -> Room:
        return Room(self._sitting.prompt_tokens_max, self._sitting.agent.reply_tokens)

    # --- Pagefault

    async def _read(self, fleet: RunningFleet, case: Case, progress: Progress) -> None:
        if case.filed:
            digest = digest_of("\0".join(piece.text for piece in case.pieces))
            agent = document_agent(_space(case), digest)
            passages = [(piece.author, Passage(piece.text, piece.session)) for piece in case.pieces]
            await file_all(fleet, agent, list(filing(agent, passages, 0)))
            return
        for place, piece in enumerate(case.pieces):
            said = Interrupt(
                id=InterruptId(f"{case.name}/{place}/{piece.key}"),
                kind=InterruptKind.OBSERVATION,
                priority=Priority.WORLD,
                sender=piece.author or "world",
                text=piece.text,
                created_ms=piece.at_ms,
                session=piece.session,
            )
            answer = await fleet.answer(case.name, said)
            if answer.outcome not in GOOD_OUTCOMES:
                said_why = f"{case.name} cannot read {piece.key}: {answer.outcome}: {answer.message}"
                raise AgentFailed(said_why, answer.outcome)
            progress.advance()

    async def _ask_agent(self, fleet: RunningFleet, case: Case, question: Question) -> Given:
        agent = AgentId(case.name)
        asked = Interrupt(
            id=InterruptId(f"{case.name}/{question.key}/{self._token}"),
            kind=InterruptKind.MESSAGE,
            priority=Priority.USER,
            sender=EXAMINER,
            text=question.text,
            created_ms=case.pieces[-1].at_ms if case.pieces else 0,
            ephemeral=True,  # being asked must not change what is remembered
        )
        self._listener.take(agent)
        answer = await fleet.answer(case.name, asked)
        problem = "" if answer.outcome in GOOD_OUTCOMES else f"{answer.outcome}: {answer.message}"
        return _given(Memory.PAGEFAULT, case, question, answer.text, self._listener.take(agent), problem=problem)

    # --- the others

    async def _ask_once(self, baseline: Baseline, question: Question, problem: str) -> Given:
        found = await self._searches.find(baseline, question) if baseline.memory is Memory.RETRIEVAL else ()
        request = baseline.request(question, found)
        text = ""
        if not problem:
            try:
                text = (await self._processor.reply(request)).text
            except ModelError as error:
                problem = f"{type(error).__name__}: {error}"
        return _given(baseline.memory, baseline.case, question, text, [request], problem=problem)

    async def _keep(self, question: Question, given: Given, progress: Progress) -> None:
        scores = dict(self.task.grade(question, given.text))
        if self._judge is not None:
            scores["judged"] = await self._judge.verdict(question, given.text)
        self._answers.add(replace(given, scores=scores))
        progress.advance()

    def _report(self) -> Report:
        given = self._answers.all(self.task, self._sitting.memories)
        measures = (*self.task.measures, *(("judged",) if self._judge is not None else ()))
        memories = standing(given, measures)
        results = {
            "task": self.task.name,
            "by": self.task.by,
            "measures": list(measures),
            "cases": len(self.task.cases),
            "questions": sum(len(case.questions) for case in self.task.cases),
            "pieces": sum(len(case.pieces) for case in self.task.cases),
            "context_tokens": self._sitting.agent.context_tokens,
            "model": self._sitting.agent.model,
            **self.task.notes,
            "memories": memories,
        }
        failed = sum(bool(each.problem) for each in given)
        problem = ""
        if failed > FAILED_SHARE_MAX * len(given):
            first = next(each for each in given if each.problem)
            problem = f"{failed:,} of {len(given):,} questions failed; the first: {first.case}: {first.problem}"
        return Report(self.task.title, results, (), problem)


def _space(case: Case) -> str:
    return f"exam-{case.name}"


def _given(
    memory: Memory, case: Case, question: Question, text: str, shown: Sequence[ModelRequest], *, problem: str
) -> Given:
    last = shown[-1] if shown else None
    return Given(
        memory=memory.value,
        case=case.name,
        question=question.key,
        group=question.group,
        text=text,
        scores={},
        evidence=_evidence(case, question, last),
        prompt_tokens=sum(request.prompt_tokens for request in shown),
        prompt_tokens_max=max((request.prompt_tokens for request in shown), default=0),
        calls=len(shown),
        searches=sum(result.name in SEARCHES for result in View(last).results) if last is not None else 0,
        problem=problem,
    )


def _evidence(case: Case, question: Question, shown: ModelRequest | None) -> float | None:
    """The share of the pieces with the evidence that stand whole in what the model was shown last."""
    wanted = [_flat(piece.text) for piece in case.pieces if piece.key in question.evidence]
    if not wanted:
        return None
    seen = _flat("\n".join(message.text for message in shown.messages)) if shown is not None else ""
    return sum(text in seen for text in wanted) / len(wanted)


def _flat(text: str) -> str:
    return " ".join(text.split())
