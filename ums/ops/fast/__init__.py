"""The ops in tiles, bands and threads: what runs.

Each is tested to equal its formula in the module of the same name in :mod:`ums.ops`.
"""

__all__ = ["activations", "conv", "norm", "rows", "threads", "upsample", "winograd"]
