"""The ops in tiles, bands and threads: what runs. Each is tested to equal its formula in :mod:`ums.ops`."""

__all__: list[str] = []
