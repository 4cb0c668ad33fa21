"""Measures of image quality, segmentation and classification, on NumPy arrays.

Accuracy and F-score exist both per image (``segmentation``) and per set (``classification``), so use
their module's name: ``classification.f_score``, ``segmentation.f_score``.
"""

from ums.metrics import classification, image_quality, segmentation
from ums.metrics.classification import confusion_matrix, mcc, roc_auc
from ums.metrics.image_quality import ms_ssim, psnr, ssim
from ums.metrics.segmentation import hausdorff_95, iou, mean_iou

__all__ = [
    "classification", "confusion_matrix", "hausdorff_95", "image_quality", "iou", "mcc", "mean_iou",
    "ms_ssim", "psnr", "roc_auc", "segmentation", "ssim",
]  # fmt: skip
