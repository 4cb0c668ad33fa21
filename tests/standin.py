"""A second array library for the tests: NumPy behind a wall, so that ops are held to one side of it.

It plays CuPy where there is no GPU, and is stricter. An array never turns into a NumPy array by
itself, no function of NumPy takes it, and it does not compute with a NumPy array; NumPy and Python
scalars are welcome. The module has only functions that CuPy has too, under the same names. Moves
between the two memories are counted in ``moves``.
"""

import operator
from collections import Counter
from types import SimpleNamespace

import numpy as np
from numpy import bool_, float32, float64, int32, int64, uint8  # noqa: F401

FUNCTIONS = (
    "empty zeros ones full empty_like zeros_like ones_like arange ascontiguousarray broadcast_to "
    "add subtract multiply divide maximum minimum exp log log1p sqrt tanh abs sign where isfinite "
    "sum mean max min clip pad concatenate stack tile matmul tensordot"
).split()
METHODS = (
    "reshape transpose swapaxes ravel repeat astype copy sum mean max min any all argmax"
).split()
ATTRIBUTES = "shape ndim dtype size itemsize nbytes strides flags".split()
OPERATORS = "add sub mul truediv floordiv mod pow matmul and or xor".split()

moves = Counter()
"""How often an array, or a value of one, went "to host" and "to device"."""


class ndarray:
    """A NumPy array nobody outside this module can reach, except by :meth:`get`."""

    __array_ufunc__ = None  # NumPy's functions refuse it; NumPy's operators defer to its own
    __hash__ = None

    def __init__(self, data):
        self._data = data

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion to a NumPy array is not allowed; use .get()")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} was called with an array of another library")

    def get(self):
        """A copy in the host's memory."""
        moves["to host"] += 1
        return self._data.copy()

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __bool__(self):
        return bool(self.get())

    def __len__(self):
        return len(self._data)

    def __getitem__(self, key):
        return _wrap(self._data[_unwrap(key)])

    def __setitem__(self, key, value):
        self._data[_unwrap(key)] = _unwrap(value)

    @property
    def T(self):
        return _wrap(self._data.T)

    def __neg__(self):
        return _wrap(-self._data)

    def __abs__(self):
        return _wrap(np.abs(self._data))

    def __repr__(self):
        return f"standin.{self._data!r}"


def asarray(x, dtype=None):
    """``x`` on this side of the wall: a NumPy array is copied over, and the move is counted."""
    if isinstance(x, ndarray):
        return _wrap(x._data if dtype is None else x._data.astype(dtype, copy=False))
    moves["to device"] += 1
    return _wrap(np.array(x, dtype))


def array(x, dtype=None):
    """A copy of ``x`` on this side of the wall."""
    return asarray(x, dtype).copy()


def _unwrap(x):
    """What NumPy is to compute with; refuses a NumPy array, which is in the other memory."""
    if isinstance(x, ndarray):
        return x._data
    if isinstance(x, np.ndarray):
        raise TypeError("a NumPy array and a stand-in array do not mix; move one with asarray")
    if isinstance(x, tuple | list):
        return type(x)(_unwrap(part) for part in x)
    return x


def _wrap(x):
    """A result of NumPy as a stand-in array; scalars become arrays without axes, as in CuPy."""
    return ndarray(np.asarray(x)) if isinstance(x, np.ndarray | np.generic) else x


def _function(name, method=False, home=np):
    def function(*args, **kwargs):
        args, kwargs = _unwrap(args), {key: _unwrap(value) for key, value in kwargs.items()}
        call = getattr(args[0] if method else home, name)
        return _wrap(call(*(args[1:] if method else args), **kwargs))

    return function


def _binary(call):
    return lambda a, b: _wrap(call(_unwrap(a), _unwrap(b)))


def _in_place(call):
    def method(self, other):
        self._data = call(self._data, _unwrap(other))
        return self

    return method


def _reflected(call):
    return lambda a, b: _wrap(call(_unwrap(b), _unwrap(a)))


_strided = _function("as_strided", home=np.lib.stride_tricks)
lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_strided))

for _name in FUNCTIONS:
    globals()[_name] = _function(_name)
for _name in METHODS:
    setattr(ndarray, _name, _function(_name, method=True))
for _name in ATTRIBUTES:
    setattr(ndarray, _name, property(operator.attrgetter(f"_data.{_name}")))
for _name in OPERATORS:
    setattr(ndarray, f"__{_name}__", _binary(getattr(operator, f"__{_name}__")))
    setattr(ndarray, f"__r{_name}__", _reflected(getattr(operator, f"__{_name}__")))
    if _name != "matmul":  # CuPy has no @=
        setattr(ndarray, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(ndarray, f"__{_name}__", _binary(getattr(operator, _name)))
