"""What can be seen of a page that says whether it will be needed again.

Surface features only: how specific a text is, what is new in it for the agent that reads it, who is speaking
of what, and which identifiers it brings.  They are counted in one pass over the text, and against what the
same agent has read before, so that no embedder and no model is needed at run time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pagefault.policies.contract import PageFacts, State

PAUSE_MS = 30 * 60 * 1000
"""A page that comes so long after the one before it opens a new stretch of history."""
TERMS_MAX = 20_000
"""Distinct words and identifiers that are remembered; above it all counts are halved, and zeros forgotten."""
IDENTIFIER_CHARACTERS_MIN = 3
LONG_WORD_CHARACTERS_MIN = 7

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|[.!?\n]+|\"")
_ATTACHMENT = re.compile(r"\[[^\[\]]*\]")
_IDENTIFIER = re.compile(r"[\w.+@-]+")

# Small closed classes of English words.  A word may be in several.
_CLASSES = {
    "i": "i i'm i've i'd i'll me",
    "my": "my mine our ours",
    "we": "we we're we've us",
    "you": "you your you're you've yours you'll yourself",
    "others": "he she they him her them his their hers he's she's they're",
    "past": (
        "was were went got had did made saw took met bought started began came found won lost gave told said "
        "felt ran wrote read taught learned left moved visited joined finished done been gone seen taken "
        "became built broke brought caught drove ate fell flew grew heard held kept knew led paid sang sold "
        "sent spent spoke thought tried wore"
    ),
    "time": (
        "yesterday today tomorrow tonight week weeks weekend month months year years ago last next day days "
        "night morning afternoon evening monday tuesday wednesday thursday friday saturday sunday january "
        "february march april may june july august september october november december summer winter spring "
        "fall recently soon since until already just new first birthday anniversary"
    ),
    "number": (
        "one two three four five six seven eight nine ten eleven twelve twenty thirty hundred thousand once "
        "twice couple few several"
    ),
    "courtesy": (
        "hey hi hello thanks thank wow cool awesome great amazing nice wonderful bye congrats congratulations "
        "glad yeah yep sure absolutely definitely totally good luck care proud agree sounds right lovely "
        "fantastic incredible inspiring appreciate"
    ),
    "relation": (
        "sister brother mom mother dad father parents family wife husband son daughter kid kids child "
        "children friend friends grandma grandmother grandpa cousin aunt uncle girlfriend boyfriend partner "
        "dog dogs cat cats puppy pet pets colleague team neighbor"
    ),
    "plan": (
        "will going plan planning plans want hope hoping excited decided thinking gonna wanna looking considering"
    ),
    "taste": "favorite love loves loved like likes enjoy enjoyed hate prefer best dream passion hobby interested",
    "denial": "not don't didn't can't couldn't never no won't isn't wasn't haven't doesn't",
    "picture": "photo picture pic image photos pictures pics video painting drawing",
    "article": "a an",
    "definite": "the",
    "pointing": "it it's that that's this",
    "asking": "what where when who which how why what's where's who's how's whose",
    "assent": "yes yeah yep no nope sure thanks thank wow definitely absolutely totally oh aw aww hey hi",
}
_COMMON = frozenset(
    (
        "a about all am an and any are as at be been being but by can could do does for from has have he her "
        "here his how i if in is it it's just lot lots me more much my no not of oh on or our out really she "
        "should so some than that that's the their them then there these they this those to too up very was "
        "we were what when which who why will with would yes you your"
    ).split()
)
_COUNTED = tuple(name for name in _CLASSES if name not in {"asking", "assent"})
_PLACES = {name: place for place, name in enumerate((*_COUNTED, "asking", "assent"))}
_ASKING, _ASSENT, _COURTESY = _PLACES["asking"], _PLACES["assent"], _PLACES["courtesy"]
_CLASSES_OF: dict[str, tuple[int, ...]] = {}
for _name, _place in _PLACES.items():
    for _word in _CLASSES[_name].split():
        _CLASSES_OF[_word] = (*_CLASSES_OF.get(_word, ()), _place)

KINDS = ("message", "reply", "call", "result")
CALLING = frozenset({"call", "result"})
"""Kinds that only an agent has that calls functions."""
FEATURES = (
    *(f"{name}_count" for name in _COUNTED),
    *(f"{name}_share" for name in _COUNTED),
    *("tokens", "words", "ed", "ing", "long", "mean_length", "distinct_share", "numerals", "quotes"),
    *("questions", "ends_asking", "exclaims_share", "statements", "names", "new_names", "assents"),
    *("attachment", "attachment_words", "attachment_new"),
    *("new_words", "new_share", "rarity", "mean_rarity"),
    *("opening", "same_author", "history"),
    *("before_questions", "before_asking", "before_words", "before_attachment", "before_courtesy", "before_overlap"),
    *("identifiers", "new_identifiers", "new_codes"),
    *(f"kind_{kind}" for kind in KINDS),
    "calling",
)
"""Names of the features, in the order in which :meth:`Reader.read` gives their values."""


@dataclass(slots=True)
class _Said:
    """What one pass over a text counts."""

    by_class: list[int] = field(default_factory=lambda: [0] * len(_PLACES))
    words: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    quotes: int = 0
    questions: int = 0
    asking: int = 0  # questions that begin with what, where, when, ...
    exclaims: int = 0
    sentences: int = 0
    statements: int = 0  # words outside questions
    ends_asking: bool = False


@dataclass(slots=True)
class _Before:
    """What is still wanted of the page before."""

    author: str = ""
    questions: int = 0
    asking: int = 0
    words: float = 0.0
    attachment: float = 0.0
    courtesy: float = 0.0
    content: frozenset[str] = frozenset()


class Reader:
    """Reads the pages of one agent in their order, and knows what was in them.

    Memory is bounded: terms are counted as TinyLFU counts keys (Einziger, Friedman, Manes 2017), with all
    counts halved when there are too many.
    """

    def __init__(self) -> None:
        self._pages_of: dict[str, int] = {}  # word or identifier -> pages that had it
        self._pages = 0
        self._calls = 0  # pages of the kinds that come of calling functions
        self._created_ms = 0
        self._since_pause = -1
        self._before = _Before()

    def read(self, page: PageFacts) -> list[float]:
        """The values of :data:`FEATURES` for the next page.  Time is linear in the text."""
        attached = " ".join(_ATTACHMENT.findall(page.text))
        said = _listen(_ATTACHMENT.sub(" ", page.text) if attached else page.text)
        shown = [word for word in _words(attached) if _has_content(word)]
        content = frozenset(word for word in said.words if _has_content(word))
        identifiers = _identifiers(page.text)
        if self._pages == 0 or page.created_ms - self._created_ms > PAUSE_MS:
            self._since_pause = -1
        self._since_pause += 1
        values = [
            *_wording(page, said),
            *self._attachment(attached, shown),
            *self._novelty(content),
            *self._place(page),
            *self._answering(content),
            *self._provenance(identifiers),
            *(1.0 if page.kind == kind else 0.0 for kind in KINDS),
            self._calling(page),
        ]
        names = math.log1p(sum(1 for name in said.names if name not in self._pages_of))
        values[_NEW_NAMES] = names
        self._remember(page, said, content, {*content, *said.names, *shown, *identifiers}, bool(attached))
        return values

    def dump(self) -> State:
        """All that was learned, JSON-like."""
        before = self._before
        return {
            "terms": list(map(list, self._pages_of.items())),
            "pages": self._pages,
            "calls": self._calls,
            "created_ms": self._created_ms,
            "since_pause": self._since_pause,
            "before": [
                *(before.author, before.questions, before.asking, before.words, before.attachment, before.courtesy),
                sorted(before.content),
            ],
        }

    def load(self, state: State) -> None:
        """Take over what another reader dumped."""
        self._pages_of = {str(term): int(pages) for term, pages in state["terms"]}
        self._pages = int(state["pages"])
        self._calls = int(state["calls"])
        self._created_ms = int(state["created_ms"])
        self._since_pause = int(state["since_pause"])
        author, questions, asking, words, attachment, courtesy, content = state["before"]
        self._before = _Before(author, questions, asking, words, attachment, courtesy, frozenset(content))

    def _attachment(self, attached: str, shown: Sequence[str]) -> tuple[float, ...]:
        new = sum(1 for word in set(shown) if word not in self._pages_of)
        return 1.0 if attached else 0.0, math.log1p(len(shown)), math.log1p(new)

    def _novelty(self, content: frozenset[str]) -> tuple[float, ...]:
        """How much of what is said the agent has not read yet, and how rare the words are in all it has read."""
        counts = [self._pages_of.get(word, 0) for word in content]
        new = counts.count(0)
        # fsum is exact: the order of a set must not matter
        rarity = math.fsum(max(0.0, math.log((self._pages + 1) / (count + 0.5))) for count in counts)
        some = max(1, len(counts))
        return math.log1p(new), new / some, rarity / 10, rarity / some

    def _place(self, page: PageFacts) -> tuple[float, ...]:
        same = page.author == self._before.author and self._pages > 0
        return 1 / (1 + self._since_pause), 1.0 if same else 0.0, math.log1p(min(self._pages, 100))

    def _answering(self, content: frozenset[str]) -> tuple[float, ...]:
        before = self._before
        overlap = len(content & before.content) / max(1, len(content))
        return (
            *(float(before.questions), float(before.asking), before.words),
            *(before.attachment, before.courtesy, overlap),
        )

    def _calling(self, page: PageFacts) -> float:
        """The share of calls and results among all pages, this one included."""
        return (self._calls + (page.kind in CALLING)) / (self._pages + 1)

    def _provenance(self, identifiers: Sequence[str]) -> tuple[float, ...]:
        new = [each for each in identifiers if each not in self._pages_of]
        codes = sum(1 for each in new if any(map(str.isalpha, each)))
        return math.log1p(len(identifiers)), math.log1p(len(new)), math.log1p(codes)

    def _remember(self, page: PageFacts, said: _Said, content: frozenset[str], terms: set[str], attached: bool) -> None:
        for term in sorted(terms):
            self._pages_of[term] = self._pages_of.get(term, 0) + 1
        self._pages += 1
        self._calls += page.kind in CALLING
        if len(self._pages_of) > TERMS_MAX:
            self._pages_of = {term: count // 2 for term, count in self._pages_of.items() if count > 1}
            self._pages //= 2
            self._calls //= 2
        self._created_ms = page.created_ms
        words = len(said.words)
        self._before = _Before(
            author=page.author,
            questions=said.questions,
            asking=said.asking,
            words=math.log1p(words),
            attachment=float(attached),
            courtesy=said.by_class[_COURTESY] / max(1, words),
            content=content,
        )


def _words(text: str) -> list[str]:
    return [token.lower() for token in _TOKEN.findall(text) if token[0] not in '.!?\n"']


def _has_content(word: str) -> bool:
    return len(word) > 2 and word not in _COMMON


def _identifiers(text: str) -> list[str]:
    """Distinct terms with a digit, such as numbers of flights and orders, dates and prices."""
    found = dict.fromkeys(term.strip(".+-") for term in _IDENTIFIER.findall(text))
    return [term for term in found if len(term) >= IDENTIFIER_CHARACTERS_MIN and any(map(str.isdigit, term))]


def _listen(text: str) -> _Said:
    said = _Said()
    begin = 0  # of the sentence, in words
    for token in _TOKEN.findall(text):
        first = token[0]
        if first in ".!?\n":
            if len(said.words) > begin:
                _end_sentence(said, begin, token)
                begin = len(said.words)
        elif first == '"':
            said.quotes += 1
        else:
            word = token.lower()
            if "\u2019" in word:
                word = word.replace("\u2019", "'")
            if word != token and len(said.words) > begin and len(word) > 1 and word[:2] != "i'":
                said.names.append(word)
            for place in _CLASSES_OF.get(word, ()):
                said.by_class[place] += 1
            said.words.append(word)
    if len(said.words) > begin:
        _end_sentence(said, begin, "")
    return said


def _end_sentence(said: _Said, begin: int, mark: str) -> None:
    said.sentences += 1
    said.ends_asking = "?" in mark
    if said.ends_asking:
        said.questions += 1
        said.asking += any(_ASKING in _CLASSES_OF.get(word, ()) for word in said.words[begin : begin + 3])
    else:
        said.exclaims += "!" in mark
        said.statements += len(said.words) - begin


def _wording(page: PageFacts, said: _Said) -> list[float]:
    """The features that a text has by itself, up to those of its attachment."""
    log1p = math.log1p
    words = said.words
    count = len(words)
    some = max(1, count)
    counted = said.by_class[: len(_COUNTED)]
    assents = count > 0 and _ASSENT in _CLASSES_OF.get(words[0], ())
    return [
        *map(log1p, counted),
        *(each / some for each in counted),
        log1p(max(0, page.tokens)),
        log1p(count),
        log1p(sum(1 for word in words if word[-2:] == "ed" and len(word) > 4)),
        log1p(sum(1 for word in words if word[-3:] == "ing" and len(word) > 5)),
        log1p(sum(1 for word in words if len(word) >= LONG_WORD_CHARACTERS_MIN)),
        sum(map(len, words)) / some,
        len(set(words)) / some,
        log1p(sum(1 for word in words if not word.isalpha() and any(map(str.isdigit, word)))),
        1.0 if said.quotes > 1 else 0.0,
        float(min(said.questions, 5)),
        1.0 if said.ends_asking else 0.0,
        said.exclaims / max(1, said.sentences),
        log1p(said.statements),
        log1p(len(said.names)),
        0.0,  # new names: the reader's, who knows the old ones
        1.0 if assents else 0.0,
    ]


_NEW_NAMES = FEATURES.index("new_names")
