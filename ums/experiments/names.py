"""Names that jobs write into records and that results read from them."""

INDEPENDENT, ALTERNATING, JOINT, SEPARATE = "independent", "alternating", "joint", "separate"
STRATEGIES = (INDEPENDENT, ALTERNATING, JOINT, SEPARATE)
"""The arms of a study that are compared: three strategies (section 2.3) and the baseline, which has a
separate model for each task."""

TOGETHER = (ALTERNATING, JOINT)
"""Strategies that tune all tasks of a group at once."""

CONTROL = "control"
"""An independent head trained on shuffled labels: its heat maps show no disease."""

HELD_OUT, TEST = "held-out", "test"
"""Where networks are tested: on the fold held out, and on a set that is never trained on."""

DIVERSE, SIMILAR = "diverse", "similar"
"""The paper's two groups of tasks: with diverse and with similar annotations."""

SEGMENTATION, CLASSIFICATION = "segmentation", "classification"
MEASURES = {
    SEGMENTATION: ("IoU", "F-score", "Accuracy", "Two-class IoU"),
    CLASSIFICATION: ("MCC", "F-score", "Accuracy", "AUC"),
}
"""The measures of each kind of task; the first one stands for it where there is room for one."""

ENCODER = "encoder"
"""The name, in a job's saved weights, of the network that all tasks of a group share."""

LOGITS = "logits"
"""What is recorded of a classification for each case."""

STUDY_FILE = "study.json"
"""Names the jobs of a study and the files of their records."""
