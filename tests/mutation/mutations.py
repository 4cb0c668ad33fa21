"""One-line mutants of Python source: the small slips that a good test notices.

Left alone are docstrings, texts of messages, help and logs, the looks of figures (properties as
matplotlib names them, and numbers with a decimal point in modules that import it), ``__repr__``,
annotations, decorators, imports, ``strict`` of zip and ``ensure_ascii`` of JSON: they are nothing that
a test should pin down.
"""

import ast
import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

OPERATORS = {
    "<": "<=,>",
    "<=": "<,>",
    ">": ">=,<",
    ">=": ">,<",
    "==": "!=",
    "!=": "==",
    "in": "not in",
}
OPERATORS |= {"not in": "in", "is": "is not", "is not": "is", "and": "or", "or": "and", "+": "-"}
OPERATORS |= {"-": "+", "*": "/", "/": "*", "//": "/", "%": "*", "**": "*", "@": "*", "&": "|"}
OPERATORS |= {"|": "&", "^": "&", "<<": ">>", ">>": "<<"}
OPERATORS |= {f"{old}=": f"{OPERATORS[old]}=,=" for old in "+ - * / // % ** @ & | ^".split()}
NAMES = "min/max any/all minimum/maximum argmin/argmax floor/ceil zeros/ones zeros_like/ones_like sum/mean"
NAMES += " nanmin/nanmax append/extend cos/sin exp/expm1 log/log1p"
TWINS = {a: b for pair in NAMES.split() for a, b in (pair.split("/"), pair.split("/")[::-1])}
SYMMETRIC = set("min max minimum maximum hypot isinstance".split())
TEXTS = set("help description metavar prog epilog title label xlabel ylabel desc".split())
LOOKS = set(
    "color lw ls linewidth linestyle zorder alpha fontsize ha va facecolor edgecolor".split()
)
LOOKS |= set("s ms mew mec mfc dpi figsize pad labelpad aspect xlim ylim framealpha".split())
LOOKS |= {"font.size", "width_ratios", "height_ratios"}
FORM = {"strict", "ensure_ascii"}  # guards against one's own errors, and how a text is written
MAY_MISS = LOOKS | FORM | set("help description metavar prog epilog desc default_factory".split())
SPEAKING = set("print warn info debug warning error set_postfix_str".split())


class Edit(NamedTuple):
    """Bytes ``start`` to ``end`` of a line, numbered from 1, become a text."""

    line: int
    start: int
    end: int
    text: str


class Mutant(NamedTuple):
    """A changed line: its file, number and text before and after, without indentation."""

    file: str
    line: int
    before: str
    after: str


def sample(root: Path, only: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Lines drawn uniformly from all that can be changed, each with one of its edits.

    A larger ``count`` begins with the mutants of a smaller one, and a change of one line leaves the
    mutants of all others as they were.
    """
    drawn = []
    places = [root / part for part in only]
    for path in sorted(
        {p for one in places for p in ([one] if one.is_file() else one.rglob("*.py"))}
    ):
        source, seen, of_line = path.read_text(encoding="utf-8"), Counter(), defaultdict(list)
        lines, file = source.splitlines(), path.relative_to(root).as_posix()
        for edit in edits(source):
            of_line[edit.line].append(edit)
        for number, some in sorted(of_line.items()):
            text = lines[number - 1].strip()
            seen[text] += 1
            key = hashlib.sha256(f"{seed}:{file}:{text}:{seen[text]}".encode()).hexdigest()
            drawn.append((key, file, source, sorted(set(some))))
    return list(islice(filter(None, (_chosen(*one) for one in sorted(drawn))), count))


def edits(source: str) -> list[Edit]:
    """Every edit of the source's lines."""
    lines, tree = [line.encode() for line in source.splitlines()], ast.parse(source)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    if any("matplotlib" in ast.unparse(node) for node in imports):
        for node in ast.walk(tree):  # sizes and places in a figure are taken for texts
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                node.value = str(node.value)
    return [edit for edit in _walk(tree, lines) if edit is not None]


def applied(edit: Edit, source: str) -> str:
    """The source with the edit made."""
    lines = source.splitlines(keepends=True)
    line = lines[edit.line - 1].encode()
    lines[edit.line - 1] = (line[: edit.start] + edit.text.encode() + line[edit.end :]).decode()
    return "".join(lines)


def _chosen(key: str, file: str, source: str, some: list[Edit]) -> Mutant | None:
    """One of a line's edits that leaves valid Python of another meaning."""
    meaning = ast.dump(ast.parse(source))
    random.Random(key).shuffle(some)
    for edit in some:
        changed = applied(edit, source)
        try:
            differs = ast.dump(ast.parse(changed)) != meaning
        except SyntaxError:
            continue
        if differs:
            pair = (text.splitlines()[edit.line - 1].strip() for text in (source, changed))
            return Mutant(file, edit.line, *pair)
    return None


def _walk(node: ast.AST, lines: list[bytes]) -> Iterator[Edit | None]:
    yield from _of(node, lines)
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        shown = [value for key, value in pairs if getattr(key, "value", None) not in LOOKS]
        node = ast.Dict(node.keys, shown)
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "exc"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _left_alone(child):
                    yield from _walk(child, lines)


def _left_alone(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.FunctionDef(name="__repr__") | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.keyword(arg=name):
            return name in TEXTS | LOOKS | FORM
        case ast.Raise(exc=ast.Name(id="NotImplementedError")):
            return True
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in SPEAKING
    return False


def _of(node: ast.AST, lines: list[bytes]) -> Iterator[Edit | None]:
    """Edits of one node, less those of its children."""
    match node:
        case ast.Compare(left=left, comparators=others):
            yield from _operators([left, *others], lines)
        case ast.BinOp(left=left, right=right):
            yield from _operators([left, right], lines)
        case ast.BoolOp(values=values):
            yield from _operators(values, lines)
        case ast.AugAssign(target=target, value=value):
            yield from (*_operators([target, value], lines), _whole(node, "pass"))
        case ast.UnaryOp(operand=inner):
            yield _whole(node, _text(inner, lines))
        case ast.Constant(value=bool() | int() | float() as value):
            yield from (_whole(node, text) for text in _constants(value))
        case ast.Attribute(attr=name) if name in TWINS and node.lineno == node.end_lineno:
            end = node.end_col_offset
            yield Edit(node.lineno, end - len(name), end, TWINS[name])
        case ast.Name(id=name) if name in TWINS:
            yield _whole(node, TWINS[name])
        case ast.Call(func=called, args=positional, keywords=keywords):
            yield from _dropped(positional, keywords, lines)
            if getattr(called, "id", getattr(called, "attr", "")) not in SYMMETRIC:
                yield from _swapped(positional, lines)
        case ast.Slice(lower=lower, upper=upper):
            yield from (_whole(bound, "") for bound in (lower, upper) if bound)
        case ast.IfExp(test=test) | ast.If(test=test):
            yield _whole(test, f"(not ({_text(test, lines)}))")
        case ast.comprehension(ifs=tests):
            yield from (_whole(test, "True") for test in tests)
        case ast.Return(value=ast.expr()):
            yield _whole(node, "return None")
        case ast.Break() | ast.Continue():
            yield _whole(node, "continue" if isinstance(node, ast.Break) else "break")
        case ast.Raise() | ast.Delete() | ast.Return() | ast.Expr():
            yield _whole(node, "pass")
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield _whole(node, "pass")


def _constants(value: bool | int | float) -> list[str]:
    if isinstance(value, bool):
        return [str(not value)]
    return (
        [str(value + 1), str(value - 1)]
        if isinstance(value, int)
        else [str(value * 2), str(value / 2)]
    )


def _operators(operands: list[ast.expr], lines: list[bytes]) -> Iterator[Edit]:
    """Other operators between operands that are on one line."""
    for a, b in pairwise(operands):
        between = lines[b.lineno - 1][a.end_col_offset : b.col_offset].decode()
        old = between.strip(" ()")
        if a.end_lineno == b.lineno and old in OPERATORS:
            start = a.end_col_offset + between.index(old)
            for new in OPERATORS[old].split(","):
                yield Edit(b.lineno, start, start + len(old), new)


def _dropped(positional: list, keywords: list, lines: list[bytes]) -> Iterator[Edit]:
    """A keyword or the last argument is left out."""
    for before, argument in pairwise([None, *positional, *keywords]):
        last = before and argument is (*positional, *keywords)[-1]
        if getattr(argument, "arg", None) in MAY_MISS:
            continue
        if argument.lineno == argument.end_lineno and (last or argument in keywords):
            line, start, end = argument.lineno, argument.col_offset, argument.end_col_offset
            if before and before.end_lineno == line:
                yield Edit(line, before.end_col_offset, end, "")
            else:
                yield Edit(line, start, end + lines[line - 1][end:].startswith(b","), "")


def _swapped(positional: list, lines: list[bytes]) -> Iterator[Edit]:
    for a, b in pairwise(positional):
        if a.lineno == b.end_lineno:
            text = f"{_text(b, lines)}, {_text(a, lines)}"
            yield Edit(a.lineno, a.col_offset, b.end_col_offset, text)


def _text(node: ast.AST, lines: list[bytes]) -> str:
    """Source of a node that stands on one line."""
    return lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode()


def _whole(node: ast.AST, text: str) -> Edit | None:
    one = node.lineno == node.end_lineno
    return Edit(node.lineno, node.col_offset, node.end_col_offset, text) if one else None
