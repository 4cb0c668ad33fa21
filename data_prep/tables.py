"""Tables in CSV that come with the images of a set."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data_prep.names import Problem, nfc

Row = dict[str, str]


def read_table(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> tuple[list[tuple[int, Row]], list[Problem]]:
    """Read a table whose first row names the columns.

    Args:
        path: The file, in UTF-8.
        columns: The columns that it must have; their case does not matter.
        optional: Columns that it may have, of which the same holds.

    Returns:
        The number of each row, as a spreadsheet counts, and its values without blanks at the ends;
        and the rows of another length as problems. Rows without a value are ignored.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a CSV file in UTF-8, or a column is missing or occurs twice.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing, the table with the columns {', '.join(columns)}"
        )
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path} is not readable as CSV: {error}; save it as CSV in UTF-8"
        ) from error
    spelt = {name.lower(): name for name in (*columns, *optional)}
    header = [spelt.get(name.strip().lower(), name.strip()) for name in header]
    if wrong := [name for name in columns if header.count(name) != 1]:
        found = ", ".join(header)
        found += "; are they separated by commas?" if re.search(r"[;\t]", found) else ""
        raise ValueError(
            f"{path} should have each of these columns exactly once: {', '.join(wrong)}; found {found}"
        )
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise ValueError(f"{path} has the column {twice[0]} {header.count(twice[0])} times")
    rows, problems = [], []
    for number, values in enumerate(lines, start=2):
        if not any(map(str.strip, values)):
            continue
        if len(values) == len(header):
            row = (nfc(text.strip()) for text in values)
            rows.append((number, dict(zip(header, row, strict=True))))
        else:
            why = f"row {number}: {len(values)} values for {len(header)} columns"
            problems.append((path, why))
    return rows, problems


def match_rows(
    table: Path,
    rows: Sequence[tuple[int, Row]],
    path_of: Mapping[str, Path],
    complaint: Callable[[Row], str | None],
) -> tuple[dict[Path, Row], list[Problem]]:
    """Find the row of each image, by the column "file", and what is wrong with the others.

    ``path_of`` holds the images by their names in lower case, and ``complaint`` says what else is wrong
    with a row, if anything. Images without a row are problems, too.
    """
    kept: dict[Path, Row] = {}
    first: dict[Path | None, int] = {}
    problems: list[Problem] = []
    for number, row in rows:
        name = row["file"].replace("\\", "/")
        path = path_of.get(name.casefold())
        if path is None:
            why = f"no such image: {row['file']}" if name else "file is empty"
        elif first.setdefault(path, number) != number:
            why = f"{name} again, after row {first[path]}"
        else:
            why = complaint(row) or ""
        if path and not why:
            kept[path] = row
        else:
            problems.append((path or table, f"row {number} of {table.name}: {why}"))
    without = (path for path in dict.fromkeys(path_of.values()) if path not in first)
    return kept, problems + [(path, f"no row in {table.name}") for path in without]
