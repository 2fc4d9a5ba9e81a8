"""How answers are judged without a judge: matches of words, overlap of words, longest common subsequences.

Every function takes the answer that was given and what was right, as plain texts, and returns a share from 0 to 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import snowballstemmer

_ARTICLES = re.compile(r"\b(?:a|an|the|and)\b")
_PUNCTUATION = re.compile(r"[^\w\s]")
_WORD = re.compile(r"[^\W_]+")
_ABSTENTION = re.compile(
    r"\b(?:i (?:do not|don't|cannot|can't) (?:know|tell|say)|not (?:mentioned|known|stated|specified|discussed)"
    r"|no (?:information|mention|answer|record)|unknown|unanswerable|never (?:said|mentioned|told))\b"
)


def normalised(text: str) -> str:
    """Without case, punctuation, articles and spare blanks, as SQuAD's script does (Rajpurkar et al. 2016).

    ``and`` goes too, as in LoCoMo's.
    """
    return " ".join(_ARTICLES.sub(" ", _PUNCTUATION.sub(" ", text.lower())).split())


def exact_match(given: str, answers: Iterable[str]) -> float:
    """Whether it is one of the answers, normalised."""
    said = normalised(given)
    return float(any(said == normalised(answer) for answer in answers))


def holds_answer(given: str, answers: Iterable[str]) -> float:
    """Whether one of the answers stands in it, normalised: the accuracy of NQ-open in Liu et al. 2023
    (*Lost in the Middle*).  An empty answer stands in nothing."""
    said = f" {normalised(given)} "
    return float(any(f" {wanted} " in said for wanted in map(normalised, answers) if wanted))


def token_f1(given: str, answer: str) -> float:
    """Harmonic mean of precision and recall of stemmed words: LoCoMo's F1 (Maharana et al. 2024)."""
    said, wanted = stems(given), stems(answer)
    common = sum((Counter(said) & Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def list_f1(given: str, answer: str) -> float:
    """LoCoMo's F1 for answers that are lists, with commas between: the mean over what was wanted of the best match."""
    parts = [part for part in given.split(",") if part.strip()]
    wanted = [part for part in answer.split(",") if part.strip()]
    if not parts or not wanted:
        return 0.0
    return sum(max(token_f1(part, each) for part in parts) for each in wanted) / len(wanted)


def rouge_l_recall(given: str, answer: str) -> float:
    """ROUGE-L recall (Lin 2004, section 3): how much of the answer is a subsequence of what was given, by words."""
    said, wanted = words(given), words(answer)
    return _common_length(said, wanted) / len(wanted) if wanted else 0.0


def abstains(given: str) -> bool:
    """Whether it says that the answer is not known."""
    return _ABSTENTION.search(given.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")) is not None


def words(text: str) -> list[str]:
    """Letters and digits, without case."""
    return _WORD.findall(text.lower())


def stems(text: str) -> tuple[str, ...]:
    """The words of a text, normalised and stemmed (Porter 1980)."""
    return _stemmed(normalised(text))


@lru_cache(4096)
def _stemmed(text: str) -> tuple[str, ...]:
    return tuple(snowballstemmer.stemmer("porter").stemWords(text.split()))


def _common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence, in time |first| x |second| and one row of memory."""
    lengths = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for place, other in enumerate(second, 1):
            above = lengths[place]
            lengths[place] = before + 1 if word == other else max(above, lengths[place - 1])
            before = above
    return lengths[-1]
