"""The lessons' command: python -m lessons build | start | solve | score | release | study (--help tells).

Each continues after a file that it cannot use, names it and exits with 1.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lessons.notebooks import ROOT, WORK, is_changed, sources, student_path, student_text
from lessons.own_command import add_study
from lessons.running import solve
from lessons.scoring import Limits, mark_copies, score_all
from ums.files import escape_unprintable


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lessons", description="the lessons' notebooks")
    commands = parser.add_subparsers(
        required=True, metavar="build | start | solve | score | release | study"
    )
    _add_makers(commands)
    _add_score(commands)
    add_study(commands)
    options = parser.parse_args(arguments)
    escape_unprintable()
    try:
        return options.run(options)
    except ModuleNotFoundError as error:
        parser.exit(2, f"error: {error}; pip install -r requirements/lessons.txt\n")
    except (ValueError, FileExistsError) as error:
        parser.exit(2, f"error: {error}\n")


def _add_makers(commands):
    made = {}
    for name, text in (
        ("build", "write the students' copies, with holes and without outputs"),
        ("start", "write copies to work in (work/), where there are none yet"),
        ("solve", "write and execute the solved copies (lessons/solved/)"),
        ("release", "write what a course hands out: for students, teachers, nbgrader and otter"),
    ):
        made[name] = commands.add_parser(name, help=text, description=text)
        if name == "release":
            made[name].add_argument("out", type=Path, metavar="OUT", help="a new or empty folder")
            made[name].add_argument("--otter", help="a Python with otter-grader, to make its zips")
        made[name].add_argument(
            "keys",
            nargs="*",
            metavar="N",
            help="lessons, tasks or capstones, such as 4, t1 or c1; all",
        )
    made["build"].add_argument(
        "--force", action="store_true", help="replace copies that someone has worked in, too"
    )
    for name in ("solve", "release"):
        made[name].add_argument(
            "--processes", type=_positive, default=1, help="solved side by side, a thread each (1)"
        )
    made["build"].set_defaults(run=_each_source(_build))
    made["start"].set_defaults(run=_each_source(_start))
    made["solve"].set_defaults(run=_each_source(_solve))
    made["release"].set_defaults(run=_release)


def _add_score(commands):
    text = "run students' answers (their code, with your rights) and say which checks they pass"
    command = commands.add_parser("score", help=text, description=text)
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="notebook or folder")
    command.add_argument("--out", type=Path, help="folder for scores.csv, scores.json, feedback/")
    for name, default, what in (
        ("timeout", Limits().seconds, "seconds of processor time a check may take"),
        ("memory", Limits().memory, "megabytes a notebook may take"),
        ("processes", os.cpu_count() or 1, "notebooks side by side"),
    ):
        command.add_argument(
            f"--{name}", type=_positive, default=default, help=f"{what} ({default})"
        )
    command.set_defaults(run=_score)


def _positive(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"at least 1 is needed, got {text}")
    return int(text)


# ------------------------------------------------------------------------ build and solve


def _each_source(make):
    def run(options):
        processes = getattr(options, "processes", 1)
        return _each(sources(options.keys), partial(make, options), processes)

    return run


def _each(paths, run, processes=1):
    """Run on every path, go on after an error, name those that failed; the exit status."""
    failed = []
    with ThreadPoolExecutor(processes) as pool:
        for path, done in [(path, pool.submit(run, path)) for path in paths]:
            try:
                done.result()
            except ModuleNotFoundError:
                pool.shutdown(cancel_futures=True)
                raise
            except Exception as error:  # one broken file is not the others' trouble
                _say_error(path, str(error) or repr(error))
                failed.append(path)
    return _status(failed, len(paths))


def _say_error(path, text):
    print(f"{text if str(path) in text else f'{path}: {text}'}", flush=True)


def _status(failed, count):
    if failed:
        names = ", ".join(map(str, failed))
        print(f"error: {len(failed)} of {count} failed: {names}", file=sys.stderr)
    return 1 if failed else 0


def _build(options, source):
    text, path = student_text(source), student_path(source)
    if not options.force and path.exists() and is_changed(path):
        raise ValueError(f"{path}: someone has worked in it; --force replaces it")
    path.write_text(text, encoding="utf-8")
    print(path.relative_to(ROOT))


def _start(options, source):
    path = WORK / f"{source.stem}.ipynb"
    if not path.exists():
        WORK.mkdir(exist_ok=True)
        path.write_text(student_text(source, WORK), encoding="utf-8")
    print(path.relative_to(ROOT))


def _solve(options, source):
    path, seconds = solve(source, threads=1 if options.processes > 1 else None)
    print(f"{seconds:6.1f} s  {path.relative_to(ROOT)}", flush=True)


def _release(options):
    from lessons.release import release

    key = str(options.out)
    if any(source.name.startswith(f"{key.zfill(2)}_") for source in sources()):
        raise ValueError(f"{key} is a lesson, not a folder: write release OUT {key}")
    keys = sources(options.keys)
    for what, path in release(options.out, keys, options.otter, options.processes):
        print(f"{what:12} {path}", flush=True)
    return 0


# -------------------------------------------------------------------------------- score


def _score(options):
    from lessons.gradebook import write_gradebook

    paths = _notebooks(options.paths)
    scores = []
    for score in score_all(paths, Limits(options.timeout, options.memory), options.processes):
        scores.append(score)
        _say(score)
    mark_copies(scores)
    for score in scores:
        for sign in score.signs:
            print(f"to look at: {score.path}: {sign}")
    if options.out:
        write_gradebook(scores, options.out)
    sys.stdout.flush()
    return _status([score.path for score in scores if score.error], len(scores))


def _notebooks(paths):
    """All notebooks among the paths and in folders, at any depth; what cannot be read stays in."""
    found = []
    for path in paths:
        found += (_inside(path) or [path]) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def _inside(path):
    found, unread, seen = [], [], set()
    walk = os.walk(path, onerror=lambda error: unread.append(error.filename), followlinks=True)
    for folder, folders, files in walk:
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name != ".ipynb_checkpoints"]
        found += [Path(folder, name) for name in files + folders if name.endswith(".ipynb")]
    return sorted([*found, *map(Path, unread)])


def _say(score):
    if score.error:
        _say_error(score.path, score.error)
        return
    print(f"{score.path}: {score.points} of {score.most} points")
    for result in score.results:
        message = result.message.replace("\n", "\n" + " " * 16)
        print(f"  {result.status:<12}  {result.check}{': ' * bool(message)}{message}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
