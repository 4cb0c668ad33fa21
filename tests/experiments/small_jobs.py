"""A job of no work, for the tests of the store: what it leaves, and how it is taken from a store."""

import numpy as np

ARRAYS = {"0.w": np.arange(6, dtype=np.float32).reshape(2, 3), "1.b": np.array([0.1, np.pi])}
RECORD = {"history": {"train": [0.1, 1e-17], "n": 3}, "seconds": 1.25, "name": "é"}
KEY = {"width": 1}


class Work:
    """Leaves arrays and a record, and counts how often it was done; or fails."""

    def __init__(self, arrays=ARRAYS, record=RECORD, error=None):
        self.result, self.error, self.calls = (arrays, record), error, 0

    def __call__(self, checkpoint=None):
        self.calls += 1
        if self.error:
            raise self.error
        return self.result


def take(store, kind, work, name="source", key=KEY):
    """The record of a job's "weights", or its "record", computed by ``work`` unless it is kept."""
    if kind == "weights":
        return store.weights(name, key, work)[1]
    record = store.record(name, key, lambda: work()[::-1])
    assert record.pop("made by")["python"] and record.pop("key")["job"] == name
    assert record.pop("arrays") == bool(work.result[0])
    return record


def files(folder):
    """All files of a store, as paths in it."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
