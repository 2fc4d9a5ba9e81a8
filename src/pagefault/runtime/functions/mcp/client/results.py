"""What a tool returned, as text for a model."""

from __future__ import annotations

import json

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

RESULT_CHARS_MAX = 200_000
LINE_CHARS_MAX = 500


def text_of_result(result: CallToolResult) -> str:
    """The texts of a result; what is no text is named, with its kind and size.  Bounded."""
    parts = [_part(block) for block in result.content]
    if not any(parts) and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False, separators=(",", ":"))]
    text = "\n".join(parts)
    if len(text) > RESULT_CHARS_MAX:
        text = f"{text[:RESULT_CHARS_MAX]}\n[cut: {RESULT_CHARS_MAX} of {len(text)} characters]"
    return text


def _part(block: object) -> str:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, ImageContent | AudioContent):
        return f"[{block.type} {block.mime_type[:60]}, {len(block.data) * 3 // 4} bytes: not shown]"
    if isinstance(block, ResourceLink):
        return f"[resource {block.name} at {block.uri}]"[:LINE_CHARS_MAX]
    if isinstance(block, EmbeddedResource):
        inner = block.resource
        if isinstance(inner, TextResourceContents):
            return inner.text
        if isinstance(inner, BlobResourceContents):
            return f"[resource {str(inner.uri)[:LINE_CHARS_MAX]}, {len(inner.blob) * 3 // 4} bytes: not shown]"
    return "[content of a kind that cannot be shown]"
