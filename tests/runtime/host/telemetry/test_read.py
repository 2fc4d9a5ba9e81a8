"""What a living fleet tells of itself is what its agents have done."""

from __future__ import annotations

import asyncio
from typing import Any

from pagefault.runtime.errors import ModelBusy
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.telemetry.meters import Sample
from pagefault.runtime.host.telemetry.read import budget_samples
from pagefault.runtime.host.telemetry.table import KERNEL_COUNTERS
from pagefault.runtime.models.scripted import Reply, call, mind, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

READER = "scripted:tests.cluster.minds:page_turner"


@function(effect="pure")
def half(number: int) -> int:
    """Halve an even number.

    Args:
        number: Even.
    """
    if number % 2:
        raise ValueError("it is odd")
    return number // 2


@mind("telemetry_halver")
def halver(request: ModelRequest) -> Reply:
    view = View(request)
    if view.result is None and view.incoming is not None:
        return call("half", True, number=int(view.incoming.text))
    return say("done")


@mind("telemetry_busy")
def busy(request: ModelRequest) -> Reply:
    raise ModelBusy("come back later")


def value(samples: list[Sample], name: str, **labels: str) -> Any:
    """The sum of all samples of that name whose labels are these, or more."""
    wanted = labels.items()
    chosen = [each for each in samples if each["name"] == name and wanted <= each["labels"].items()]
    return sum(each["value"] if "value" in each else sum(each["counts"]) for each in chosen)


def reader(name: str, **fields: Any) -> Agent:
    functions = ("send_message", "page_in")
    return Agent(
        name, model=READER, functions=functions, context_tokens=2_000, reply_tokens=200, write_back="archive", **fields
    )


async def test_counters_are_the_sums_of_the_agents_own_though_they_come_and_go() -> None:
    async with Local(embedder="hash", frames=2) as fleet:
        readers = await fleet.spawn_many([reader(f"reader-{number}") for number in range(5)])
        for number in range(40):
            await asyncio.gather(
                *(each.ask(f"note {number}: " + "something that takes room, " * 6) for each in readers)
            )
        await asyncio.gather(*(each.ask("open p2") for each in readers))
        await fleet.idle()
        samples = await fleet.metrics()
        lived = [(await each.inspect()).statistics for each in readers]
        for key, name in KERNEL_COUNTERS.items():
            assert value(samples, name) == sum(statistics[key] for statistics in lived), name
        assert value(samples, "pagefault_page_faults_total") >= 5
        assert value(samples, "pagefault_evictions_total") > 50
        assert value(samples, "pagefault_interrupts_total", priority="user", outcome="accepted") == 5 * 41
        assert value(samples, "pagefault_chains_total", outcome="yielded") == 5 * 41
        assert value(samples, "pagefault_first_step_seconds") == 5 * 41
        assert value(samples, "pagefault_model_calls_total", purpose="step", outcome="ok") == sum(
            statistics["steps"] for statistics in lived
        )
        assert value(samples, "pagefault_archive_load_seconds") == 5
        assert value(samples, "pagefault_hibernations_total") > 10
        assert value(samples, "pagefault_activations_total") > 15
        assert value(samples, "pagefault_agents") == 5
        assert value(samples, "pagefault_resident_agents", phase="idle") == 2
        assert value(samples, "pagefault_journal_commit_seconds") == value(samples, "pagefault_journal_commits_total")
        again = await fleet.metrics()
        assert value(again, "pagefault_steps_total") == value(samples, "pagefault_steps_total")


async def test_gauges_are_sums_over_the_agents_that_are_there_now() -> None:
    async with Local(embedder="hash", frames=3) as fleet:
        readers = await fleet.spawn_many([reader(f"reader-{number}") for number in range(7)])
        for number in range(30):
            await asyncio.gather(*(each.send(f"note {number}: " + "some room, " * (6 + number)) for each in readers))
            samples = await fleet.metrics()
            assert sum(each["value"] for each in samples if each["name"] == "pagefault_resident_agents") <= 3
        await fleet.idle()
        await fleet.hibernate(readers[0].id)
        samples = await fleet.metrics()
        frames = list(fleet.host.frames.values())
        phases = {frame.state.phase.value for frame in frames}
    assert frames
    assert value(samples, "pagefault_context_tokens") == sum(each.state.statistics.context_tokens for each in frames)
    assert value(samples, "pagefault_frames_bytes") == sum(each.size_bytes for each in frames)
    assert value(samples, "pagefault_mailbox_interrupts") == 0
    assert phases == {"idle"}
    assert value(samples, "pagefault_resident_agents", phase="idle") == len(frames)
    assert value(samples, "pagefault_resident_agents") == len(frames)


async def test_mail_that_waits_is_counted_until_it_is_read() -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @function(effect="pure")
    async def half(number: int) -> int:
        """Wait until the test has looked.

        Args:
            number: Any.
        """
        begun.set()
        await may_end.wait()
        return number

    async with Local(embedder="hash", functions=[half]) as fleet:
        agent = await fleet.spawn(
            Agent("worker", model="scripted:telemetry_halver", functions=("send_message", "half"))
        )
        await agent.send("1")
        await begun.wait()
        for number in range(5):
            await agent.send(f"{number}")
        held = await fleet.metrics()
        may_end.set()
        await fleet.idle()
        over = await fleet.metrics()
    assert value(held, "pagefault_mailbox_interrupts") == 5
    assert value(held, "pagefault_resident_agents", phase="idle") == 0
    assert value(over, "pagefault_mailbox_interrupts") == 0
    assert value(over, "pagefault_resident_agents", phase="idle") == 1


async def test_functions_retries_and_models_that_fail_are_counted() -> None:
    async with Local(embedder="hash", functions=[half]) as fleet:
        worker = await fleet.spawn(
            Agent("worker", model="scripted:telemetry_halver", functions=("send_message", "half"))
        )
        await worker.ask("4")
        await worker.ask("5")
        failing = await fleet.spawn(Agent("failing", model="scripted:telemetry_busy"))
        assert (await fleet.answer(failing.id, "hello")).outcome == "model_failed"
        samples = await fleet.metrics()
    assert value(samples, "pagefault_function_calls_total", status="ok") == 1
    assert value(samples, "pagefault_function_calls_total", status="failed") == 1
    assert value(samples, "pagefault_function_seconds") == 2
    assert value(samples, "pagefault_model_calls_total", outcome="busy") == 1
    assert value(samples, "pagefault_chains_total", outcome="model_failed") == 1


async def test_what_is_sent_twice_or_refused_says_so() -> None:
    async with Local(embedder="hash") as fleet:
        agent = await fleet.spawn(reader("one"))
        message = Interrupt(InterruptId("same"), InterruptKind.MESSAGE, Priority.USER, "user", "hello", created_ms=1)
        for _ in range(3):
            await fleet.host.deliver(agent.id, message)
        await fleet.idle()
        huge = Interrupt(InterruptId("huge"), InterruptKind.MESSAGE, Priority.AGENT, "other", "x" * 10**7, created_ms=1)
        assert not (await fleet.host.deliver(agent.id, huge)).accepted
        samples = await fleet.metrics()
    assert value(samples, "pagefault_interrupts_total", outcome="accepted") == 1
    assert value(samples, "pagefault_interrupts_total", outcome="duplicate") == 2
    assert value(samples, "pagefault_interrupts_total", outcome="rejected", priority="agent") == 1
    assert value(samples, "pagefault_first_step_seconds") == 1


async def test_a_fleet_that_counts_nothing_has_nothing_to_tell() -> None:
    async with Local(embedder="hash", metrics=False) as fleet:
        agent = await fleet.spawn(reader("one"))
        await agent.ask("hello")
        assert await fleet.metrics() == []
        assert fleet.host.meter is None


async def test_an_endpoint_says_what_was_sent_to_it_and_the_run_what_it_spent() -> None:
    statistics: dict[str, dict[str, float]] = {
        "main": {"requests_in_minute": 3, "tokens_in_minute": 50, "under_way": 1, "factor": 0.5, "times_busy": 2},
        "free": {"under_way": 0, "factor": 1, "times_busy": 0},
        "run": {"tokens": 50, "money": 0.25, "waiting": 4},
    }
    samples = budget_samples(statistics)

    def told(name: str, **labels: str) -> Any:
        return value(samples, f"pagefault_{name}", **labels)

    assert told("budget_requests_in_minute", endpoint="main") == 3
    assert told("budget_factor", endpoint="main") == 0.5
    assert told("endpoint_busy_total") == 2
    assert (told("budget_spent_tokens"), told("budget_spent_money"), told("budget_waiting_calls")) == (50, 0.25, 4)
    assert len(samples) == 5 + 3 + 3
