import base64
import json
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from ums.experiments import report
from ums.experiments.report.denoising import denoising_gain, denoising_section
from ums.experiments.report.page import Figure, Report, Section
from ums.experiments.report.tables import Column, Table, formatted, formatted_p
from ums.experiments.results.claims import Verdict
from ums.experiments.results.scores import Estimate
from ums.training import History

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


FIVE = Estimate(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), 0.2, 0.4)


def small_table(**changes):
    settings = {
        "name": "table-3",
        "title": "Lungs",
        "columns": ["Method", "F", Column("Time", "{:.1f} min")],
        "rows": [
            {"Method": "Joint", "F": Estimate([0.861, 0.885]), "Time": 12.345},
            {"Method": "Other"},
        ],
        "paper_rows": [{"F": 0.9}, {}],
    }
    return Table(**{**settings, **changes})


def small_report(**changes):
    figures = [Figure("lungs", PNG, "Lungs.", "two lungs"), Figure("curve", SVG, "", "a curve")]
    section = Section("Results", "One.\n\nTwo & three.", [small_table(), *figures])
    settings = {"title": "Chest", "summary": ["Good."], "sections": [section], "run": {"seed": 0}}
    return Report(**{**settings, **changes})


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        (0.8734, "{:.3f}", "0.873"),
        (np.float64(0.8734), "", "0.873"),
        (np.int64(1573506), "", "1,573,506"),
        (1573506, "{:,d}", "1,573,506"),
        (8.11, "{:.1f} min", "8.1 min"),
        (np.float32(0.5), "{:.2f}", "0.50"),
        (-0.25, "{:.2f}", "−0.25"),
        (None, "{:.3f}", "–"),
        (float("nan"), "{:.3f}", "–"),
        (float("inf"), "{:.1f} dB", "∞ dB"),
        ("p < 0.05", "{:.3f}", "p < 0.05"),
        (Verdict.OPEN, "{:.3f}", "not distinguishable here"),
        (FIVE, "{:.3f}", "0.300 ± 0.158 [0.200, 0.400]"),
        (FIVE, "{:+.1f}", "+0.3 ± 0.2 [+0.2, +0.4]"),
        (Estimate(FIVE.folds), "{:.1f}", "0.3 ± 0.2"),
        (Estimate([0.5], 0.25, 0.75), "{:.2f}", "0.50 [0.25, 0.75]"),
        (Estimate([0.5, float("nan")], 0.25, 0.75), "{:.2f}", "–"),
        (0.03, formatted_p, "0.03"),
    ],
)
def test_a_value_is_written_by_its_columns_pattern(value, pattern, expected):
    assert formatted(value, pattern) == expected


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1.0, "1.00"),
        (0.41, "0.41"),
        (0.05, "0.05"),
        (0.0496, "0.0496"),  # 0.05 would put it on the other side
        (0.048, "0.048"),
        (0.03125, "0.03"),
        (0.0062, "0.006"),
        (0.001, "0.001"),
        (0.00099, "< 0.001"),
        (0.0, "< 0.001"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_a_p_value_is_short_and_on_its_side_of_the_level(p, expected):
    assert formatted_p(p) == expected


def test_an_estimate_is_of_one_fold_at_least():
    with pytest.raises(ValueError, match="at least one fold"):
        Estimate([])
    assert Estimate([0.25, 0.75]).sd == pytest.approx(0.5 / 2**0.5)
    assert np.isnan(Estimate([0.25]).sd)


def test_text_puts_the_papers_figures_beside_ours():
    lines = small_table().text().splitlines()
    assert lines[0] == "Lungs"
    assert lines[2].split() == ["Method", "F", "Time"]
    assert lines[3].split() == ["ours", "paper"]
    assert lines[5] == "Joint   0.873 ± 0.017   0.90  12.3 min"
    assert lines[6] == "Other               –      –         –"


def test_a_column_without_a_number_of_the_paper_is_not_doubled():
    shown = [(column.name, source) for column, source in small_table().layout()]
    assert shown == [("Method", ""), ("F", "ours"), ("F", "paper"), ("Time", "")]


def test_a_table_without_the_papers_figures_has_one_header_line():
    lines = small_table(paper_rows=None, note="A note.").text().splitlines()
    assert lines[3].startswith("------")
    assert lines[-1] == "A note."


def test_a_misspelt_column_is_refused():
    with pytest.raises(ValueError, match="table-3: no column named f"):
        small_table(rows=[{"f": 1}, {}])


def test_a_notebook_shows_a_figure_in_its_natural_width():
    assert Figure("curve", SVG, "", "a")._repr_mimebundle_() == {"image/svg+xml": SVG.decode()}
    shown, how = Figure("lungs", PNG, "", "a", width=640)._repr_mimebundle_()
    assert base64.b64decode(shown["image/png"]) == PNG and how == {"image/png": {"width": 640}}


def test_json_holds_the_unrounded_numbers(tmp_path):
    rows = [{"F": np.float32(0.5)}, {"F": float("nan"), "Time": np.int64(3)}]
    report = small_report(sections=[Section("S", "", [small_table(rows=rows)])])
    report.write(tmp_path)
    written = json.loads((tmp_path / "tables.json").read_text())
    assert written == report.to_dict()
    expected = [{"F": 0.5}, {"F": None, "Time": 3}]
    assert written["tables"][0]["rows"] == expected


def test_json_holds_an_estimates_numbers_and_a_verdicts_words():
    columns = ["Here", Column("F", "{:.3f}"), Column("p", formatted_p)]
    one = Estimate([np.float64(0.5)])
    rows = [{"Here": Verdict.HOLDS, "F": FIVE, "p": 0.03125}, {"Here": Verdict.FAILS, "F": one}]
    table = Table("claims", "Claims", columns, rows)
    first, second = json.loads(json.dumps(table.to_dict(), allow_nan=False))["rows"]
    folds = [0.1, 0.2, 0.3, 0.4, 0.5]
    numbers = {
        "mean": 0.3,
        "sd": pytest.approx(0.025**0.5),
        "folds": folds,
        "low": 0.2,
        "high": 0.4,
    }
    assert first == {"Here": "holds", "F": numbers, "p": 0.03125}
    nothing = {"sd": None, "low": None, "high": None}
    assert second == {"Here": "does not hold", "F": {"mean": 0.5, "folds": [0.5], **nothing}}
    assert table.text().splitlines()[4].split() == "holds 0.300 ± 0.158 [0.200, 0.400] 0.03".split()


def test_the_page_sets_spread_and_interval_apart_and_marks_a_verdict():
    rows = [{"Here": verdict, "F": FIVE} for verdict in Verdict]
    rows[0]["Here"] = "a ± b [c]"
    table = Table("claims", "Claims", [Column("F", "{:.3f}"), "Here"], rows)
    page = Page(small_report(sections=[Section("S", "", [table])]).html())
    classes = [span["class"] for span in page.all("span")]
    kinds = [kind for kind in classes if kind.startswith("verdict")]
    assert kinds == ["verdict fails", "verdict open"]
    assert classes.count("spread") == classes.count("interval") == 3
    shown = [text for text in page.text if text]
    place = shown.index("0.300")
    assert shown[place : place + 4] == ["0.300", "± 0.158", "[0.200, 0.400]", "a ± b [c]"]
    assert shown[place + 7 : place + 9] == ["✗", "does not hold"]
    assert [span["aria-hidden"] for span in page.all("span") if span["class"] == "mark"] == 2 * [
        "true"
    ]


def test_a_figure_is_named_without_its_bytes():
    assert "PNG" not in repr(Figure("f", PNG, "caption", "text"))


def test_a_section_shows_its_text_and_its_blocks_in_their_order():
    blocks = [small_table(name="first"), Figure("curve", SVG, "", ""), small_table(name="second")]
    report = small_report(sections=[Section("S", "One.\n\nTwo.", blocks)])
    html = report.html()
    marks = ["<p>One.</p>", "<p>Two.</p>", 'id="first"', 'id="figure-curve"', 'id="second"']
    places = [html.index(mark) for mark in marks]
    assert places == sorted(places)
    assert [table.name for table in report.tables] == ["first", "second"]


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
    page = Page(small_report().html())
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3"}]
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
        small_report(title="New", sections=[Section("S", "", [broken])]).write(tmp_path)
    assert "<h1>Chest</h1>" in page.read_text()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_an_interrupted_write_leaves_every_file_whole(tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(28, "No space left on device")

    def with_picture(data):
        return Report("R", sections=[Section("S", "", [Figure("lungs", data, "", "lungs")])])

    with_picture(PNG).write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        with_picture(PNG + b"new").write(tmp_path)
    assert (tmp_path / "figures" / "lungs.png").read_bytes() == PNG
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file/reports"):
        small_report().write(tmp_path / "file" / "reports")


def test_names_used_twice_are_refused(tmp_path):
    sections = [Section("A", "", [small_table()]), Section("B", "", [small_table()])]
    with pytest.raises(ValueError, match="used twice: table-3"):
        small_report(sections=sections).write(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("data", "kind"), [(PNG, "image/png"), (SVG, "image/svg+xml")])
def test_picture_in_the_page_says_what_it_is(data, kind):
    figure = Figure("a", data, "", "a")
    assert figure.uri == f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(("side", "noted"), [(175, True), (176, False)])
def test_small_images_have_fewer_scales_and_the_table_says_so(side, noted):
    row = {"noise": "weak", "images": 3, "noisy": {"PSNR": 20.0, "SSIM": 0.5},
           "denoised": {"PSNR": 27.5, "SSIM": 0.8, "MS-SSIM": 0.9},
           "shown": {"noisy": 21.0, "denoised": 28.0}}  # fmt: skip
    cost = {"history": History([1.0], []).to_dict(), "seconds": 1.0, "trainable": 1, "shared": 0}
    shown = {
        name: np.zeros((1, side, side + 4), np.uint8) for name in ("clean", "noisy", "denoised")
    }
    part = SimpleNamespace(
        one=lambda job: {"denoising": [row]} if job == "source-test" else cost,
        arrays=lambda record: shown,
    )
    study = SimpleNamespace(parts={"": part}, about={"source trained": True})
    (table,) = denoising_section(study).tables
    assert ("fewer than its five scales" in table.note) == noted and "over 3 test" in table.note
    assert [str(cell) for cell in table.cells()[0]] == [
        "weak", "20.00", "0.500", "27.50", "0.800", "0.900",
    ]  # fmt: skip
    assert (
        denoising_gain(study)
        == "Denoising changes the PSNR by +7.5 dB to +7.5 dB, depending on the noise."
    )


@pytest.mark.parametrize("losses", [[], [0.5, 0.25]])
def test_source_has_curves_of_its_own_name_if_it_was_trained(losses):
    history = {"train": losses, "validation": losses, "learning_rate": [1e-3] * len(losses)}
    record = {"history": history, "seconds": 1.0, "trainable": 1, "shared": 0}
    part = SimpleNamespace(one=lambda kind: record)
    curves = report.sections.source_curves(SimpleNamespace(parts={"": part}), "Source")
    assert [figure.name for figure in curves] == ["training-source"] * bool(losses)


@pytest.mark.parametrize("denoises", [True, False])
def test_page_of_a_modality_of_ones_own_shows_how_its_source_was_trained(denoises, monkeypatch):
    made = []
    monkeypatch.setattr(report.sections, "build", lambda study, *given, **more: (given, more))
    monkeypatch.setattr(
        report.sections, "source_curves", lambda study, label: made.append(label) or ["curves"]
    )
    monkeypatch.setattr(report, "denoising_section", lambda study: "panels")
    monkeypatch.setattr(report, "denoising_gain", lambda study: "gain")
    record = {"denoising": []} if denoises else {}
    part = SimpleNamespace(one=lambda kind: record if kind == "source-test" else None)
    about = {"title": "Brains", "source task": "flow"}
    (text, source), more = report.plain_page(SimpleNamespace(parts={"": part}, about=about))
    assert text.title == "Brains: one source, shared" and "joint" in text.subtitle
    if denoises:
        assert (source, more, made) == ("panels", {"summary": ["gain"]}, [])
    else:
        assert (source.title, source.text, source.blocks) == ("The source", "", ["curves"])
        assert more == {} and made == ["Source: flow"]
