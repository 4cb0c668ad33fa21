"""The Doppler echo study's page: Tables 7 to 10 and Figure 9 beside the paper's, and its claims."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ums.derived.recommendation import FLOWS
from ums.experiments.names import CLASSIFICATION, DIVERSE, LOGITS, SEGMENTATION, SIMILAR
from ums.experiments.report import sections
from ums.experiments.report.page import Figure, Report, Section
from ums.experiments.report.pictures import examples_panel
from ums.experiments.report.recommendation import HEADS, recommendation_section
from ums.experiments.report.sections import GroupText, PageText, overlap_note
from ums.experiments.report.tables import Table
from ums.experiments.results import paper
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.records import StudyRecords
from ums.experiments.results.scores import of_one_network

_UNTRAINED = "The source is untrained here: what is said of its training does not apply."
_HEADS = (
    "The paper's 295,715 for a classification head fit no head of GAP, FC, dropout and softmax on this "
    "encoder."
)
TEXT = PageText(
    title="Doppler echo: one supervised source, shared",
    subtitle="When does sharing an encoder pay? Independent, alternating and joint fine-tuning, one task "
    "alone and separate models; after Zamzmi, Rajaraman and Antani (2021), section 4.2.",
    seen="The source learned the flow of other patients; no image of theirs is among these. All heads learn "
    "by Adam, where the paper's classification heads learn by SGD.",
    groups={
        DIVERSE: GroupText(
            7,
            8,
            {
                SEGMENTATION: overlap_note("envelope")
                + " The paper's numbers are for a private set of real screens.",
                CLASSIFICATION: "The F-score of the quality is that of good images, the F-score of the "
                "flow the mean of the three flows'; the AUC of the flow is the mean of each flow against "
                "the others. The quality is known of some images only.",
            },
            f"{_HEADS} Its 786,497 for the envelope's head are those of encoder and decoder with one "
            "input channel, which is the separate model here; its 1,573,506 for the separate flow model "
            "are for two classes, where there are three.",
        ),
        SIMILAR: GroupText(
            9, 10, {CLASSIFICATION: "The F-score is of the flow named first."}, _HEADS
        ),
    },
    claims=paper.claims("echo"),
)


def build(study: StudyRecords) -> Report:
    """The whole page."""
    trained = study.about["source trained"]
    return sections.build(
        study,
        TEXT if trained else replace(TEXT, seen=f"{_UNTRAINED} {TEXT.seen}"),
        _source(study) if study.parts[""].of("source-test") else None,
        recommendations,
    )


def recommendations(group: GroupResults) -> list[Section]:
    """The derived task, where there are the heads that it needs and the pictures to show."""
    there = {task.name for task in group.tasks} >= set(HEADS)
    return [recommendation_section(group)] if there else []


def _source(study: StudyRecords) -> Section:
    """The flow classifier on patients of its own, beside what needs no network at all."""
    records = study.parts[""]
    record = records.one("source-test")
    label, logits = np.array(record["label"]), np.array(record[LOGITS])
    rng, one_hot = np.random.default_rng([study.about["seed"], 4]), np.eye(len(FLOWS))
    rows: list[dict[str, Any]] = []
    for method, found in (
        ("Source", logits),
        ("Nearest neighbour, by pixels", one_hot[record["nearest neighbour"]]),
        ("The commonest flow", one_hot[np.full(len(label), record["commonest"])]),
    ):
        cases = (found, label, np.array(record["patient"]), rng)
        measures = {m: of_one_network(m, *cases) for m in ("Accuracy", "F-score", "MCC")}
        rows.append({"Method": method} | measures)
    note = (
        f"On {len(label)} images of the source's test patients, with the 95 % bootstrap interval over "
        f"the patients; the first replicate, trained on {record['trained on']} images of others. The nearest "
        "neighbour is the training image whose grey levels have the least squared difference."
    )
    table = Table("source", "The source: telling flows apart", list(rows[0]), rows, note=note)
    shown = records.arrays(record)
    examples = _examples(shown["images"], label[shown["shown"]], logits[shown["shown"]])
    text = (
        "The source is a convolutional network that learns, with labels, which of three flows a screen "
        "shows: mitral inflow (MV), the motion of the mitral annulus (MA) or a tricuspid regurgitation "
        "(TR). Its encoder is what all heads share."
    )
    if not study.about["source trained"]:
        text += f" {_UNTRAINED}"
    curves = sections.source_curves(study, "Source: flow (cross-entropy)")
    return Section("The source: flow", text, [table, examples, *curves])


def _examples(images: np.ndarray, flow: np.ndarray, logits: np.ndarray) -> Figure:
    """Screens of the source's test patients with the predicted flow."""
    predicted = logits.argmax(axis=1)
    pairs = zip(flow, predicted, strict=True)
    titles = [f"true {FLOWS[f]}, predicted {FLOWS[p]}" for f, p in pairs]
    return examples_panel(list(images), titles, predicted == flow, name="source-examples")
