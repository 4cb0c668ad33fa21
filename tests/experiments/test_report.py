import base64
import json
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from made_tables import FIVE, HIGHER, small_table

from ums.experiments import report
from ums.experiments.report.denoising import denoising_gain, denoising_section
from ums.experiments.report.page import Figure, Report, Section
from ums.experiments.report.tables import Column, Table
from ums.experiments.results.verdicts import Verdict
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


def small_report(**changes):
    figures = [Figure("lungs", PNG, "Lungs.", "two lungs"), Figure("curve", SVG, "", "a curve")]
    section = Section("Results", "One.\n\nTwo & three.", [small_table(), *figures])
    settings = {"title": "Chest", "summary": ["Good."], "sections": [section], "run": {"seed": 0}}
    return Report(**{**settings, **changes})


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


def test_the_page_sets_spread_and_interval_apart_and_marks_a_verdict():
    rows = [{"Here": verdict, "F": FIVE} for verdict in Verdict]
    rows[0] = {"Here": HIGHER, "F": "a ± b [c]"}
    table = Table("claims", "Claims", [Column("F", "{:.3f}"), "Here"], rows)
    page = Page(small_report(sections=[Section("S", "", [table])]).html())
    spans = page.all("span")
    classes = [span["class"] for span in spans]
    kinds = [kind for kind in classes if kind.startswith("verdict")]
    assert kinds == ["verdict holds", "verdict holds", "verdict refuted", "verdict open"]
    assert classes.count("spread") == 3 and classes.count("interval") == 4
    shown = [text for text in page.text if text]
    place = shown.index("a ± b [c]")
    expected = [
        "✓",
        "+0.250",
        "[+0.062, +0.438]",
        "0.300",
        "± 0.158",
        "[0.200, 0.400]",
        "✓",
        "holds",
    ]
    assert shown[place + 1 : place + 9] == expected
    marks = [span for span in spans if span["class"] == "mark"]
    assert marks[0]["aria-label"] == "holds"  # beside a number a mark is the only word
    assert all(mark["aria-hidden"] == "true" for mark in marks[1:])


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_a_look_of_its_own(verdict):
    assert f".verdict.{verdict.value} {{" in small_report().html()


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


def denoised_study(side):
    """A study of two noises, of which the source has learned from the second."""
    first = {"noise": "faint", "learned": False, "images": 3, "noisy": {"PSNR": 30.0, "SSIM": 0.9},
             "denoised": {"PSNR": 28.0, "SSIM": 0.7, "MS-SSIM": 0.8},
             "strengths": {"blur": 0.5, "mean": 3.0},
             "blur": {"PSNR": 30.5, "SSIM": 0.91}, "mean": {"PSNR": 30.25, "SSIM": 0.92},
             "shown": {"noisy": 31.0, "denoised": 29.0}}  # fmt: skip
    second = first | {"noise": "weak", "learned": True, "noisy": {"PSNR": 20.0, "SSIM": 0.5},
                      "denoised": {"PSNR": 27.5, "SSIM": 0.8, "MS-SSIM": 0.9},
                      "strengths": {"blur": 1.25, "mean": 20.0},
                      "blur": {"PSNR": 23.0, "SSIM": 0.6}, "mean": {"PSNR": 24.0, "SSIM": 0.75}}  # fmt: skip
    cost = {"history": History([1.0], []).to_dict(), "seconds": 1.0, "trainable": 1, "shared": 0}
    shown = {
        name: np.zeros((2, side, side + 4), np.uint8) for name in ("clean", "noisy", "denoised")
    }
    part = SimpleNamespace(
        one=lambda job: {"denoising": [first, second]} if job == "source-test" else cost,
        arrays=lambda record: shown,
    )
    return SimpleNamespace(parts={"": part}, about={"source trained": True})


def written(table):
    return [[str(cell) for cell in row] for row in table.cells()]


@pytest.mark.parametrize(("side", "noted"), [(175, True), (176, False)])
def test_small_images_have_fewer_scales_and_the_table_says_so(side, noted):
    table, _ = denoising_section(denoised_study(side)).tables
    assert ("fewer than its five scales" in table.note) == noted and "over 3 test" in table.note
    assert "as weak as faint was not among" in table.note
    assert written(table)[1] == ["weak", "20.00", "0.500", "27.50", "0.800", "0.900"]


def test_papers_denoising_stands_beside_the_noises_that_are_learned_from():
    table, _ = denoising_section(denoised_study(64), [{"PSNR": 39.0}]).tables
    assert [row[3:5] for row in written(table)] == [["28.00", "–"], ["27.50", "39.00"]]


def test_filters_stand_beside_the_network_with_the_range_of_their_strengths():
    _, table = denoising_section(denoised_study(64)).tables
    assert [column.name for column in table.columns][1:5] == [
        "PSNR, network", "PSNR, blur", "PSNR, mean", "SSIM, network",
    ]  # fmt: skip
    assert written(table)[1] == ["weak", "27.50", "23.00", "24.00", "0.800", "0.600", "0.750"]
    assert "(blur 0.5 to 1.2, mean 3 to 20; pixels" in table.note


def test_gain_of_denoising_is_told_beside_the_best_filters():
    assert denoising_gain(denoised_study(64)) == (
        "Denoising changes the PSNR by −2.0 dB to +7.5 dB, depending on the noise; the best of "
        "2 filters that know the noise, by +0.5 dB to +4.0 dB."
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
    part = SimpleNamespace(of=lambda kind: [record] if kind == "source-test" else [])
    about = {"title": "Brains", "source task": "flow"}
    (text, source), more = report.plain_page(SimpleNamespace(parts={"": part}, about=about))
    assert text.title == "Brains: one source, shared" and "joint" in text.subtitle
    if denoises:
        assert (source, more, made) == ("panels", {"summary": ["gain"]}, [])
    else:
        assert (source.title, source.text, source.blocks) == ("The source", "", ["curves"])
        assert more == {} and made == ["Source: flow"]
