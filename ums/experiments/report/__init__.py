"""Pages made from the records of a study: tables, plots, pictures and sections."""

from __future__ import annotations

from pathlib import Path

from ums.experiments.report import cxr, echo, search, sections
from ums.experiments.report.denoising import denoising_gain, denoising_section
from ums.experiments.report.page import Report, Section
from ums.experiments.results.records import StudyRecords, read_study

PAGES = {"cxr": cxr.build, "echo": echo.build, "search": search.build}
"""Name of a study -> what makes its page; other studies have a :func:`plain_page`."""


def plain_page(study: StudyRecords) -> Report:
    """A page without the paper's numbers, for a modality of one's own."""
    text = sections.PageText(
        title=f"{study.about['title']}: one source, shared",
        subtitle="When does sharing an encoder pay? Independent, alternating and joint fine-tuning, one "
        "task alone and separate models.",
        seen="",
    )
    tests = study.parts[""].of("source-test")
    if not tests:
        return sections.build(study, text, None)
    if "denoising" in tests[0]:
        return sections.build(
            study, text, denoising_section(study), summary=[denoising_gain(study)]
        )
    curves = sections.source_curves(study, f"Source: {study.about['source task']}")
    return sections.build(study, text, Section("The source", "", curves))


def write_report(folder: str | Path) -> tuple[Path, str]:
    """Make a study's page from its records and write it beside its ``study.json``.

    Returns:
        The path of the page, and its tables as text.

    Raises:
        FileNotFoundError: There is no study, or it is not finished; the message names the folder.
        ValueError: A record cannot be read; the message names it.
        OSError: The page cannot be written.
    """
    study = read_study(folder)
    report = PAGES.get(study.name, plain_page)(study)
    return report.write(folder), "\n\n".join(table.text() for table in report.tables)
