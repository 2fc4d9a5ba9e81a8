"""Text for benchmarks: sentences that read like real ones and cost as many tokens, the same for a seed.

Random words from a short list repeat too often: neither tokenizers nor allocators treat them as they treat
what people write.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

_SUBJECTS = (
    "The harbour master|My neighbour|A letter from Lisbon|Our accountant|The younger of the two|Nobody on the train|"
    "The museum's new catalogue|Her brother in Oslo|The second experiment|A clerk at the registry"
).split("|")
_VERBS = (
    "remembered|had quietly postponed|was asking about|never mentioned|kept a copy of|disagreed with|is waiting for|"
    "wrote down|has already paid for|could not find"
).split("|")
_OBJECTS = (
    "the winter timetable|three boxes of slides|a recipe with saffron|the survey of the eastern wall|an unpaid invoice|"
    "the keys to the boathouse|a table of tide heights|the draft agreement|two tickets for Thursday|the missing ledger"
).split("|")
_ENDS = (
    "before the rain set in.|although it cost {number} euros.|at half past {hour}.|and told {number} people so.|"
    "because of what happened in {year}.|in room {number}, as usual.|without saying why.|on page {number} of it."
).split("|")


def sentences(chance: random.Random) -> Iterator[str]:
    """Sentences without end, no two agents the same."""
    while True:
        parts = [chance.choice(each) for each in (_SUBJECTS, _VERBS, _OBJECTS, _ENDS)]
        text = " ".join(parts)
        yield text.format(number=chance.randint(2, 999), hour=chance.randint(1, 12), year=chance.randint(1890, 2020))


def message(chance: random.Random, count: int = 4) -> str:
    """So many sentences: four are about 65 tokens."""
    source = sentences(chance)
    return " ".join(next(source) for _ in range(count))
