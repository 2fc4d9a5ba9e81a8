"""Model-rated: a language model says how important a page is, from 1 to 10.

After Generative Agents (Park et al. 2023, section 4.1), which asks for the "likely poignancy" of every memory
when it is made.  Messages and observations are rated; a policy goes by its own estimate until the answer is
there.
"""

from __future__ import annotations

import re

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts

_NUMBER = re.compile(r"\d+(?:\.\d+)?")

QUESTION = (
    "Below is something that an agent has just seen or been told. How likely is it that the agent will need it "
    "again much later? 1 is everyday talk that can be forgotten, 10 is something that would be missed for ever. "
    "Answer with one number from 1 to 10 and nothing else.\n\n{text}"
)


class ModelRated:
    """Asks the agent's model (or its summariser's) about each page; ``characters`` of it are shown."""

    name = "model_rated"
    capabilities: frozenset[Capability] = frozenset({Capability.NEEDS_TEXT, Capability.NEEDS_MODEL})

    def __init__(self, *, characters: int = 2000) -> None:
        self._characters = parameters.whole("model_rated.characters", characters, at_least=1, at_most=100_000)

    def score(self, page: PageFacts) -> float | None:
        return page.importance

    def question(self, page: PageFacts) -> str:
        spoken = f"{page.author}: {page.text}" if page.author else page.text
        return QUESTION.format(text=spoken[: self._characters])

    def read(self, answer: str) -> float | None:
        numbers = [float(found) for found in _NUMBER.findall(answer)]
        rated = [number for number in numbers if 1 <= number <= 10]
        return round((rated[0] - 1) / 9, 3) if rated else None
