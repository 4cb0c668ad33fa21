"""Keep what you wrote in a lesson, and let the library run with it.

Once its checks have passed, a cell of the notebook keeps an answer:

    from lessons.own import keep

    keep(batchnorm_forward, batchnorm_backward)

This writes its source, with the imports, constants and functions that it needs, to the folder ``own/``
beside the notebook. In any later notebook the library runs with it in place of its own function:

    from lessons.own import own_code

    with own_code():
        tune_jointly(encoder, tasks, training)

``python -m lessons study`` runs a small study in this way. What can be kept, and which function of the
library it replaces, is in :mod:`lessons.own_places`.
"""

import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lessons.checking import checks_of
from lessons.own_places import NAMES, exchanged
from lessons.own_source import NotKept, namespace_of, text_of
from ums.files import write_whole

FOLDER = "own"


class Kept(NamedTuple):
    """A kept answer, and the module of its lesson's checks, such as "lesson_04"."""

    answer: object
    lesson: str


def keep(*answers, folder=FOLDER):
    """Write functions or classes of this notebook to files, one each; replaces earlier ones.

    Args:
        answers: What was written in the notebook; those of one lesson that belong together, such as a
            forward pass and its backward pass, in one call.
        folder: Where to, ``own`` beside the notebook.

    Raises:
        NotKept: An answer has no place in the library, its check does not pass, or its source cannot
            stand alone; the message says which and why. Nothing is written then.
    """
    named = {_name(answer): answer for answer in answers}
    if not named:
        raise NotKept("name what is to be kept: keep(batchnorm_forward, batchnorm_backward)")
    lesson = _lesson_of(next(iter(named.values())))
    earlier = {n: k.answer for n, k in kept(folder).items() if k.lesson == lesson}
    _check(lesson, earlier | named, list(named))
    heads = f'"""Kept from {lesson}; `with own_code():` runs the library with it."""'
    texts = {
        name: f"{heads}\n\n__lesson__ = {lesson!r}\n\n{text_of(answer)}\n"
        for name, answer in named.items()
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = Path(folder, f"{name}.py")
        news = "replaces the earlier one" if path.is_file() else "new"
        write_whole(path, text.encode())
        print(f"kept  {path.as_posix()} ({news}), in place of the library's {NAMES[name]}")


def kept(folder=FOLDER):
    """All that is kept in a folder, {name: Kept}; empty where there is no folder.

    Raises:
        NotKept: A file cannot be run; the message names it.
    """
    found = {}
    for path in sorted(Path(folder).glob("*.py")):
        if path.stem in NAMES:
            module = _loaded(path)
            answer = getattr(module, path.stem, None)
            lesson = getattr(module, "__lesson__", None)
            if answer is None or not _is_lesson(lesson):
                raise NotKept(
                    f"{path} defines no {path.stem} of a lesson; keep it anew or delete it"
                )
            found[path.stem] = Kept(answer, lesson)
    return found


@contextmanager
def own_code(*names, folder=FOLDER) -> Iterator[dict[str, object]]:
    """Run the library with what is kept, in place of its own functions, until the block ends.

    Args:
        names: Which of the kept answers; all of them, where none is named.
        folder: Where they are kept.

    Yields:
        What is run, by name.

    Raises:
        NotKept: There is nothing to run, or the check of an answer no longer passes.
    """
    found = kept(folder)
    if missing := [name for name in names if name not in found]:
        raise NotKept(f"{missing[0]} is not in {folder}/; there are: {', '.join(found) or 'none'}")
    chosen = {name: found[name] for name in names or found}
    if not chosen:
        raise NotKept(f"nothing is kept in {folder}/ yet: keep(...) in a lesson writes it there")
    for lesson in dict.fromkeys(one.lesson for one in chosen.values()):
        of_lesson = {n: one.answer for n, one in found.items() if one.lesson == lesson}
        _check(lesson, of_lesson, [n for n in chosen if n in of_lesson])
    answers = {name: one.answer for name, one in chosen.items()}
    with exchanged(answers):
        print(f"running with {described(chosen)}")
        yield answers


def described(chosen):
    """In words, what is run: "your bce, dice (lesson 6); AdamW (task 2)"."""
    lessons: dict[str, list[str]] = {}
    for name, one in chosen.items():
        key = one.lesson.removeprefix("lesson_").lstrip("0")
        lessons.setdefault(f"task {key[1:]}" if key[0] == "t" else f"lesson {key}", []).append(name)
    return "your " + "; ".join(f"{', '.join(names)} ({of})" for of, names in lessons.items())


def _name(answer):
    name = getattr(answer, "__name__", None)
    if not (inspect.isfunction(answer) or inspect.isclass(answer)):
        raise NotKept(f"only functions and classes can be kept, got {type(answer).__name__}")
    if name not in NAMES:
        raise NotKept(f"{name} has no place in the library; these have: {', '.join(NAMES)}")
    return name


def _is_lesson(name):
    return isinstance(name, str) and re.fullmatch(r"lesson_\w+", name) is not None


def _lesson_of(answer):
    """The lesson that an answer was written in: the one whose checks its notebook imports."""
    for value in namespace_of(answer).values():
        if inspect.ismodule(value) and value.__name__.startswith("lessons.checks.lesson_"):
            return value.__name__.rpartition(".")[2]
    raise NotKept(f"{answer.__name__} is of no lesson: its notebook imports no lessons.checks")


def _check(lesson, answers, wanted):
    """Run the checks of a lesson that concern what is wanted; raises NotKept where one fails."""
    unchecked = set(wanted)
    for name, check in checks_of(importlib.import_module(f"lessons.checks.{lesson}")).items():
        parameters = list(inspect.signature(check).parameters)
        if not set(parameters) & set(wanted):
            continue
        if missing := [p for p in parameters if p not in answers]:
            together = ", ".join(parameters)
            raise NotKept(f"the check of {name} needs {missing[0]} too: keep({together})")
        try:
            check.__wrapped__(*(answers[p] for p in parameters))
        except Exception as error:
            raise NotKept(f"the check of {name} does not pass: {error}") from error
        unchecked -= set(parameters)
    if unchecked:
        raise NotKept(
            f"{lesson} has no check of {min(unchecked)}, and only what was checked is kept"
        )


def _loaded(path):
    spec = importlib.util.spec_from_file_location(f"own_code_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise NotKept(f"{path} cannot be run: {why}; put it right or delete it") from error
    return module
