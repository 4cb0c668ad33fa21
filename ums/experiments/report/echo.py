"""The Doppler echo study's page: Tables 7 to 10 and Figure 9 beside the paper's, and its claims."""

from __future__ import annotations

import numpy as np

from ums.data.rows import Rows, parts
from ums.derived.recommendation import FLOWS
from ums.experiments.datasets import source_rows
from ums.experiments.echo_sets import FLOW
from ums.experiments.report import pictures as figures
from ums.experiments.report import sections as study_report
from ums.experiments.report.page import Report, Section
from ums.experiments.report.part_tables import PartFigures
from ums.experiments.report.recommendation import recommendation_section
from ums.experiments.report.sections import InPaper, Wording, overlap_note
from ums.experiments.report.tables import Column, Table
from ums.experiments.results import paper
from ums.experiments.results.scores import LOGITS, score_classes, tested_once
from ums.experiments.settings import Outcome
from ums.experiments.tasks import CLASSIFICATION, DIVERSE, SEGMENTATION, SIMILAR

_HEADS = (
    "The paper's 295,715 for a classification head is of no head of GAP, FC, dropout and softmax on "
    "this encoder."
)
WORDING = Wording(
    title="Doppler echo: one supervised source, shared",
    subtitle="Independent, alternating and joint fine-tuning on a shared encoder, against separate "
    "models; after Zamzmi, Rajaraman and Antani (2021), section 4.2.",
    learned="flow",
    denoiser=False,
    seen="The source learned the flow of other patients; no image of theirs is among these. Classification "
    "heads learn by SGD, as the paper's do, with momentum 0.9 and ten times the learning rate stated "
    "below; the source, the envelope, separate models, and tasks with a joint loss but different "
    "optimizers learn by Adam.",
    parts={
        DIVERSE: InPaper(
            paper.TABLE_7,
            7,
            paper.TABLE_8,
            8,
            {
                SEGMENTATION: overlap_note("envelope")
                + " The paper's figures are for a private set of real screens.",
                CLASSIFICATION: "The F-score of the quality is that of good images, of the flow the "
                "mean of the three flows'; the AUC of the flow is the mean of each flow against the "
                "others. Quality is known of some images only.",
            },
            f"{_HEADS} Its 786,497 for the envelope's head is that of encoder and decoder with one "
            "channel in, which is the separate model here; and its 1,573,506 for the separate flow "
            "model is of two classes where there are three.",
        ),
        SIMILAR: InPaper(
            paper.TABLE_9,
            9,
            paper.TABLE_10,
            10,
            {CLASSIFICATION: "The F-score is of the flow named first."},
            _HEADS,
        ),
    },
    claims=paper.ECHO_CLAIMS,
)


def build(outcome: Outcome) -> Report:
    """The whole report."""

    def of_part(part: PartFigures) -> list[Section]:
        derived = part.part.name == DIVERSE
        return [recommendation_section(part.outcome, outcome.settings.seed)] if derived else []

    return study_report.build(outcome, WORDING, _source(outcome), of_part)


# ------------------------------------------------------------------------ the source


def _source(outcome: Outcome) -> Section:
    """The flow classifier on patients of its own, beside what needs no network at all."""
    source, settings = outcome.sets.source, outcome.settings
    flow = source.labels[FLOW]
    train, test = (source_rows(source, split, FLOW) for split in ("train", "test"))
    rng = np.random.default_rng([settings.seed, 4])
    logits = score_classes(
        outcome.source.network, source.images[test], outcome.device, settings.dark
    )[LOGITS]
    nearest = flow[train][nearest_neighbours(Rows(source.images, train), source.images[test])]
    commonest = np.full(len(test), np.bincount(flow[train]).argmax())
    rows = []
    for method, found in (
        ("Source", logits),
        ("Nearest neighbour, by pixels", np.eye(len(FLOWS))[nearest]),
        ("The commonest flow", np.eye(len(FLOWS))[commonest]),
    ):
        tested = tested_once(source.patients[test], flow[test], found)
        measures = {m: tested.estimate(m, rng) for m in ("Accuracy", "F-score", "MCC")}
        rows.append({"Method": method} | measures)
    columns = ["Method", *(Column(m, "{:.3f}") for m in ("Accuracy", "F-score", "MCC"))]
    note = (
        f"On {len(test)} images of the source's test patients, with the 95 % bootstrap interval over "
        f"them; {len(train)} images of others were learned from. The nearest neighbour is the training "
        "image whose grey levels are most alike, in the sense of least squares."
    )
    table = Table("source", "The source: telling flows apart", columns, rows, note=note)
    pictures = [_examples(outcome, test, logits)]
    pictures += study_report.source_curves(outcome, "Source: flow (cross-entropy)")
    text = (
        "The source is a convolutional network that learns, with labels, which of three flows a screen "
        "shows: mitral inflow (MV), the motion of the mitral annulus (MA) or a tricuspid regurgitation "
        "(TR). Its encoder is what all heads share."
    )
    return Section("The source: flow", text, [table], pictures)


def _examples(outcome: Outcome, rows: np.ndarray, logits: np.ndarray) -> figures.Figure:
    """Up to 8 screens of the source's test patients with what it says of them: up to 4 wrong, first."""
    source = outcome.sets.source
    flow, said = source.labels[FLOW][rows], logits.argmax(axis=1)
    wrong = np.flatnonzero(said != flow)[:4]
    shown = np.concatenate([wrong, np.flatnonzero(said == flow)[-(8 - len(wrong)) :]])
    return figures.examples_panel(
        source.images[rows[shown]],
        [f"true {FLOWS[flow[i]]}, said {FLOWS[said[i]]}" for i in shown],
        correct=(said == flow)[shown].tolist(),
        name="source-examples",
    )


def nearest_neighbours(images: np.ndarray, of: np.ndarray) -> np.ndarray:
    """For each of the images ``of`` (n, ...) the row of ``images`` (N, ...) at the least distance."""
    one = _as_points(of)
    distances = []  # squared, less what is the same for all N
    for _, some in parts(images):
        other = _as_points(some)
        distances.append(np.square(other).sum(axis=1) - 2 * one @ other.T)
    return np.concatenate(distances, axis=1).argmin(axis=1)


def _as_points(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255
