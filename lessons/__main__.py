"""The lessons' command: python -m lessons build | solve | score (--help says what each does)."""

import argparse
import sys
from pathlib import Path

from lessons.notebooks import ROOT, sources, student_path, student_text
from lessons.running import score, solve


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lessons", description="the lessons' notebooks")
    commands = parser.add_subparsers(required=True, metavar="build | solve | score")
    for name, run, text in (
        ("build", _build, "write the students' copies, with holes and without outputs"),
        ("solve", _solve, "write and execute the solved copies (lessons/solved/)"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "numbers", nargs="*", type=int, metavar="N", help="lessons; default all"
        )
        command.set_defaults(run=run)
    text = "run students' notebooks (their code, with your rights) and say which checks they pass"
    command = commands.add_parser("score", help=text, description=text)
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="notebook or folder")
    command.add_argument("--timeout", type=int, default=60, help="seconds a cell may take (60)")
    command.set_defaults(run=_score)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except ModuleNotFoundError as error:
        parser.exit(2, f"error: {error}; pip install -r requirements/lessons.txt\n")
    except (ValueError, FileNotFoundError) as error:
        parser.exit(2, f"error: {error}\n")


def _build(options):
    for source in sources(options.numbers):
        text = student_text(source)
        student_path(source).write_text(text, encoding="utf-8")
        print(student_path(source).relative_to(ROOT))


def _solve(options):
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    failed, total = [], 0.0
    for source in sources(options.numbers):
        try:
            path, seconds = solve(source)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"lesson {source.stem} does not run through:\n{error}", file=sys.stderr)
            failed.append(source.stem)
            continue
        total += seconds
        print(f"{seconds:6.1f} s  {path.relative_to(ROOT)}", flush=True)
    print(f"{total:6.1f} s  in all" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _score(options):
    for path in options.paths:
        if not path.exists():
            raise FileNotFoundError(f"no notebook or folder {path}")
    notebooks = [
        notebook
        for path in options.paths
        for notebook in (sorted(path.rglob("*.ipynb")) if path.is_dir() else [path])
        if ".ipynb_checkpoints" not in notebook.parts
    ]
    for notebook in notebooks:
        try:
            results = score(notebook, options.timeout)
        except ValueError as error:  # one student's broken file is not the others' trouble
            print(f"{notebook}\n  {error}", flush=True)
            continue
        passed = sum(result.status == "passed" for result in results)
        print(f"{notebook}: {passed} of {len(results)} checks passed")
        for result in results:
            message = result.message.replace("\n", "\n" + " " * 16)
            print(f"  {result.status:<12}  {result.check}{': ' * bool(message)}{message}")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
