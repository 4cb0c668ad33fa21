"""A lesson as nbgrader and as otter-grader want it, with the points that our own scoring gives a check.

Both come from the source, solutions included; the tools themselves take these out. Each check gets a cell
of its own, so that nothing beside it decides on its point.
"""

import ast
import re

from lessons.holes import BEGIN, END, Hole, holes, pieces
from lessons.links import without_links
from lessons.notebooks import (
    FOR_TEACHERS,
    PLACE,
    asked,
    check_points,
    checks_name,
    source_notebook,
    tags,
)

QUESTION = 2
"""Points of a question to think about."""

NBGRADER_CONFIG = """\
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "ums"
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("it is not written yet")'}
c.ClearSolutions.text_stub = "*your answers*"
c.ExecutePreprocessor.timeout = 300
c.ExecutePreprocessor.iopub_timeout = 60  # on a busy machine a cell's output comes late
c.OverwriteCells.add_missing_cells = True  # a check that a student deleted
"""


def nbgrader_notebook(source):
    """The master copy of a lesson for nbgrader: `source/NAME/NAME.ipynb` of its course folder.

    A cell with a hole is a solution, and the questions to think about are graded by hand. A check calls
    the lesson's own, whatever a student has made of the name `check`.
    """
    notebook, thought = _master(source), 0
    own = f"from lessons.checks import {checks_name(source.stem)} as check"
    for cell in notebook.cells:
        if cell.metadata.get("ums_check"):
            name = cell.metadata.pop("ums_check")
            cell.source = f"{own}\n\n{cell.source}"
            worth = check_points(source.stem)
            cell.metadata["nbgrader"] = _nbgrader(f"check-{name}", grade=True, points=worth)
        elif cell.cell_type == "code" and BEGIN in cell.source:
            written = holes(cell.source)
            cell.source = "\n".join([*_names_first(written), cell.source])
            cell.metadata["nbgrader"] = _nbgrader(f"write-{written[0].names[0]}", solution=True)
        elif "answers" in tags(cell):
            points, thought = cell.metadata.pop("ums_points"), thought + 1
            cell.source = f"### BEGIN SOLUTION\n{cell.source}\n### END SOLUTION"
            cell.metadata["nbgrader"] = _nbgrader(f"think-{thought}", True, True, points)
    return notebook


def _nbgrader(name, grade=False, solution=False, points=None):
    marks = {
        "grade": grade,
        "grade_id": name,
        "locked": grade and not solution,
        "schema_version": 3,
    }
    marks |= {"solution": solution, "task": False}
    return marks if points is None else marks | {"points": points}


def _names_first(written):
    """For holes outside a function `name = None`, which nbgrader's one stub for all would not leave."""
    return [line for hole in written for line in hole.stub if not line.lstrip().startswith("raise")]


def otter_notebook(source, library):
    """The master copy of a lesson for `otter assign`.

    Args:
        source: the lesson's source.
        library: files that the autograder's zip carries, as paths beside the master copy.
    """
    from nbformat.v4 import new_code_cell, new_raw_cell

    notebook, thought = _master(source), 0
    cells = [new_raw_cell(_otter_config(source.stem, library))]
    for cell in notebook.cells:
        if cell.metadata.get("ums_check"):
            name = cell.metadata.pop("ums_check")
            worth = check_points(source.stem)
            question = f"# BEGIN QUESTION\nname: {name}\npoints: {worth}\ncheck_cell: false"
            test = new_code_cell(_otter_test(source, cell.source))
            cells += [new_raw_cell(question), cell, new_raw_cell("# BEGIN TESTS"), test]
            cells += [new_raw_cell("# END TESTS"), new_raw_cell("# END QUESTION")]
        elif "answers" in tags(cell):
            points, thought = cell.metadata.pop("ums_points"), thought + 1
            question = f"# BEGIN QUESTION\nname: think{thought}\nmanual: true\npoints: {points}"
            cells += [new_raw_cell(question), new_raw_cell("# BEGIN SOLUTION"), cell]
            cells += [new_raw_cell("# END SOLUTION"), new_raw_cell("# END QUESTION")]
        else:
            if cell.cell_type == "code":
                cell.source = _with_prompts(cell.source)
            cells.append(cell)
    notebook.cells = cells
    return notebook


def _otter_config(stem, library):
    lines = [
        "# ASSIGNMENT CONFIG", f"name: {stem}", "init_cell: false", "export_cell: false",
        "run_tests: false", "strip_solutions_from_all_cells: true", "requirements: requirements.txt",
        "tests:", "  ok_format: false", "autograder_files:",
    ]  # fmt: skip
    return "\n".join([*lines, *(f"  - {name}" for name in library)])


def _otter_test(source, call):
    """A test of otter's that passes where the check does."""
    node = ast.parse(call).body[0].value
    module, name = checks_name(source.stem), node.func.attr
    arguments = ", ".join(ast.unparse(argument) for argument in node.args)
    return (
        f"def test_{name}({arguments}):\n"
        f"    from lessons.checks import {module}\n"
        f"    {module}.{name}({arguments})"
    )


def _with_prompts(text):
    """Holes in whose place otter leaves the same lines as a student copy has."""
    lines = []
    for piece in pieces(text):
        if not isinstance(piece, Hole):
            lines.append(piece)
            continue
        indent = re.match(r"\s*", piece.stub[0])[0]
        lines += [f"{indent}{BEGIN} NO PROMPT", *piece.solution, f"{indent}{END}"]
        lines += [f'{indent}""" # BEGIN PROMPT', *piece.stub, f'{indent}""" # END PROMPT']
    return "\n".join(lines)


# ------------------------------------------------------------------------------ both


def _master(source):
    """The lesson with each check in a cell of its own and the answers to think about marked."""
    notebook = source_notebook(source)
    cells, count = [], 0
    for cell, after in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if cell.cell_type == "code":
            cells += _checks_apart(cell)
            continue
        cell.source = without_links(cell.source)
        if "solution" in tags(cell) and count:
            points = stated_points(cell.source) or QUESTION * count
            cell.metadata |= {"tags": ["answers"], "ums_points": points}
            count = 0
        elif tags(cell) & FOR_TEACHERS:
            continue
        elif found := asked(cell, after):
            count, cell.source = found, PLACE.sub("", cell.source).rstrip()
        cells.append(cell)
    notebook.cells = cells
    return notebook


def stated_points(text):
    """The points that the beginnings of an answer's paragraphs name, checks apart.

    Such as `**Answer 1 (3 points).**`, `**Answer 1** (3 points).` or `*Report, 15 points.*`.
    """
    stated = r"^\*\*?(?!Checks)[^*\n]*?(?:\b(\d+) points?\)?\.\*|\*\*? \((\d+) points?\))"
    return sum(int(a or b) for a, b in re.findall(stated, text, flags=re.M))


def _checks_apart(cell):
    """The cells of a cell of code: each call of a check alone, marked with the check's name."""
    from nbformat.v4 import new_code_cell

    lines, start, cells = cell.source.split("\n"), 0, []
    for node in ast.parse(cell.source).body:
        name = _checked(node)
        if name is None:
            continue
        cells.append(new_code_cell("\n".join(lines[start : node.lineno - 1])))
        call = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        cells.append(new_code_cell(call, metadata={"ums_check": name}))
        start = node.end_lineno
    if not cells:
        return [cell]
    cells.append(new_code_cell("\n".join(lines[start:]).strip("\n")))
    return [c for c in cells if c.source.strip()]


def _checked(node):
    """The name of the check that a statement calls, or None."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="check"), attr=name))):
            return name
    return None
