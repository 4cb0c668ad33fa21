"""Figures printed in the UMS-Rep paper, to stand beside ours, and its claims. Only numbers are quoted.

Zamzmi, Rajaraman and Antani, "UMS-Rep: Unified modality-specific representation for efficient
medical image analysis", Informatics in Medicine Unlocked, 2021.
"""

from ums.experiments.claims import Claim
from ums.experiments.cxr_sets import ABNORMALITY, DIVERSE, LUNGS, PAIRS, SIMILAR

TABLE_2 = (
    {"PSNR": 39.05, "SSIM": 0.96, "MS-SSIM": 0.99},
    {"PSNR": 35.38, "SSIM": 0.91, "MS-SSIM": 0.98},
    {"PSNR": 32.75, "SSIM": 0.89, "MS-SSIM": 0.95},
    {"PSNR": 30.54, "SSIM": 0.85, "MS-SSIM": 0.91},
    {"PSNR": 28.35, "SSIM": 0.79, "MS-SSIM": 0.88},
    {"PSNR": 33.37, "SSIM": 0.93, "MS-SSIM": 0.97},
)
"""Denoising by noise level: five Gaussians, weakest first, then Poisson."""

TABLE_3 = {
    ("independent", "lungs"): {"Accuracy": 0.99, "F-score": 0.96, "Two-class IoU": 0.98},
    ("alternating", "lungs"): {"Accuracy": 0.99, "F-score": 0.95, "Two-class IoU": 0.96},
    ("joint", "lungs"): {"Accuracy": 0.92, "F-score": 0.92, "Two-class IoU": 0.94},
    ("separate", "lungs"): {"Accuracy": 0.97, "F-score": 0.91, "Two-class IoU": 0.95},
    ("independent", "abnormality"): {"Accuracy": 0.86, "F-score": 0.83, "MCC": 0.68},
    ("alternating", "abnormality"): {"Accuracy": 0.85, "F-score": 0.82, "MCC": 0.66},
    ("joint", "abnormality"): {"Accuracy": 0.83, "F-score": 0.80, "MCC": 0.63},
    ("separate", "abnormality"): {"Accuracy": 0.80, "F-score": 0.80, "MCC": 0.60},
}
"""Montgomery, after tuning on Shenzhen. Its IoU stands under "Two-class IoU": it is printed above the
F-score, which no IoU of the lungs alone can be (IoU = F / (2 - F))."""

TABLE_4 = {
    "source": {"Minutes": 302.20, "Trainable parameters": 800_067},
    ("independent", "lungs"): {"Minutes": 8.11, "Trainable parameters": 786_497},
    ("independent", "abnormality"): {"Minutes": 2.51, "Trainable parameters": 295_715},
    "proposed": {"Minutes": 312.82, "Trainable parameters": 1_882_279},
    "denoiser": {"Minutes": 302.20, "Trainable parameters": 800_067},
    ("separate", "lungs"): {"Minutes": 148.02, "Trainable parameters": 786_497},
    ("separate", "abnormality"): {"Minutes": 9.25, "Trainable parameters": 1_573_506},
    "baseline": {"Minutes": 459.47, "Trainable parameters": 3_160_070},
}
"""Wall time and parameters of the chest X-ray part with diverse tasks."""

TABLE_5 = {
    ("independent", "bacterial-normal"): {"Accuracy": 0.95, "F-score": 0.95, "MCC": 0.90},
    ("alternating", "bacterial-normal"): {"Accuracy": 0.96, "F-score": 0.96, "MCC": 0.92},
    ("joint", "bacterial-normal"): {"Accuracy": 0.96, "F-score": 0.95, "MCC": 0.91},
    ("separate", "bacterial-normal"): {"Accuracy": 0.94, "F-score": 0.94, "MCC": 0.89},
    ("independent", "viral-normal"): {"Accuracy": 0.95, "F-score": 0.92, "MCC": 0.88},
    ("alternating", "viral-normal"): {"Accuracy": 0.96, "F-score": 0.93, "MCC": 0.90},
    ("joint", "viral-normal"): {"Accuracy": 0.97, "F-score": 0.94, "MCC": 0.92},
    ("separate", "viral-normal"): {"Accuracy": 0.93, "F-score": 0.90, "MCC": 0.86},
    ("independent", "bacterial-viral"): {"Accuracy": 0.81, "F-score": 0.76, "MCC": 0.56},
    ("alternating", "bacterial-viral"): {"Accuracy": 0.82, "F-score": 0.77, "MCC": 0.58},
    ("joint", "bacterial-viral"): {"Accuracy": 0.83, "F-score": 0.80, "MCC": 0.62},
    ("separate", "bacterial-viral"): {"Accuracy": 0.80, "F-score": 0.75, "MCC": 0.54},
}
"""The held-out pediatric test set, after tuning on its train set."""

TABLE_6 = {
    ("independent", "bacterial-normal"): {"Minutes": 1.90, "Trainable parameters": 295_715},
    ("independent", "viral-normal"): {"Minutes": 1.75, "Trainable parameters": 295_715},
    ("independent", "bacterial-viral"): {"Minutes": 1.16, "Trainable parameters": 295_715},
    "proposed tasks": {"Minutes": 4.81, "Trainable parameters": 887_145},
    ("separate", "bacterial-normal"): {"Minutes": 12.75, "Trainable parameters": 1_573_506},
    ("separate", "viral-normal"): {"Minutes": 9.21, "Trainable parameters": 1_573_506},
    ("separate", "bacterial-viral"): {"Minutes": 12.19, "Trainable parameters": 1_573_506},
    "baseline tasks": {"Minutes": 34.15, "Trainable parameters": 4_720_518},
}
"""Wall time and parameters of the part with similar tasks; the paper counts no source here."""

_BOTH = (LUNGS, ABNORMALITY)
_PAIRS = tuple(f"{positive}-{negative}" for positive, negative in PAIRS)
_TABLE_3, _TABLE_5 = "Table 3", "Table 5"

CXR_CLAIMS = (
    Claim(DIVERSE, "independent", "alternating", _BOTH, f"{_TABLE_3}, said not to be significant"),
    Claim(DIVERSE, "independent", "joint", _BOTH, f"{_TABLE_3}, said to be significant"),
    Claim(DIVERSE, "alternating", "joint", _BOTH, _TABLE_3),
    Claim(DIVERSE, "independent", "separate", _BOTH, f"{_TABLE_3}, said to be significant"),
    Claim(DIVERSE, "alternating", "separate", _BOTH, _TABLE_3),
    Claim(DIVERSE, "joint", "separate", (ABNORMALITY,), _TABLE_3),
    Claim(DIVERSE, "separate", "joint", (LUNGS,), f"{_TABLE_3} (IoU), laid to negative transfer"),
    Claim(SIMILAR, "joint", "alternating", _PAIRS[1:], f"{_TABLE_5}, in most cases"),
    Claim(SIMILAR, "alternating", "joint", _PAIRS[:1], f"{_TABLE_5}, the other case"),
    Claim(
        SIMILAR,
        "joint",
        "independent",
        _PAIRS,
        f"{_TABLE_5}, significant but for bacterial vs normal",
    ),
    Claim(SIMILAR, "alternating", "independent", _PAIRS, _TABLE_5),
    Claim(SIMILAR, "joint", "separate", _PAIRS, f"{_TABLE_5}, said to be significant"),
    Claim(SIMILAR, "alternating", "separate", _PAIRS, _TABLE_5),
    Claim(SIMILAR, "independent", "separate", _PAIRS, _TABLE_5),
)
"""Section 4.1.2."""
