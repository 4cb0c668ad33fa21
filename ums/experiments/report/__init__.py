"""Pages made from the records of a study: tables, plots, pictures and sections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ums.experiments.report import ablation, cxr, echo, search
from ums.experiments.report.page import Report
from ums.experiments.results.records import StudyRecords, read_study

PAGES: dict[str, Callable[[StudyRecords], Report]] = {
    "cxr": cxr.build,
    "echo": echo.build,
    "ablation": ablation.build,
    "search": search.build,
}
"""Name of a study -> what makes its page."""


def write_report(folder: str | Path) -> tuple[Path, str]:
    """Make a study's page from its records and write it beside them.

    Args:
        folder: Holds the study's ``study.json``.

    Returns:
        The path of the page, and its tables as text.

    Raises:
        FileNotFoundError: There is no study, or it is not finished; the message names the folder.
        ValueError: A record cannot be read, or is of another kind of study; the message names it.
        OSError: The page cannot be written.
    """
    study = read_study(folder)
    if study.name not in PAGES:
        raise ValueError(f"{folder}: no page is known for a study called {study.name!r}")
    report = PAGES[study.name](study)
    page = report.write(folder)
    return page, "\n\n".join(table.text() for table in report.tables)
