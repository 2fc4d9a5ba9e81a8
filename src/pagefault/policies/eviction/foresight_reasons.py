"""Why a page is expected to be needed, or not, in a few words."""

from __future__ import annotations

from collections.abc import Sequence

from pagefault.policies.eviction.foresight_features import FEATURES

NAMED_MAX = 3
LEAST = 0.05
"""Of a logarithm: what changes the expectation by less than a twentieth is not worth a word."""

_MEANS = (
    ("what it says is new", "new_words new_share rarity mean_rarity distinct_share attachment_new"),
    ("names", "names new_names quotes"),
    ("identifiers that it brings", "identifiers new_identifiers new_codes numerals"),
    ("what it answers", "before_questions before_asking before_words before_attachment before_courtesy before_overlap"),
    ("when and what happened", "time past ed number"),
    ("whom it is about", "i my we others relation"),
    ("plans and tastes", "plan taste denial"),
    ("courtesies", "courtesy you exclaims_share assents"),
    ("questions that it asks", "questions ends_asking"),
    ("what it shows", "picture attachment attachment_words"),
    ("where it stands", "opening same_author history"),
    ("its kind", "kind_message kind_reply kind_call kind_result calling"),
)
_OTHERS = "its length and wording"


def _meaning(feature: str) -> str:
    stem = feature.removesuffix("_count").removesuffix("_share")
    return next((meaning for meaning, stems in _MEANS if {feature, stem} & set(stems.split())), _OTHERS)


_MEANING_OF = tuple(map(_meaning, FEATURES))


def reasons(added: Sequence[float]) -> str:
    """The strongest reasons, ``+`` for and ``-`` against, from what each feature adds to the expectation."""
    totals: dict[str, float] = {}
    for meaning, each in zip(_MEANING_OF, added, strict=True):
        totals[meaning] = totals.get(meaning, 0.0) + each
    strongest = sorted(totals.items(), key=lambda item: -round(abs(item[1]), 9))[:NAMED_MAX]
    named = [f"{'+' if each > 0 else '-'} {meaning}" for meaning, each in strongest if abs(each) >= LEAST]
    return ", ".join(named) or "nothing remarkable"
