"""An agent's past drawn: its steps, what was sent, what is otherwise, its story."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pagefault.cluster.console.draw.colours import CAME, CHANGED, WENT
from pagefault.cluster.console.draw.words import clean, lines, moment, plain
from pagefault.cluster.console.views.difference import Difference, PageChange, TextChange
from pagefault.runtime.host.timeline import Milestone, StepRow
from pagefault.runtime.values import Message

BAR_CELLS = 12
BARS_MIN = 3
LEVELS = " ▁▂▃▄▅▆▇█"
ROLES = {"system": "blue", "user": "cyan", "assistant": "green", "tool": "magenta"}
_COUNTS = (("steps", "steps"), ("faults", "page_faults"), ("evictions", "evictions"), ("flushes", "flushes"))


def step_table(rows: Sequence[StepRow], prompt_limit: int) -> Table:
    """One step a row, oldest first."""
    table = Table(title=f"steps ({len(rows):,})", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.header_style = "dim"
    table.add_column("step", justify="right")
    table.add_column("time, UTC", no_wrap=True)
    table.add_column("tokens", justify="right")
    table.add_column("", no_wrap=True)
    for name in ("faults", "evicted", "in", "out"):
        table.add_column(name, justify="right")
    table.add_column("served")
    table.add_column("did", min_width=20)
    for row in rows:
        step = f"{row.step:,}" if row.is_taken else "since"
        counts = (_some(row.faults), _some(row.evictions), _some(len(row.pages_in)), _some(len(row.pages_out)))
        served = plain(f"{row.kind} from {row.sender}: {row.said}" if row.kind else "")
        bar = Text(level(row.tokens, prompt_limit), "cyan")
        table.add_row(step, moment(row.at_ms), f"{row.tokens:,}", bar, *counts, served, plain(did(row)))
    return table


def _some(count: int) -> str:
    return f"{count:,}" if count else ""


def did(row: StepRow) -> str:
    """What a step brought about, in words."""
    parts = [f"epoch {epoch}" for epoch in row.epochs]
    for count, one in ((row.warnings, "warned"), (row.flushes, "flushed"), (row.summaries, "summarised")):
        parts += [one] if count == 1 else [f"{one} {count} times"] if count else []
    parts += [f"{call}()" for call in row.calls]
    words = ", ".join(parts)
    if not row.reply:
        return words
    return f"{words}; said: {row.reply}" if words else f"said: {row.reply}"


def level(tokens: int, limit: int) -> str:
    """A bar of at most ``BAR_CELLS`` cells."""
    return "█" * min(BAR_CELLS, round(BAR_CELLS * tokens / max(1, limit)))


def life(stones: Sequence[Milestone]) -> Table:
    """A whole life at a glance: how much happened from each snapshot that was kept to the next."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for title, name in _COUNTS:
        counts = [stone.statistics.get(name, 0) for stone in stones]
        grown = [now - then for then, now in pairwise(counts)]
        total = counts[-1] if counts else 0
        bars = spark(grown) if len(grown) >= BARS_MIN else ""
        table.add_row(Text(title, "dim"), f"{total:,}", Text(bars, "cyan"))
    return table


def spark(counts: Sequence[int]) -> str:
    """Counts as small bars, the largest one full."""
    most = max(counts, default=0)
    if not most:
        return ""
    return "".join(LEVELS[-(-count * (len(LEVELS) - 1) // most)] for count in counts)


def messages(sent: Sequence[Message], *, were_sent: bool) -> Group:
    """Messages in full, as a processor gets them."""
    title = "what the model was sent" if were_sent else "what the model would be sent"
    parts: list[Text] = [Text(f"{title} ({len(sent):,} messages)", "bold")]
    for message in sent:
        head = Text(message.role, f"bold {ROLES.get(message.role, '')}")
        about = " ".join(
            part for part in (message.name, f"answers {message.answers}" if message.answers else "") if part
        )
        head.append_text(plain(f" {about}" if about else "", "dim"))
        parts += [head, lines(message.text)]
        parts += [lines(f"→ {call.name}({call.arguments})", "green") for call in message.calls]
    return Group(*parts)


def changes(found: Difference) -> Group:
    """What is otherwise."""
    head = Text(f"step {found.before:,} → step {found.after:,}: ", "bold")
    head.append(f"{found.tokens_before:,} → {found.tokens_after:,} tokens; both begin with the same ")
    head.append(f"{found.prefix_messages:,} messages")
    parts: list[Text | Table] = [head]
    if found.is_empty:
        parts.append(Text("nothing is otherwise"))
    if found.statistics:
        parts.append(Text(", ".join(f"{name} {count:+,}" for name, count in found.statistics.items()), "dim"))
    if found.pages:
        parts += [Text(), _page_changes(found.pages)]
    for text in found.texts:
        parts += [Text(), _text_change(text)]
    if any(change.change != "same" for change in found.messages):
        parts += [Text(), *_message_changes(found)]
    return Group(*parts)


def _page_changes(pages: Sequence[PageChange]) -> Table:
    table = Table(title="pages", title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
    for _ in range(4):
        table.add_column(no_wrap=True)
    table.add_column()
    signs = {"came": ("+", CAME), "went": ("-", WENT)}
    for page in pages:
        sign, colour = signs.get(page.change, ("~", CHANGED))
        how = f"{page.before} → {page.after}" if page.change == "fidelity" else page.change
        name = Text(f"{sign} ", colour).append_text(plain(page.id, colour))
        table.add_row(name, how, page.kind, f"{page.tokens:+,}", plain(page.text, "dim"))
    return table


def _text_change(text: TextChange) -> Text:
    shown = Text("\n").join([plain(text.name, "bold"), *(_diff_line(line) for line in text.lines)])
    shown.no_wrap = False
    return shown


def _diff_line(line: str) -> Text:
    return Text(clean(line), {"+": CAME, "-": WENT, "@": "dim"}.get(line[:1], ""))


def _message_changes(found: Difference) -> list[Text]:
    parts = [Text("messages", "bold")]
    for change in found.messages:
        if change.change == "same":
            parts.append(Text(f"  {change.count:,} alike", "dim"))
            continue
        sign, colour = ("+", CAME) if change.change == "new" else ("-", WENT)
        for role, text in change.messages:
            parts.append(plain(f"{sign} {role}: {text}", colour))
    return parts


def story(text: str) -> Text:
    """The last transitions."""
    return Text("the last transitions\n", "bold").append_text(lines(text))
