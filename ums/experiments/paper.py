"""Figures printed in the UMS-Rep paper, to stand beside ours. Only numbers are quoted.

Zamzmi, Rajaraman and Antani, "UMS-Rep: Unified modality-specific representation for efficient
medical image analysis", Informatics in Medicine Unlocked, 2021.
"""

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
