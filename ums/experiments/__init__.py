"""The paper's experiments: chest X-ray (``python -m ums.experiments.cxr``), and the page they share."""
