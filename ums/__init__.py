"""ums: unified modality-specific representations for medical images, written from scratch.

Read it in the order the data flows: ``ums.ops`` (the mathematics), ``ums.layers`` (state),
``ums.networks``, ``ums.data``, ``ums.training``, ``ums.finetuning``, ``ums.experiments``.
"""

__version__ = "0.1.0"
