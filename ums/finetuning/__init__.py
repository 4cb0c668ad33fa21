"""The fine-tuning strategies of section 2.3, a short file each, and the baseline."""

from ums.finetuning.alternating import tune_alternately
from ums.finetuning.independent import tune_independently
from ums.finetuning.joint import tune_jointly
from ums.finetuning.loop import train_task
from ums.finetuning.separate import train_separately
from ums.finetuning.tasks import Task, Tuned, check_task
from ums.finetuning.weighting import ByHand, Equal, GradNorm, Uncertainty, Weighting

__all__ = [
    "ByHand", "Equal", "GradNorm", "Task", "Tuned", "Uncertainty", "Weighting", "check_task",
    "train_separately", "train_task", "tune_alternately", "tune_independently", "tune_jointly",
]  # fmt: skip
