"""The checkers behind ``test_tidy``: each takes a text or a graph and returns its problems, one line each.

A problem reads ``line: what is wrong and what to do instead``.  Nothing here knows the tree: the tests bring it.
"""

import ast
import io
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
FILE_BYTES_MAX = 500_000

IMPURE_MODULES: Mapping[str, str] = {
    "asyncio": "the host's shell awaits, the kernel returns effects",
    "concurrent": "the host owns threads",
    "ctypes": "no foreign code",
    "http": "the host owns sockets",
    "io": "the host owns files",
    "locale": "results may not depend on the machine",
    "logging": "return a Notice",
    "multiprocessing": "the cluster owns processes",
    "os": "settings are passed in",
    "pathlib": "the host owns files",
    "platform": "results may not depend on the machine",
    "queue": "the host owns threads",
    "random": "a seed is passed in",
    "secrets": "ids are passed in",
    "select": "the host owns sockets",
    "selectors": "the host owns sockets",
    "shutil": "the host owns files",
    "signal": "the cluster owns processes",
    "socket": "the host owns sockets",
    "sqlite3": "the store owns databases",
    "ssl": "the host owns sockets",
    "subprocess": "the cluster owns processes",
    "sys": "results may not depend on the machine",
    "tempfile": "the host owns files",
    "threading": "the host owns threads",
    "time": "time comes in with events, or as `turn`",
    "urllib": "the host owns sockets",
    "uuid": "ids are passed in",
}
IMPURE_CALLS: Mapping[str, str] = {
    "__import__": "import at the top",
    "breakpoint": "remove it",
    "eval": "no code from data",
    "exec": "no code from data",
    "hash": "differs between processes: use zlib.crc32 or the value itself",
    "id": "differs between processes: use an id of our own",
    "input": "the host owns the terminal",
    "open": "the host owns files",
    "print": "return a Notice",
}
IMPURE_METHODS: Mapping[str, str] = {
    "now": "time comes in with events",
    "today": "time comes in with events",
    "utcnow": "time comes in with events",
}

# The brackets keep these patterns from finding themselves.
REGISTRY_HOST = re.compile(
    r"pyp[i]\.(?:org|python\.org)|pyth[o]nhosted\.org|npmj[s]\.(?:org|com)|yarnp[k]g\.com|ana[c]onda\.(?:org|com)"
    r"|crate[s]\.io|proxy\.gol[a]ng\.org|rubyg[e]ms\.org|deb\.de[b]ian\.org|maven\.ap[a]che\.org|ghc[r]\.io"
    r"|[\w-]+\.jfr[o]g\.io|artifact[o]ry|devp[i]\b",
    re.IGNORECASE,
)
MACHINE_PATH = re.compile(r"(?<![\w.$})])/(?:w[o]rk|r[o]ot|h[o]me/\w+|Us[e]rs/\w+)/")
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K|TB[D])\b")
CODED_EXCEPTION = re.compile(
    r"#\s*(?:type: ignore|noqa)(?P<codes>\[[\w,\s-]+\]|:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?(?P<rest>.*)"
)
REASON = re.compile(r"[^\W\d_]{3,}")


def impurities(source: str) -> list[str]:
    """Imports and calls that would let time, chance, files or the network into a pure room."""
    problems = []
    for line, name in _imports(source):
        root = name.partition(".")[0]
        if root in IMPURE_MODULES:
            problems.append(f"{line}: imports {root}: {IMPURE_MODULES[root]}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
                problems.append(f"{node.lineno}: calls {node.func.id}(): {IMPURE_CALLS[node.func.id]}")
            if isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_METHODS:
                problems.append(f"{node.lineno}: calls .{node.func.attr}(): {IMPURE_METHODS[node.func.attr]}")
    return problems


def imports_of(source: str, package: str) -> list[str]:
    """Imports of one top-level package."""
    return [f"{line}: imports {name}: leave that to its own room" for line, name in _imports(source, package)]


def undeclared_imports(source: str, declared: Collection[str]) -> list[str]:
    """Imports of top-level packages that are not among ``declared``."""
    return [
        f"{line}: imports {name}, which pyproject.toml does not depend on"
        for line, name in _imports(source)
        if name.partition(".")[0] not in declared
    ]


def inner_imports(source: str, own: str) -> list[str]:
    """Imports of our own package inside a function: the sign of a cycle that is being hidden."""
    return [
        f"{line}: imports {name} inside {function.name}(): import it at the top"
        for function in ast.walk(ast.parse(source))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for line, name in _imports(function, own)
    ]


def oversized(
    source: str, lines_max: int = MODULE_LINES_MAX, function_lines_max: int = FUNCTION_LINES_MAX
) -> list[str]:
    """A module or functions with too many lines; docstrings of functions are not counted."""
    problems = []
    lines = len(source.splitlines())
    if lines > lines_max:
        problems.append(f"{lines}: the module has {lines} lines, at most {lines_max}: split it")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = _lines(node) - (_lines(node.body[0]) if ast.get_docstring(node, clean=False) is not None else 0)
            if length > function_lines_max:
                problems.append(f"{node.lineno}: {node.name}() has {length} lines, at most {function_lines_max}")
    return problems


def unexplained_broad_excepts(source: str) -> list[str]:
    """``except Exception`` and broader without the reason in a comment beside it: on its line or next to it."""
    comments = _comments(source)
    problems = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
            near = [comments.get(node.lineno + away, "") for away in (-1, 0, 1)]
            if not any(REASON.search(_without_codes(comment)) for comment in near):
                problems.append(f"{node.lineno}: catches everything: say why in a comment beside it, or catch less")
    return problems


def unexplained_exceptions(source: str) -> list[str]:
    """``type: ignore`` and ``noqa`` comments that lack a code or a reason."""
    problems = []
    for line, comment in _comments(source).items():
        match = CODED_EXCEPTION.search(comment)
        if match and not match["codes"]:
            problems.append(f"{line}: name the rule: type: ignore[code], noqa: CODE")
        elif match and not REASON.search(_without_codes(comment)):
            problems.append(f"{line}: say why in the rest of the comment")
    return problems


def unfinished(text: str) -> list[str]:
    """Notes to oneself; they belong in an issue."""
    return _matches(text, UNFINISHED, "is a note to oneself: finish it or file it")


def addresses(text: str) -> list[str]:
    """Hosts of package registries, and paths of one machine: pip's configuration and options say these."""
    return _matches(
        text, REGISTRY_HOST, "is the host of a registry: pip's own configuration says where packages are"
    ) + (_matches(text, MACHINE_PATH, "is a path of one machine"))


def lock_addresses(text: str) -> list[str]:
    """Lines of a lock that say where a package comes from instead of what it is."""
    return [
        f"{number}: {line.strip()!r} is not a name, version or hash"
        for number, line in enumerate(text.splitlines(), start=1)
        if not re.fullmatch(
            r"\s*(?:#.*)?|[\w.-]+(?:\[[\w,-]+\])?==[\w.!+]+(?: ; [^:]+)? \\|\s+--hash=sha256:[0-9a-f]{64}(?: \\)?", line
        )
    ]


def unfit_file(content: bytes, bytes_max: int = FILE_BYTES_MAX) -> list[str]:
    """A file that is too large for a repository, or a text that does not end with a newline."""
    problems = []
    if len(content) > bytes_max:
        problems.append(f"{len(content)} bytes, at most {bytes_max}")
    if content and b"\0" not in content and not content.endswith(b"\n"):
        problems.append("does not end with a newline")
    return problems


def cycles(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """Groups of modules that import each other in a circle, from module -> modules that it imports."""
    reach = {module: _reachable(module, imports) for module in imports}
    circles = {frozenset(other for other in reach[module] if module in reach.get(other, ())) for module in imports}
    return sorted(" <-> ".join(sorted(circle)) for circle in circles if circle)


def misplaced_test(test: PurePosixPath, modules: Iterable[PurePosixPath], exceptions: Sequence[str]) -> list[str]:
    """A test module that mirrors no module: ``a/test_x.py`` or ``a/test_x_aspect.py`` belong to ``a/x.py``.

    ``modules`` are relative to the package, ``test`` to the tests; ``exceptions`` are files and folders.
    """
    if any(str(test) == each or str(test).startswith(each.removesuffix("/") + "/") for each in exceptions):
        return []
    homes = {module.parent if module.name == "__init__.py" else module.with_suffix("") for module in modules}
    subject = test.stem.removeprefix("test_")
    while subject:
        if test.parent / subject in homes or (test.parent in homes and test.parent.name == subject):
            return []
        subject = subject.rpartition("_")[0]
    return [f"{test} mirrors no module: name it after one, or list it as an exception"]


def _imports(source: str | ast.AST, package: str = "") -> Iterator[tuple[int, str]]:
    """Line and full name of every import, or of those of one package."""
    for node in ast.walk(ast.parse(source) if isinstance(source, str) else source):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            if not package or name.partition(".")[0] == package:
                yield node.lineno, name  # type: ignore[attr-defined]  # imports have lines


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def _without_codes(comment: str) -> str:
    match = CODED_EXCEPTION.search(comment)
    return comment[: match.start()] + match["rest"] if match else comment


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    each = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"} for name in each)


def _matches(text: str, pattern: re.Pattern[str], meaning: str) -> list[str]:
    return [
        f"{number}: {match.group()!r} {meaning}"
        for number, line in enumerate(text.splitlines(), start=1)
        for match in pattern.finditer(line)
    ]


def _reachable(start: str, imports: Mapping[str, Iterable[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = list(imports.get(start, ()))
    while ahead:
        module = ahead.pop()
        if module not in seen:
            seen.add(module)
            ahead.extend(imports.get(module, ()))
    return seen
