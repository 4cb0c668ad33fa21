"""The chest X-ray study's page: Tables 2 to 6 and Figure 7 beside the paper's, and its claims."""

from __future__ import annotations

from dataclasses import replace

from ums.experiments.names import CLASSIFICATION, DIVERSE, SEGMENTATION, SIMILAR
from ums.experiments.report import sections
from ums.experiments.report.denoising import UNTRAINED, denoising_gain, denoising_section
from ums.experiments.report.hospitals import hospital_sections
from ums.experiments.report.page import Report
from ums.experiments.report.sections import GroupText, PageText, overlap_note
from ums.experiments.results import paper
from ums.experiments.results.records import StudyRecords

TEXT = PageText(
    title="Chest X-ray: one denoising source, shared",
    subtitle="When does sharing an encoder pay? Independent, alternating and joint fine-tuning, one task "
    "alone and separate models; after Zamzmi, Rajaraman and Antani (2021), section 4.1.",
    seen="The source may have seen images of the training hospital, without labels, but none of the test "
    "set.",
    groups={
        DIVERSE: GroupText(
            3,
            4,
            {
                SEGMENTATION: overlap_note("lungs")
                + " The paper's numbers are for 138 Montgomery images.",
                CLASSIFICATION: "The F-score is of the abnormal class. Guessing has an MCC of 0.",
            },
            "The paper's count for lung segmentation is that of a whole six-layer network, ours that "
            "of the head alone; its 295,715 for a classification head fit no such head on this encoder.",
        ),
        SIMILAR: GroupText(
            5,
            6,
            {
                CLASSIFICATION: "The F-score is of the class named first. The paper's numbers are for the "
                "published test set, 624 images, after 10 folds."
            },
            "The paper leaves the source out here: its totals stand beside those of the tasks alone.",
        ),
    },
    claims=paper.claims("cxr"),
    cost_note="The separate denoiser is the source itself, counted on both sides: it would "
    "be the same network on the same images by the same recipe, and the paper gives both the same time. "
    "The time to denoise the baseline's images is not counted.",
)


def build(study: StudyRecords) -> Report:
    """The whole page."""
    text = TEXT if study.about["source trained"] else replace(TEXT, cost_note=UNTRAINED)
    if not study.parts[""].of("source-test"):
        return sections.build(study, text, None, hospital_sections)
    source = denoising_section(study, paper.denoising())
    gain = [denoising_gain(study)]
    return sections.build(study, text, source, hospital_sections, gain)
