"""The results page of the project, ``ums/experiments/RESULTS.md``, from the records published with it.

``python -m ums.experiments.report.results`` writes the page; with ``--publish FOLDER NAME`` it publishes
the records and figures of a finished study first, under a name such as "cxr".
Every number of the page stands in ``RESULTS.md.jinja`` as an expression.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2

from ums.experiments.report import cxr, echo
from ums.experiments.report.answer import answer_section, answers, primary_sentences
from ums.experiments.report.claims import claims_section, verdicts_of
from ums.experiments.report.denoising import filter_table
from ums.experiments.report.factors import factor_sections
from ums.experiments.report.group import arm_cost_table, overview_table, places
from ums.experiments.report.heat_maps import heat_map_table
from ums.experiments.report.hospitals import hospital_sections
from ums.experiments.report.page import Figure, Section
from ums.experiments.report.sections import costs_of
from ums.experiments.report.tables import Table, formatted
from ums.experiments.report.words import (
    FACTORS,
    claims_counted,
    condition,
    failed_trainings,
    listed,
)
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.published import FOLDER, publish, published
from ums.experiments.results.records import StudyRecords, read_study
from ums.files import write_whole

PAGE = FOLDER.parent / "RESULTS.md"
TEXTS = {"cxr": cxr.TEXT, "echo": echo.TEXT}
FACTOR_TITLES = [title for title, _ in FACTORS.values()]
NAMES = ("cxr", "real", "echo")
"""Under which records are published."""


class Told:
    """What the page may say of one published study."""

    def __init__(self, study: StudyRecords):
        self.study = study
        records = study.parts[""]
        self.groups = {name: GroupResults(records, name) for name in records.groups}
        self.answers = answers(list(self.groups.values()))
        self.costs = {name: costs_of(study, group) for name, group in self.groups.items()}

    @cached_property
    def sections(self) -> list[Section]:
        """The sections of the study's page that the published records suffice for."""
        groups, text = list(self.groups.values()), TEXTS[self.study.name]
        numbers = {name: (own.score_table, own.cost_table) for name, own in text.groups.items()}
        return [
            answer_section(groups, self.answers),
            claims_section(groups, self.costs, text.claims, numbers),
            *factor_sections(self.study, groups),
        ]

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Name -> table."""
        found = [table for section in self.sections for table in section.tables]
        for group in self.groups.values():
            found += [overview_table(group, where, name) for where, name in places(group).items()]
            found.append(arm_cost_table(group, self.costs[group.name]))
            found += [table for each in hospital_sections(group) for table in each.tables]
            methods = dict.fromkeys(m for maps in group.heat_maps.values() for m in maps)
            found += [heat_map_table(group, method) for method in methods]
        if tests := self.study.parts[""].of("source-test"):
            found += [filter_table(tests[0]["denoising"])] if "denoising" in tests[0] else []
        return {table.name: table for table in found}

    @property
    def figures(self) -> list[Figure]:
        """All figures."""
        return [figure for section in self.sections for figure in section.figures]

    def table(self, name: str, *columns: str, **only: Sequence[Any]) -> str:
        """A table in Markdown, with some of its columns or all, and the rows with ``only`` these values."""
        table = self.tables[name]
        kept = [c for c in table.columns if c.name in columns or not columns]
        rows = [
            {c.name: row.get(c.name) for c in kept}
            for row in table.rows
            if all(row.get(column) in values for column, values in only.items())
        ]
        return Table(name, table.title, kept, rows).markdown()

    @property
    def claims(self) -> str:
        """Each of the paper's claims on every task that it is made of: our difference, and the verdict."""
        rows: dict[str, dict[str, Any]] = {}
        for row in self.tables["claims"].rows:
            words = f"{formatted(row['Difference here'], '{:+.3f}')} {row['Verdict'].mark}"
            rows.setdefault(row["The paper"], {"The paper": row["The paper"]})[row["Task"]] = words
        tasks = [task.title for group in self.groups.values() for task in group.tasks]
        return Table("claims", "Claims", ["The paper", *tasks], list(rows.values())).markdown()

    @property
    def factors(self) -> list[Section]:
        """The sections on the factors that were varied."""
        return [section for section in self.sections if section.title in FACTOR_TITLES]

    @property
    def answer(self) -> str:
        """What the contrasts of sharing with one task alone say, in words."""
        groups = list(self.groups.values())
        parts = *primary_sentences(self.answers), failed_trainings(groups), condition(groups)
        return " ".join(filter(None, parts))

    @property
    def data(self) -> str:
        """What the images are."""
        return "; ".join(dict.fromkeys(self.study.about["data"].values()))

    def difference(self, question: str, task: str) -> str:
        """A contrast with its interval and verdict."""
        (found,) = (
            a.contrast for a in self.answers if (a.question.name, a.task.name) == (question, task)
        )
        return formatted(found)

    @property
    def claimed(self) -> str:
        """How many of the paper's claims hold, in words."""
        verdicts = verdicts_of(self.tables["claims"].rows)
        return f"Of {len(verdicts)} claims, {claims_counted(verdicts)}"

    @property
    def replicates(self) -> int:
        """The largest number of replicates of an arm."""
        return max(group.replicates for group in self.groups.values())

    @property
    def fewest(self) -> int:
        """The smallest number of replicates of an arm."""
        return min(len(runs) for group in self.groups.values() for runs in group.runs.values())

    def setting(self, text: str) -> Any:
        """The value of a setting, by its help text."""
        return self.study.about["settings"][text]


def results_page(folder: Path = FOLDER) -> str:
    """The text of the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    studies = {name: published(name, folder) for name in NAMES}
    told = {name: Told(study) for name, study in studies.items() if study}
    return environment.get_template("RESULTS.md.jinja").render(told)


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish a study's records, if one is named, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m ums.experiments.report.results")
    parser.description = "Write RESULTS.md from the published records."
    parser.add_argument(
        "--publish",
        nargs=2,
        metavar=("FOLDER", "NAME"),
        help=f"publish the records of a finished study first; names are {listed(NAMES)}",
    )
    options = parser.parse_args(arguments)
    if options.publish:
        study, name = read_study(options.publish[0]), options.publish[1]
        publish(study, FOLDER / f"{name}.json.xz")
        for figure in Told(study).figures:
            write_whole(FOLDER / f"{name}-{figure.name}{figure.suffix}", figure.data)
    write_whole(PAGE, results_page().encode())


if __name__ == "__main__":
    main()
