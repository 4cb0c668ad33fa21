"""The source of a function or class of a notebook, made to stand alone: with all that it needs."""

import ast
import builtins
import dis
import inspect
import linecache
import sys
from types import CodeType

LOADS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")
PLAIN = (bool, int, float, complex, str, bytes, tuple, type(None))


class NotKept(ValueError):
    """An answer cannot be kept or run; the message says why. A notebook shows it without traceback."""

    def _render_traceback_(self):
        return [f"\x1b[31;1mnot kept\x1b[0m  {self}"]


def text_of(answer):
    """The source of ``answer`` behind the imports, constants and other definitions that it uses.

    Raises:
        NotKept: There is no source, or it uses what has none, such as an array of the notebook.
    """
    parts = {"imports": {}, "constants": {}, "definitions": {}}
    _add(answer.__name__, answer, parts, answer.__name__)
    imports, constants = (list(parts[kind].values()) for kind in ("imports", "constants"))
    heads = ["\n".join(lines) for lines in (sorted(imports), constants) if lines]
    return "\n\n".join(heads + ["\n" + text for text in parts["definitions"].values()])


def namespace_of(answer):
    """The names of the notebook, or module, that ``answer`` was defined in."""
    function = _function_of(answer)
    return function.__globals__ if function else vars(sys.modules[answer.__module__])


def _function_of(answer):
    """The function, or the first method of a class that has any."""
    if inspect.isfunction(answer):
        return inspect.unwrap(answer)
    return next((value for value in vars(answer).values() if inspect.isfunction(value)), None)


def _add(name, value, parts, whose):
    """Add what stands for ``value`` in a file; first of all itself, then what it uses."""
    if any(name in found for found in parts.values()):
        return
    if statement := _import(name, value):
        parts["imports"][name] = statement
    elif inspect.isfunction(value) or inspect.isclass(value):
        parts["definitions"][name] = source = _source(name, value)
        for used, other in _used(name, source, value).items():
            _add(used, other, parts, name)
        parts["definitions"][name] = parts["definitions"].pop(name)  # behind what it uses
    elif isinstance(value, PLAIN) and _is_literal(value):
        parts["constants"][name] = f"{name} = {value!r}"
    else:
        kind = type(value).__name__
        raise NotKept(
            f"{whose} uses {name}, of the notebook ({kind}): make it an argument of {whose}"
        )


def _import(name, value):
    """The statement that imports ``value`` as ``name``; None for what the notebook defines."""
    if inspect.ismodule(value):
        return f"import {value.__name__}" + (f" as {name}" if name != value.__name__ else "")
    module, own = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if module in (None, "__main__", "builtins") or own is None:
        return None
    if getattr(sys.modules.get(module), own, None) is not value:
        return None
    return f"from {module} import {own}" + (f" as {name}" if name != own else "")


def _is_literal(value):
    try:
        return ast.literal_eval(repr(value)) == value
    except (ValueError, SyntaxError):
        return False


def _source(name, value):
    """The definition of ``name`` at the top level of its cell, decorators included."""
    function = _function_of(value)
    filename = function.__code__.co_filename if function else "?"
    text = "".join(linecache.getlines(filename))
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise NotKept(f"the cell of {name} cannot be read as Python: {error}") from error
    kinds = (ast.FunctionDef, ast.ClassDef)
    for node in reversed([node for node in body if isinstance(node, kinds)]):
        if node.name == value.__name__ == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    why = "define it by def or class, in a cell and not inside another function"
    raise NotKept(f"there is no source of {name}: {why}")


def _used(name, source, value):
    """The names of the notebook that a definition uses, with their values.

    Raises:
        NotKept: One is defined neither there nor by Python.
    """
    namespace, used, codes = namespace_of(value), {}, [compile(source, "<own>", "exec")]
    while codes:
        code = codes.pop()
        codes += [one for one in code.co_consts if isinstance(one, CodeType)]
        steps = list(dis.get_instructions(code))
        stored = {step.argval for step in steps if step.opname == "STORE_NAME"} | {name}
        for step in steps:
            found = step.argval
            if step.opname not in LOADS or found in stored or found in used:
                continue
            if found in namespace:
                used[found] = namespace[found]
            elif not hasattr(builtins, found) and not found.startswith("__"):
                raise NotKept(f"{name} uses {found}, which its notebook does not define")
    return used
