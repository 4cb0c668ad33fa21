"""The plan of the course: minutes, weeks, prerequisites and objective of each part, from plan.csv."""

import csv
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from lessons.notebooks import sources

KINDS = {"t": "Task", "c": "Capstone"}
"""What the first letter of a key says; other keys are the numbers of lessons."""


class Part(NamedTuple):
    """A lesson, task or capstone: minutes of work, week of a course of 12 and of 6, and what it needs.

    A capstone takes several weeks, such as "10-12"; it has no place in six weeks.
    """

    key: str
    minutes: int
    week: str
    week_of_6: str
    needs: list[str]
    objective: str

    @property
    def kind(self):
        """Lesson, Task or Capstone."""
        return KINDS.get(self.key[0], "Lesson")

    @property
    def weeks(self):
        """The weeks that it takes, of a course of 12."""
        first, _, last = self.week.partition("-")
        return range(int(first), int(last or first) + 1)

    @property
    def number(self):
        return self.key.lstrip("tc0")


class Plan(NamedTuple):
    """The parts in the order of the course."""

    parts: list[Part]

    @property
    def minutes(self):
        """The work of a student who does everything and one capstone."""
        capstones = [part.minutes for part in self.parts if part.kind == "Capstone"]
        return self.minutes_without_capstone + max(capstones)

    @property
    def minutes_without_capstone(self):
        return sum(part.minutes for part in self.parts if part.kind != "Capstone")

    def load(self, parts):
        """Minutes of work in a week with these parts; of capstones a student does one."""
        own = sum(part.minutes for part in parts if part.kind != "Capstone")
        shares = [part.minutes // len(part.weeks) for part in parts if part.kind == "Capstone"]
        return own + max(shares, default=0)

    def weeks(self, count):
        """The parts of each week of a course of 12 or 6 weeks: {week: parts}."""
        found = {str(week): [] for week in range(1, count + 1)}
        for part in self.parts:
            for week in part.weeks if count == 12 else filter(None, [part.week_of_6]):
                found[str(week)].append(part)
        return found

    def named(self, keys):
        """The parts with these keys, in a sentence's words: "lessons 2, 3; task 1"."""
        named = [part for part in self.parts if part.key in keys]
        words = []
        for kind, parts in groupby(sorted(named, key=lambda p: p.kind), key=lambda p: p.kind):
            numbers = [part.number for part in parts]
            words.append(f"{kind.lower()}{'s' * (len(numbers) > 1)} {', '.join(numbers)}")
        return "; ".join(words)


def read_plan():
    """The plan of the course, in its order."""
    with Path(__file__).with_name("plan.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Plan(
        [
            Part(**row | {"minutes": int(row["minutes"]), "needs": row["needs"].split()})
            for row in rows
        ]
    )


def title_of(key):
    """The title of a part, from the heading of its source: "2 What must a backward pass return?"."""
    for path in sources():
        if path.name.startswith(f"{key}_"):
            lines = path.read_text(encoding="utf-8").split("\n")
            return next(line[4:] for line in lines if line.startswith("# # "))
    return f"{KINDS.get(key[0], 'Lesson')} {key.lstrip('tc0')} (in preparation)"
