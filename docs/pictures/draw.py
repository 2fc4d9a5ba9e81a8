"""Draws the pictures of docs/concepts.md: ``python docs/pictures/draw.py``.  A test holds the files to it."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parent
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1d2733; }
.small { font-size: 12px; fill: #51606f; }
.box { fill: #eef2f6; stroke: #8a99a8; }
.a { fill: #cfe3f7; stroke: #4d86b8; } .b { fill: #d8efd9; stroke: #5b9a5f; }
.c { fill: #fbe6c4; stroke: #b98a35; } .d { fill: #eadcf5; stroke: #8d66ab; }
.free { fill: none; stroke: #8a99a8; stroke-dasharray: 4 3; }
.line { stroke: #51606f; stroke-width: 1.5; fill: none; marker-end: url(#tip); }
.mark { stroke: #b3372f; stroke-width: 1.5; stroke-dasharray: 5 4; }
.tip { fill: #51606f; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #a9b6c3; } .box { fill: #26303a; stroke: #708090; }
  .a { fill: #1f3f5c; stroke: #6aa5d8; } .b { fill: #224a28; stroke: #78b87c; }
  .c { fill: #54411c; stroke: #d2a75a; } .d { fill: #41305a; stroke: #b08fd0; }
  .line { stroke: #a9b6c3; } .tip { fill: #a9b6c3; } .mark { stroke: #ff8177; }
}
"""


class Picture:
    """A drawing of boxes, words and arrows; places and sizes in pixels."""

    def __init__(self, title: str, width: int, height: int) -> None:
        self._title, self._width, self._height = title, width, height
        self._parts: list[str] = []

    def box(self, x: int, y: int, width: int, height: int, *lines: str, kind: str = "box") -> None:
        """A rectangle with centred words: the first line in full size."""
        self._parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
        top = y + height / 2 - 9 * (len(lines) - 1) + 5
        for number, line in enumerate(lines):
            self.words(x + width // 2, round(top + 18 * number), line, small=number > 0, anchor="middle")

    def words(self, x: int, y: int, text: str, *, small: bool = False, anchor: str = "start") -> None:
        """One line of text."""
        style = ' class="small"' if small else ""
        self._parts.append(f'<text{style} x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>')

    def arrow(self, *points: tuple[int, int], text: str = "", at: tuple[int, int] | None = None) -> None:
        """A line through points, with a tip at its end."""
        path = " L ".join(f"{x} {y}" for x, y in points)
        self._parts.append(f'<path class="line" d="M {path}"/>')
        if text and at is not None:
            self.words(*at, text, small=True, anchor="middle")

    def mark(self, x: int, top: int, bottom: int, text: str) -> None:
        """A line across, with its name above."""
        self._parts.append(f'<line class="mark" x1="{x}" y1="{top}" x2="{x}" y2="{bottom}"/>')
        self.words(x, top - 6, text, small=True, anchor="middle")

    def svg(self) -> str:
        """The whole file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width} {self._height}" '
            f'width="{self._width}" role="img" aria-label="{escape(self._title)}">'
        )
        tip = (
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
            'orient="auto-start-reverse"><path class="tip" d="M 0 0 L 10 5 L 0 10 z"/></marker></defs>'
        )
        return "\n".join([head, f"<style>{STYLE}</style>", tip, *self._parts, "</svg>", ""])


def context() -> Picture:
    """The main context, from left to right as it is sent."""
    made = Picture("The main context and its marks", 880, 190)
    made.box(20, 60, 120, 70, "system", "functions", kind="a")
    made.box(140, 60, 90, 70, "blocks", "always there", kind="b")
    made.box(230, 60, 90, 70, "summary", "of what left", kind="c")
    made.box(320, 60, 300, 70, "queue", "pages as they came; paged in at its end", kind="d")
    made.box(620, 60, 110, 70, "free", kind="free")
    made.box(740, 60, 120, 70, "reply", "kept for it")
    made.mark(395, 40, 145, "50 %: down to here")
    made.mark(540, 40, 145, "70 %: warned")
    made.mark(730, 40, 145, "100 %: flushed")
    made.words(
        20,
        175,
        "Counted with a real tokenizer, corrected by the server; over the last mark nothing is sent.",
        small=True,
    )
    return made


def page() -> Picture:
    """What becomes of a page."""
    made = Picture("The life of a page", 880, 300)
    made.box(20, 110, 150, 60, "interrupt", "a message, an event")
    made.box(260, 110, 170, 60, "resident", "full, in the context", kind="a")
    made.box(260, 220, 170, 60, "archive", "recall, found by search", kind="b")
    made.box(560, 20, 200, 55, "handle", "one line with its id", kind="c")
    made.box(560, 110, 200, 55, "in the summary", "its gist", kind="c")
    made.box(560, 200, 200, 55, "nothing here", "still in the archive", kind="c")
    made.arrow((170, 140), (258, 140), text="enters", at=(214, 132))
    made.arrow((345, 170), (345, 218), text="stored at once", at=(400, 199))
    made.arrow((430, 130), (500, 130), (500, 47), (558, 47), text="evicted: the policy says who,", at=(645, 97))
    made.arrow((430, 140), (558, 138), text="the write-back what stays", at=(645, 184))
    made.arrow((430, 150), (500, 150), (500, 227), (558, 227))
    made.arrow((600, 20), (600, 8), (300, 8), (300, 108), text="page_in: a page fault", at=(450, 24))
    return made


def chain() -> Picture:
    """An interrupt, its chain, and how it is preempted."""
    made = Picture("A chain that is preempted and resumes", 880, 220)
    made.box(20, 30, 140, 50, "mailbox", "by priority, bounded")
    made.box(220, 30, 120, 50, "think", "the model", kind="a")
    made.box(380, 30, 120, 50, "act", "its calls", kind="b")
    made.box(540, 30, 120, 50, "think", kind="a")
    made.box(720, 30, 140, 50, "yield", "nothing more asked")
    made.arrow((160, 55), (218, 55))
    made.arrow((340, 55), (378, 55))
    made.arrow((500, 55), (538, 55))
    made.arrow((660, 55), (718, 55))
    made.box(380, 140, 120, 50, "think", "for the user", kind="d")
    made.box(540, 140, 120, 50, "yield", kind="d")
    made.arrow((160, 75), (190, 165), (378, 165), text="a user's message: higher", at=(270, 157))
    made.arrow((440, 80), (440, 138), text="put aside", at=(475, 115))
    made.arrow((500, 165), (538, 165))
    made.arrow((600, 140), (600, 82), text="resumed", at=(632, 115))
    return made


def cluster() -> Picture:
    """Who does what in a fleet on Ray."""
    made = Picture("Hosts, stores and the scheduler", 880, 300)
    made.box(20, 30, 150, 60, "your program", "router: batches, credits")
    made.box(20, 200, 150, 60, "scheduler", "places, model budget", kind="c")
    made.box(
        270, 20, 240, 120, "host (a Ray actor)", "frames: resident agents", "kernel: events in, effects out", kind="a"
    )
    made.box(270, 170, 240, 110, "host (another node)", "hibernated agents have no frame", kind="a")
    made.box(
        620,
        20,
        240,
        120,
        "store actor (a shard)",
        "journal: the truth (SQLite)",
        "archive: for finding (Qdrant)",
        kind="b",
    )
    made.box(620, 200, 240, 60, "or PostgreSQL and Qdrant", "when a cluster outlives its disks", kind="b")
    made.arrow((170, 50), (268, 50), text="interrupts", at=(218, 42))
    made.arrow((510, 60), (618, 60), text="appends", at=(564, 52))
    made.arrow((510, 100), (618, 100), text="pages, searches", at=(564, 92))
    made.arrow((95, 90), (95, 198), text="asked on a miss", at=(150, 150))
    made.arrow((510, 215), (618, 120))
    made.arrow((170, 230), (268, 230), text="budget, moves", at=(220, 222))
    return made


def pictures() -> dict[str, str]:
    """Every file with its content."""
    return {f"{make.__name__}.svg": make().svg() for make in (context, page, chain, cluster)}


if __name__ == "__main__":
    for name, content in pictures().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
