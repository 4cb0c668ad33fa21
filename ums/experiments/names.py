"""Names that jobs write into records and that results read from them."""

INDEPENDENT, ALTERNATING, JOINT, SEPARATE = "independent", "alternating", "joint", "separate"
SEPARATE_RAW, SCRATCH, JOINT_SCRATCH = "separate-raw", "scratch", "joint-scratch"
SINGLE, SINGLE_LONG, CONTROL, SOURCE_HEAD = "single", "single-long", "control", "source-head"
"""The arms of a study; :mod:`ums.experiments.arms` says what each of them does."""

STRATEGIES = (INDEPENDENT, ALTERNATING, JOINT, SEPARATE)
"""The paper's arms: three strategies (section 2.3), and the baseline with a separate model for each task."""

OWN_EPOCH, ONE_ENCODER = "own epoch", "one encoder"
"""Which epoch of a training is tested: each task's own best, or, of tasks tuned together, the one that is
best for all, whose heads share an encoder."""

HELD_OUT, TEST = "held-out", "test"
"""Where networks are tested: on images of the training hospital that were put aside, and on a test set."""

VALIDATION = "validation"
"""What is recorded of a classification's validation images, by which an operating point is chosen."""

DIVERSE, SIMILAR = "diverse", "similar"
"""The paper's two groups of tasks: with diverse and with similar annotations."""

SEGMENTATION, CLASSIFICATION = "segmentation", "classification"
REGRESSION, SEVERAL_LABELS = "regression", "several labels"
MEASURES = {
    SEGMENTATION: ("IoU", "F-score", "Accuracy", "Two-class IoU"),
    CLASSIFICATION: ("MCC", "F-score", "Accuracy", "AUC"),
    REGRESSION: ("R²", "MAE"),
    SEVERAL_LABELS: ("Mean AUC", "Accuracy"),
}
"""The measures of each kind of task; the first one stands for it where there is room for one."""

ENCODER = "encoder"
"""The name, in a job's saved weights, of the network that all tasks of a group share."""

TASKS = "tasks"
"""The name of the only group of tasks of one's own study."""

LOGITS = "logits"
"""What is recorded for each case of a task that is no segmentation; of a regression, the number."""

STUDY_FILE = "study.json"
"""Names the jobs of a study and the files of their records."""


def tasks_of(group: str) -> str:
    """What a page calls the tasks of a group."""
    return TASKS if group == TASKS else f"{group} tasks"
