"""Documents in every format, about the same boiler."""

from __future__ import annotations

MARKDOWN = """# Boiler

It heats *two* houses.

## Valves

- the red one
- the blue one

```
open --slowly
```

| part | number |
|------|--------|
| lid  | 7      |
"""
HTML = """<html><head><title>no</title><style>p {}</style></head><body>
<h1>Boiler</h1><p>It heats <b>two</b>
houses.</p>and a shed<div>with a <i>roof</i></div>
<script>nothing()</script><nav>Home</nav>
<h2>Valves</h2><ul><li>the red one</li><li>the blue one</li></ul>
<pre>open
  --slowly</pre><h1>Stove</h1><p>It smokes.</p></body></html>"""


def pdf(*pages: str) -> bytes:
    """A PDF with one line of text on each page."""
    kids = " ".join(f"{4 + 2 * place} 0 R" for place in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for place, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * place} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body = "%PDF-1.4\n"
    places = []
    for number, text in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    count = len(objects) + 1
    trailer = f"trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {count}\n0000000000 65535 f \n{table}{trailer}".encode()
