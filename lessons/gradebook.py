"""What scoring writes: a table for people (CSV), one for programs (JSON), a page for each student."""

import csv
import json
import os
from pathlib import Path

COLUMNS = ("notebook", "lesson", "points", "of", "signs", "error")


def write_gradebook(scores, folder):
    """Write `scores.csv`, `scores.json` and `feedback/` to `folder`.

    The CSV has a row for each notebook; `signs` is how many things in it a teacher should look at.
    `scores.json` names them and holds every check's status and message. Feedback, under the notebook's
    own path, holds the checks alone and can be given to the student.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = _names([score.path for score in scores])
    rows = [_row(score, name) for score, name in zip(scores, names, strict=True)]
    with open(folder / "scores.csv", "w", encoding="utf-8", errors="replace", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for row in rows:
            table.writerow(
                {key: _safe(value) for key, value in row.items()} | {"signs": len(row["signs"])}
            )
    full = [
        row | {"checks": [result._asdict() for result in score.results]}
        for row, score in zip(rows, scores, strict=True)
    ]
    (folder / "scores.json").write_text(json.dumps(full, indent=1), encoding="utf-8")
    for score, name in zip(scores, names, strict=True):
        page = folder / "feedback" / f"{name}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(feedback(score), encoding="utf-8", errors="replace")


def feedback(score):
    """A student's page, in Markdown."""
    if score.error:
        why = _line(score.error.replace(str(score.path), score.path.name))
        return f"# {score.path.name}\n\nIt could not be scored: {why}\n"
    lines = [f"# {score.path.name}: {score.points} of {score.most} points", ""]
    for result in score.results:
        message = f"\n\n  {_line(result.message)}" if result.message else ""
        lines.append(f"- **{result.check}**: {result.status}{message}")
    lines += ["", "Answers in words are graded by hand."]
    return "\n".join(lines) + "\n"


def _row(score, name):
    points = "" if score.error else score.points
    return {
        "notebook": name, "lesson": score.lesson, "points": points, "of": score.most,
        "signs": score.signs, "error": score.error,
    }  # fmt: skip


def _names(paths):
    """Each path below the folder that all have in common."""
    paths = [Path(os.path.abspath(path)) for path in paths]
    common = Path(os.path.commonpath([path.parent for path in paths])) if paths else None
    return [path.relative_to(common).as_posix() for path in paths]


def _line(text):
    return text.replace("\n", "\n  ")


def _safe(value):
    """A cell of a table that no spreadsheet takes for a formula."""
    return (
        f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
    )
