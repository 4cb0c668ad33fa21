"""Figures printed in the UMS-Rep paper, to stand beside ours, and its claims. Only numbers are quoted.

Zamzmi, Rajaraman and Antani, "UMS-Rep: Unified modality-specific representation for efficient
medical image analysis", Informatics in Medicine Unlocked, 2021.
"""

from ums.experiments.results.claims import Claim
from ums.experiments.tasks import DIVERSE, SIMILAR

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

_BOTH = ("lungs", "abnormality")
_PAIRS = ("bacterial-normal", "viral-normal", "bacterial-viral")
_TABLE_3, _TABLE_5 = "Table 3", "Table 5"

CXR_CLAIMS = (
    Claim(DIVERSE, "independent", "alternating", _BOTH, f"{_TABLE_3}, said not to be significant"),
    Claim(DIVERSE, "independent", "joint", _BOTH, f"{_TABLE_3}, said to be significant"),
    Claim(DIVERSE, "alternating", "joint", _BOTH, _TABLE_3),
    Claim(DIVERSE, "independent", "separate", _BOTH, f"{_TABLE_3}, said to be significant"),
    Claim(DIVERSE, "alternating", "separate", _BOTH, _TABLE_3),
    Claim(DIVERSE, "joint", "separate", ("abnormality",), _TABLE_3),
    Claim(DIVERSE, "separate", "joint", ("lungs",), f"{_TABLE_3} (IoU), laid to negative transfer"),
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

TABLE_7 = {
    ("independent", "envelope"): {"Accuracy": 0.97, "F-score": 0.95, "Two-class IoU": 0.98},
    ("alternating", "envelope"): {"Accuracy": 0.96, "F-score": 0.94, "Two-class IoU": 0.98},
    ("joint", "envelope"): {"Accuracy": 0.91, "F-score": 0.93, "Two-class IoU": 0.94},
    ("separate", "envelope"): {"Accuracy": 0.93, "F-score": 0.92, "Two-class IoU": 0.95},
    ("independent", "quality"): {"Accuracy": 0.97, "F-score": 0.96, "MCC": 0.92},
    ("alternating", "quality"): {"Accuracy": 0.95, "F-score": 0.91, "MCC": 0.87},
    ("joint", "quality"): {"Accuracy": 0.93, "F-score": 0.88, "MCC": 0.83},
    ("separate", "quality"): {"Accuracy": 0.88, "F-score": 0.85, "MCC": 0.78},
    ("independent", "flow"): {"Accuracy": 0.93, "F-score": 0.91, "MCC": 0.85},
    ("alternating", "flow"): {"Accuracy": 0.91, "F-score": 0.90, "MCC": 0.82},
    ("joint", "flow"): {"Accuracy": 0.92, "F-score": 0.90, "MCC": 0.84},
    ("separate", "flow"): {"Accuracy": 0.91, "F-score": 0.88, "MCC": 0.81},
}
"""The private Doppler set's test part; the IoU as in Table 3."""

TABLE_8 = {
    "source": {"Minutes": 28.19, "Trainable parameters": 460_115},
    ("independent", "envelope"): {"Minutes": 5.80, "Trainable parameters": 786_497},
    ("independent", "quality"): {"Minutes": 3.00, "Trainable parameters": 295_715},
    ("independent", "flow"): {"Minutes": 1.78, "Trainable parameters": 295_715},
    "proposed": {"Minutes": 38.77, "Trainable parameters": 1_838_042},
    ("separate", "envelope"): {"Minutes": 130.02, "Trainable parameters": 786_497},
    ("separate", "quality"): {"Minutes": 29.34, "Trainable parameters": 1_573_506},
    ("separate", "flow"): {"Minutes": 36.27, "Trainable parameters": 1_573_506},
    "baseline tasks": {"Minutes": 195.63, "Trainable parameters": 3_933_509},
}
"""Wall time and parameters of the Doppler part with diverse tasks."""

TABLE_9 = {
    ("independent", "MV-MA"): {"Accuracy": 0.92, "F-score": 0.91, "MCC": 0.83},
    ("alternating", "MV-MA"): {"Accuracy": 0.94, "F-score": 0.94, "MCC": 0.87},
    ("joint", "MV-MA"): {"Accuracy": 0.95, "F-score": 0.95, "MCC": 0.89},
    ("separate", "MV-MA"): {"Accuracy": 0.91, "F-score": 0.91, "MCC": 0.81},
    ("independent", "MV-TR"): {"Accuracy": 0.95, "F-score": 0.94, "MCC": 0.88},
    ("alternating", "MV-TR"): {"Accuracy": 0.96, "F-score": 0.96, "MCC": 0.91},
    ("joint", "MV-TR"): {"Accuracy": 0.97, "F-score": 0.96, "MCC": 0.93},
    ("separate", "MV-TR"): {"Accuracy": 0.94, "F-score": 0.93, "MCC": 0.86},
    ("independent", "MA-TR"): {"Accuracy": 0.97, "F-score": 0.96, "MCC": 0.92},
    ("alternating", "MA-TR"): {"Accuracy": 0.98, "F-score": 0.96, "MCC": 0.93},
    ("joint", "MA-TR"): {"Accuracy": 0.98, "F-score": 0.98, "MCC": 0.95},
    ("separate", "MA-TR"): {"Accuracy": 0.98, "F-score": 0.96, "MCC": 0.93},
}
"""The three pairs of Doppler flows."""

TABLE_10 = {
    "source": {"Minutes": 28.19, "Trainable parameters": 460_115},
    ("independent", "MV-MA"): {"Minutes": 2.42, "Trainable parameters": 295_715},
    ("independent", "MV-TR"): {"Minutes": 1.25, "Trainable parameters": 295_715},
    ("independent", "MA-TR"): {"Minutes": 1.83, "Trainable parameters": 295_715},
    "proposed": {"Minutes": 33.69, "Trainable parameters": 1_347_260},
    ("separate", "MV-MA"): {"Minutes": 16.67, "Trainable parameters": 1_573_506},
    ("separate", "MV-TR"): {"Minutes": 10.85, "Trainable parameters": 1_573_506},
    ("separate", "MA-TR"): {"Minutes": 9.25, "Trainable parameters": 1_573_506},
    "baseline tasks": {"Minutes": 36.77, "Trainable parameters": 4_720_518},
}
"""Wall time and parameters of the Doppler part with similar tasks."""

_ALL = ("envelope", "quality", "flow")
_FLOWS = ("MV-MA", "MV-TR", "MA-TR")
_TABLE_7, _TABLE_9 = "Table 7", "Table 9"

ECHO_CLAIMS = (
    Claim(DIVERSE, "independent", "joint", _ALL, f"{_TABLE_7}, said to be significant"),
    Claim(DIVERSE, "independent", "alternating", _ALL[1:], _TABLE_7),
    Claim(DIVERSE, "alternating", "joint", _ALL[:2], _TABLE_7),
    Claim(DIVERSE, "joint", "alternating", _ALL[2:], _TABLE_7),
    Claim(DIVERSE, "independent", "separate", _ALL, f"{_TABLE_7}, said to be significant"),
    Claim(DIVERSE, "alternating", "separate", _ALL, _TABLE_7),
    Claim(DIVERSE, "joint", "separate", _ALL[1:], _TABLE_7),
    Claim(DIVERSE, "separate", "joint", _ALL[:1], f"{_TABLE_7} (IoU), laid to negative transfer"),
    Claim(SIMILAR, "joint", "alternating", _FLOWS, f"{_TABLE_9}, mostly not significant"),
    Claim(SIMILAR, "joint", "independent", _FLOWS, f"{_TABLE_9}, said to be significant"),
    Claim(SIMILAR, "alternating", "independent", _FLOWS, _TABLE_9),
    Claim(SIMILAR, "joint", "separate", _FLOWS, f"{_TABLE_9}, said to be significant"),
    Claim(SIMILAR, "alternating", "separate", _FLOWS[:2], _TABLE_9),
    Claim(SIMILAR, "independent", "separate", _FLOWS[:2], _TABLE_9),
    Claim(SIMILAR, "separate", "independent", _FLOWS[2:], f"{_TABLE_9} (MCC)"),
)
"""Section 4.2.2; where its table has two strategies equal there is no claim."""
