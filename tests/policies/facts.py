"""Pages to tell policies of."""

from pagefault.policies.contract import PageFacts


def facts(
    page_id: str, tokens: int = 10, *, kind: str = "message", text: str = "", importance: float | None = None
) -> PageFacts:
    return PageFacts(id=page_id, kind=kind, tokens=tokens, text=text, importance=importance)
