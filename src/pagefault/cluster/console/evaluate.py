"""``pagefault eval``: the MemGPT paper's tasks, by any model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from pagefault.cluster.console.check import check_agent, chosen_model
from pagefault.cluster.console.exam_table import show_exam
from pagefault.cluster.console.plan import FleetTable
from pagefault.cluster.console.reach import JsonOption, find_modules_beside
from pagefault.cluster.console.run import Options, run_world
from pagefault.cluster.console.show import say, show_report
from pagefault.cluster.documents.filing import digest_of
from pagefault.cluster.worlds.answers import Answers
from pagefault.cluster.worlds.contract import Report
from pagefault.cluster.worlds.dialogues import load_dialogues
from pagefault.cluster.worlds.dialogues_exam import dialogues_exam
from pagefault.cluster.worlds.dmr import dmr_exam, openers_exam
from pagefault.cluster.worlds.documents_exam import documents_exam, load_asked
from pagefault.cluster.worlds.exam import Memory, Sitting, Task, chosen_memories
from pagefault.cluster.worlds.examiner import Exam
from pagefault.cluster.worlds.judge import Judge
from pagefault.cluster.worlds.nested_kv import NestedKv, load_tasks, made_up
from pagefault.cluster.worlds.nested_kv_exam import nested_kv_exam, template_for, with_baselines
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.store.embed import make_embedder

evaluate = typer.Typer(
    no_args_is_help=True,
    help="Put the tasks of the MemGPT paper to a model, with Pagefault's memory and with others beside it.",
)

PAIRS = 140
EXAMINED = "scripted:pagefault.cluster.worlds.exam_mind:quoting"
REPLY_TOKENS_MAX = 1024

ModelOption = Annotated[str | None, typer.Option(help="A model at --base-url; a scripted mind without either.")]
BaseUrlOption = Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")]
ContextOption = Annotated[int, typer.Option(help="The budget of prompt and reply, the same for every memory but full.")]
ResultsOption = Annotated[int, typer.Option("--search-results", min=1, help="Hits on a page of Pagefault's searches.")]
PolicyOption = Annotated[str, typer.Option(help="Pagefault's eviction policy.")]
EmbedderOption = Annotated[str, typer.Option(help="What searches by meaning; see `pagefault run`.")]
MemoryOption = Annotated[
    list[str] | None, typer.Option("--memory", help=f"{', '.join(Memory)}; repeat it, or all by default.")
]
KeepOption = Annotated[
    Path | None, typer.Option("--folder", help="Keep answers and agents here; the same command again goes on.")
]
AtOnceOption = Annotated[int, typer.Option(min=1, help="How many cases are under way at a time.")]
JudgeOption = Annotated[str | None, typer.Option(help="A model that marks the answers, at --judge-url.")]
JudgeUrlOption = Annotated[str | None, typer.Option(help="The judge's server; --base-url by default.")]


@evaluate.command("nested-kv")
def nested_kv(
    data: Annotated[
        Path | None, typer.Option(help="The folder of the released files; tasks of the same shape without it.")
    ] = None,
    records: Annotated[int, typer.Option(min=1, help="How many records of 140 pairs.")] = 1,
    orderings: Annotated[int, typer.Option(min=1, help="How many chains of each length, 0 to 5 hops.")] = 5,
    search: Annotated[Literal["hybrid", "substring"], typer.Option(help="How archival memory is searched.")] = "hybrid",
    memory: MemoryOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    context_tokens: ContextOption = 8192,
    policy: PolicyOption = "lru",
    embedder: EmbedderOption = "wordllama",
    folder: KeepOption = None,
    seed: Annotated[int, typer.Option(help="Of tasks that are made up.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Chains of look-ups through archival memory: how many are followed to their end, by hops."""
    find_modules_beside(Path())
    chosen = made_up(records, PAIRS, orderings, seed) if data is None else load_tasks(data, records, orderings)
    memories = chosen_memories(memory)
    console = Console(stderr=True)

    async def live() -> Report:
        template = _sized(template_for(search), context_tokens, policy)
        if model is not None or base_url is not None:
            template |= await chosen_model(template, model, base_url)
        kept = None if folder is None else str(folder / "fleet")
        terms = {**template, "task": "nested_kv", "content": digest_of(repr(chosen)), "embedder": embedder}
        answers = Answers(folder, terms)
        options = Options(FleetTable(kind="local", embedder=embedder, folder=kept), console, again="The same command")
        world = NestedKv(chosen)
        report = await run_world(world, template, options) if Memory.PAGEFAULT in memories else None
        others = tuple(each for each in memories if each is not Memory.PAGEFAULT)
        if not others:
            assert report is not None, "one memory at least was chosen"
            return report
        exam = Exam(nested_kv_exam(chosen), Sitting(others, template, embedder), answers)
        return with_baselines(report, await run_world(exam, template, Options(FleetTable(kind="local"), console)))

    report = asyncio.run(live())
    show_report(report, as_json)
    _end(report, console)


@evaluate.command()
def dialogues(
    data: Annotated[Path, typer.Option(help="Conversations in LoCoMo's format (github.com/snap-research/LoCoMo).")],
    conversations: Annotated[int | None, typer.Option(min=1, help="How many; all by default.")] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="How many of each; all by default.")] = None,
    memory: MemoryOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    context_tokens: ContextOption = 4096,
    policy: PolicyOption = "lru",
    search_results: ResultsOption = 10,
    embedder: EmbedderOption = "wordllama",
    judge: JudgeOption = None,
    judge_url: JudgeUrlOption = None,
    folder: KeepOption = None,
    at_once: AtOnceOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Questions about conversations of many months, by category; adversarial ones have no answer.

    Each memory reads the turns, and is then asked. Graded by LoCoMo's F1, ROUGE-L recall, abstention, and whether the
    turns that hold the answer were before the model when it answered.
    """
    told = load_dialogues(data)[:conversations]
    settings = _Settings(
        memory=memory,
        model=model,
        base_url=base_url,
        context_tokens=context_tokens,
        policy=policy,
        search_results=search_results,
        embedder=embedder,
        folder=folder,
        at_once=at_once,
        judge=judge,
        judge_url=judge_url,
    )
    _sit(lambda: dialogues_exam(told, questions), settings, as_json)


@evaluate.command()
def openers(
    data: Annotated[Path, typer.Option(help="MSC-Self-Instruct (huggingface.co/datasets/MemGPT/MSC-Self-Instruct).")],
    conversations: Annotated[int | None, typer.Option(min=1, help="How many; all by default.")] = None,
    memory: MemoryOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    context_tokens: ContextOption = 2048,
    policy: PolicyOption = "lru",
    search_results: ResultsOption = 10,
    embedder: EmbedderOption = "wordllama",
    folder: KeepOption = None,
    at_once: AtOnceOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Openers of a next conversation: how near they are to what is known of the other, and to a human's.

    SIM-1 and SIM-3 compare with the best and the three best facts of the other's persona, SIM-H with the opener that a
    human wrote; all by the cosine of --embedder's vectors.
    """
    settings = _Settings(
        memory=memory,
        model=model,
        base_url=base_url,
        context_tokens=context_tokens,
        policy=policy,
        search_results=search_results,
        embedder=embedder,
        folder=folder,
        at_once=at_once,
    )
    _sit(lambda: openers_exam(data, make_embedder(embedder), conversations), settings, as_json)


@evaluate.command()
def documents(
    data: Annotated[Path, typer.Option(help="NQ-open with gold passages (github.com/nelson-liu/lost-in-the-middle).")],
    questions: Annotated[int, typer.Option(min=1, help="How many questions, the same for every K.")] = 50,
    sizes: Annotated[
        list[int] | None, typer.Option("--documents", min=1, help="K, how many documents; repeat it for a curve.")
    ] = None,
    memory: MemoryOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    context_tokens: ContextOption = 8192,
    policy: PolicyOption = "lru",
    search_results: ResultsOption = 10,
    embedder: EmbedderOption = "wordllama",
    judge: JudgeOption = None,
    judge_url: JudgeUrlOption = None,
    folder: KeepOption = None,
    at_once: AtOnceOption = 8,
    seed: Annotated[int, typer.Option(help="Of questions, distractors and the order of documents.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Questions over K documents, one of which has the answer: accuracy and evidence against K.

    Pagefault searches a shared space, filed as `pagefault ingest` does it; the others are shown documents.
    """
    asked = load_asked(data)
    settings = _Settings(
        memory=memory,
        model=model,
        base_url=base_url,
        context_tokens=context_tokens,
        policy=policy,
        search_results=search_results,
        embedder=embedder,
        folder=folder,
        at_once=at_once,
        judge=judge,
        judge_url=judge_url,
    )
    _sit(lambda: documents_exam(asked, sizes or [1, 5, 10, 20, 50, 100, 200], questions, seed), settings, as_json)


@evaluate.command()
def dmr(
    data: Annotated[Path, typer.Option(help="MSC-Self-Instruct (huggingface.co/datasets/MemGPT/MSC-Self-Instruct).")],
    conversations: Annotated[int | None, typer.Option(min=1, help="How many; all by default.")] = None,
    memory: MemoryOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    context_tokens: ContextOption = 2048,
    policy: PolicyOption = "lru",
    search_results: ResultsOption = 10,
    embedder: EmbedderOption = "wordllama",
    judge: JudgeOption = None,
    judge_url: JudgeUrlOption = None,
    folder: KeepOption = None,
    at_once: AtOnceOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Deep memory retrieval: one question about five sessions of talk, graded by ROUGE-L recall or by a judge.

    The five sessions fit into most windows: keep --context-tokens small, or nothing is measured but the model.
    """
    settings = _Settings(
        memory=memory,
        model=model,
        base_url=base_url,
        context_tokens=context_tokens,
        policy=policy,
        search_results=search_results,
        embedder=embedder,
        folder=folder,
        at_once=at_once,
        judge=judge,
        judge_url=judge_url,
    )
    _sit(lambda: dmr_exam(data, conversations), settings, as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What the exams have alike on the command line."""

    memory: list[str] | None
    model: str | None
    base_url: str | None
    context_tokens: int
    policy: str
    search_results: int
    embedder: str
    folder: Path | None
    at_once: int
    judge: str | None = None
    judge_url: str | None = None

    def __post_init__(self) -> None:
        if self.judge_url is not None and self.judge is None:
            raise ConfigError("--judge-url", self.judge_url, "a server only with --judge MODEL")

    async def sitting(self) -> Sitting:
        """How the exam is taken, with a model that answers."""
        template = _sized({"model": EXAMINED, "write_back": "archive"}, self.context_tokens, self.policy)
        template["search_results"] = self.search_results
        if self.model is not None or self.base_url is not None:
            template = template | await chosen_model(template, self.model, self.base_url)
        sitting = Sitting(chosen_memories(self.memory), template, self.embedder, self.at_once)
        await check_agent(sitting.agent)
        return sitting

    async def judged_by(self) -> Judge | None:
        """The judge, who answers."""
        if self.judge is None:
            return None
        address = self.judge_url if self.judge_url is not None else self.base_url
        agent = Agent("judge", **await chosen_model({}, self.judge, address))
        await check_agent(agent)
        return Judge(make_processor(agent.definition().model))

    def terms(self, task: Task, sitting: Sitting) -> dict[str, Any]:
        """What answers depend on."""
        return {
            "task": task.name,
            "content": digest_of(repr(task.cases)),
            "model": sitting.agent.model,
            "context_tokens": sitting.agent.context_tokens,
            "policy": sitting.agent.policy,
            "search_results": sitting.agent.search_results,
            "embedder": self.embedder,
            "judge": self.judge,
            **task.notes,
        }


def _sit(make: Callable[[], Task], settings: _Settings, as_json: bool) -> None:
    find_modules_beside(Path())
    console = Console(stderr=True)

    async def live() -> Report:
        task = make()
        sitting, judge = await settings.sitting(), await settings.judged_by()
        exam = Exam(task, sitting, Answers(settings.folder, settings.terms(task, sitting)), judge)
        kept = None if settings.folder is None else str(settings.folder / "fleet")
        fleet = FleetTable(kind="local", embedder=settings.embedder, folder=kept)
        return await run_world(exam, sitting.template, Options(fleet, console, again="The same command"))

    report = asyncio.run(live())
    show_exam(report, as_json)
    _end(report, console)


def _sized(template: dict[str, Any], context_tokens: int, policy: str) -> dict[str, Any]:
    reply_tokens = max(1, min(REPLY_TOKENS_MAX, context_tokens // 8))
    return {**template, "context_tokens": context_tokens, "reply_tokens": reply_tokens, "policy": policy}


def _end(report: Report, console: Console) -> None:
    if report.failed:
        say(console, f"error: {report.failed}")
        raise typer.Exit(1)
