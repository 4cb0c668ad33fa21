import json
from html.parser import HTMLParser

import numpy as np
import pytest

from ums.experiments.report import Column, Figure, Report, Section, Table, formatted

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"></svg>'
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects a page's tags and text, and complains about tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def small_table(**changes):
    settings = {
        "name": "table-3",
        "title": "Lungs",
        "columns": ["Method", Column("F", "{:.3f}", "{:.2f}"), Column("Time", "{:.1f} min")],
        "rows": [{"Method": "Joint", "F": (0.8734, 0.0121), "Time": 12.345}, {"Method": "Other"}],
        "paper_rows": [{"Method": "Joint", "F": 0.9}, {}],
    }
    return Table(**{**settings, **changes})


def small_report(**changes):
    figures = [Figure("lungs", PNG, "Lungs.", "two lungs"), Figure("curve", SVG, "", "a curve")]
    section = Section("Results", "One.\n\nTwo & three.", [small_table()], figures)
    settings = {"title": "Chest", "summary": ["Good."], "sections": [section], "run": {"seed": 0}}
    return Report(**{**settings, **changes})


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        (0.8734, "{:.3f}", "0.873"),
        (1573506, "{:,d}", "1,573,506"),
        (8.11, "{:.1f} min", "8.1 min"),
        ((0.8734, 0.0121), "{:.3f}", "0.873 ± 0.012"),
        ((8.11, 0.26), "{:.1f} min", "8.1 ± 0.3 min"),
        (np.float32(0.5), "{:.2f}", "0.50"),
        (-0.25, "{:.2f}", "−0.25"),
        (None, "{:.3f}", "–"),
        (float("nan"), "{:.3f}", "–"),
        ((float("nan"), 0.1), "{:.3f}", "–"),
        (float("inf"), "{:.1f} dB", "∞ dB"),
        ("p < 0.05", "{:.3f}", "p < 0.05"),
    ],
)
def test_a_value_is_written_by_its_columns_pattern(value, pattern, expected):
    assert formatted(value, pattern) == expected


def test_text_puts_the_papers_figures_beside_ours():
    lines = small_table().text().splitlines()
    assert lines[0] == "Lungs"
    assert lines[2].split() == ["Method", "F", "Time"]
    assert lines[3].split() == ["ours", "paper"]
    assert lines[5] == "Joint   0.873 ± 0.012   0.90  12.3 min"
    assert lines[6] == "Other               –      –         –"


def test_a_label_the_paper_repeats_is_shown_once():
    shown = [(column.name, source) for column, source in small_table().layout()]
    assert shown == [("Method", ""), ("F", "ours"), ("F", "paper"), ("Time", "")]


def test_a_table_without_the_papers_figures_has_one_header_line():
    lines = small_table(paper_rows=None, note="A note.").text().splitlines()
    assert lines[3].startswith("------")
    assert lines[-1] == "A note."


def test_a_misspelt_column_and_missing_paper_rows_are_refused():
    with pytest.raises(ValueError, match="table-3: no column named f"):
        small_table(rows=[{"f": 1}, {}])
    with pytest.raises(ValueError, match="2 rows beside the paper's 1"):
        small_table(paper_rows=[{}])


@pytest.mark.parametrize("name", ["../up", "a b", "", "Ä"])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(ValueError, match="a name of small letters"):
        Figure(name, PNG, "", "alt")


def test_a_figure_needs_an_alternative_text_and_a_known_format():
    with pytest.raises(ValueError, match="alt must say"):
        Figure("lungs", PNG, "", " ")
    with pytest.raises(ValueError, match="neither PNG nor SVG"):
        Figure("lungs", b"GIF89a", "", "lungs")


def test_json_holds_the_unrounded_numbers(tmp_path):
    rows = [{"F": (0.8734, np.float64(0.0121))}, {"F": float("nan"), "Time": np.int64(3)}]
    report = small_report(sections=[Section("S", tables=[small_table(rows=rows)])])
    report.write(tmp_path)
    written = json.loads((tmp_path / "tables.json").read_text())
    assert written == report.to_dict()
    expected = [{"F": {"mean": 0.8734, "std": 0.0121}}, {"F": None, "Time": 3}]
    assert written["tables"][0]["rows"] == expected


def test_the_page_loads_nothing_from_outside():
    page = Page(small_report().html())
    sources = [t.get("src") or t.get("href") for _, t in page.tags if "src" in t or "href" in t]
    assert len(sources) == 5  # icon, two contents entries, two pictures
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not page.all("script")
    assert "url(" not in small_report().html() and "@import" not in small_report().html()


def test_every_picture_has_its_text_and_every_link_its_target():
    page = Page(small_report().html())
    assert [image["alt"] for image in page.all("img")] == ["two lungs", "a curve"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    assert {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a} <= set(ids)


def test_headings_go_down_one_level_at_a_time():
    levels = [
        int(tag[1]) for tag, _ in Page(small_report().html()).tags if tag in {"h1", "h2", "h3"}
    ]
    assert levels[0] == 1 and levels.count(1) == 1 and 3 in levels
    assert max(np.diff(levels)) == 1


def test_the_page_has_as_many_cells_in_each_row():
    page = Page(small_report().html())
    cells = [attributes for tag, attributes in page.tags if tag in {"th", "td"}]
    header = [c for c in cells if c.get("scope") != "row" and "scope" in c]
    spans = sum(int(c.get("colspan", 1)) for c in header if c.get("class") not in {"ours", "paper"})
    assert spans == 4 + 2  # four columns, and the two under the pair
    assert len(cells) - len(header) == 2 * 4


def test_titles_and_values_are_escaped():
    table = small_table(title="<b>T</b>", rows=[{"Method": "<i>"}, {}], note="a & b")
    sections = [Section("<script>x</script>", "p < 0.05", [table])]
    html = small_report(
        title='"<u>"', summary=["<em>"], sections=sections, run={"<s>": "<q>"}
    ).html()
    page = Page(html)
    assert not {"b", "i", "script", "u", "em", "s", "q"} & {tag for tag, _ in page.tags}
    assert {"<b>T</b>", "<i>", "a & b", "p < 0.05", "<em>", "<q>"} <= set(page.text)


def test_an_empty_report_is_a_whole_page():
    page = Page(Report("Nothing yet").html())
    assert page.all("h1") and not page.all("nav") and not page.all("table")


def test_write_leaves_the_page_the_tables_and_the_pictures(tmp_path):
    page = small_report().write(tmp_path / "new" / "folder")
    names = {str(p.relative_to(page.parent)) for p in page.parent.rglob("*") if p.is_file()}
    figures = {"figures/lungs.png", "figures/curve.svg"}
    assert names == {"report.html", "tables.txt", "tables.json"} | figures
    assert (page.parent / "figures/lungs.png").read_bytes() == PNG
    assert (page.parent / "tables.txt").read_text() == small_table().text()


def test_the_same_report_gives_the_same_bytes(tmp_path):
    first, second = (small_report().write(tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_an_old_report_survives_a_failed_rendering(tmp_path):
    page = small_report().write(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    broken = small_table(rows=[{"F": 1.0}, {"Time": [1, 2]}])
    with pytest.raises(TypeError):
        small_report(title="New", sections=[Section("S", tables=[broken])]).write(tmp_path)
    assert "<h1>Chest</h1>" in page.read_text()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_an_interrupted_write_leaves_every_file_whole(tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(28, "No space left on device")

    def with_picture(data):
        return Report("R", sections=[Section("S", figures=[Figure("lungs", data, "", "lungs")])])

    with_picture(PNG).write(tmp_path)
    monkeypatch.setattr("ums.experiments.report.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        with_picture(PNG + b"new").write(tmp_path)
    assert (tmp_path / "figures" / "lungs.png").read_bytes() == PNG
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot write the report into .*file/reports"):
        small_report().write(tmp_path / "file" / "reports")


def test_names_used_twice_are_refused(tmp_path):
    sections = [Section("A", tables=[small_table()]), Section("B", tables=[small_table()])]
    with pytest.raises(ValueError, match="used twice: table-3"):
        small_report(sections=sections).write(tmp_path)
    assert not list(tmp_path.iterdir())
