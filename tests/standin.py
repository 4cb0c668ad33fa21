"""A second array library for the tests: NumPy behind a wall, so that ops are held to one side of it.

It plays CuPy where there is no GPU, and is stricter. An array never turns into a NumPy array by
itself, no function of NumPy takes it, and it does not compute with a NumPy array; NumPy and Python
scalars are welcome. The module has only functions that CuPy has too, under the same names. Moves
between the two memories are counted in ``moves``, computations in ``launches``. A function given to
:func:`fuse` may do what CuPy's fusion can, and no more. What is computed while a :class:`Stream`
captures is noted down and undone, as on a GPU, where it has not happened yet.
"""

import operator
from collections import Counter
from contextlib import nullcontext
from functools import wraps
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

NO_LAUNCH = "empty empty_like broadcast_to as_strided reshape transpose swapaxes ravel".split()
ELEMENTWISE = (
    "add subtract multiply divide maximum minimum exp log log1p sqrt tanh abs sign where isfinite"
).split()

moves = Counter()
"""How often an array, or a value of one, went "to host" and "to device"."""

launches = Counter()
"""How often each function, operator or fused function computed: about the kernels a GPU would run."""

arguments = {}
"""The last arguments of every fused function, as they came, arrays as NumPy's."""


tape = None
"""While a stream captures: every call, with its arguments and its result."""


def taped(function):
    """A ``function`` that a stream can capture."""

    @wraps(function)
    def call(*args, **kwargs):
        if tape is None:
            return function(*args, **kwargs)
        given = [a._data for a in (*args, *kwargs.values()) if isinstance(a, ndarray)]
        before = [data.copy() for data in given]
        result = function(*args, **kwargs)
        views = [any(np.shares_memory(a, data) for data in given) for a in _arrays_of(result)]
        for made, is_view in zip(_arrays_of(result), views, strict=True):
            if not is_view:
                made[...] = 77  # what lies in memory before anything was computed
        for data, old in zip(given, before, strict=True):
            if data.flags.writeable:
                data[...] = old
        tape.append((function, args, kwargs, _arrays_of(result) if not any(views) else []))
        return result

    return call


def _arrays_of(result):
    parts = result if isinstance(result, tuple) else (result,)
    return [part._data for part in parts if isinstance(part, ndarray)]


def on_host(what):
    """Raise an error as CuPy does where a captured stream would have to wait for the host."""
    if tape is not None:
        raise RuntimeError(f"{what} in a stream that captures")


class Graph:
    """What a stream captured."""

    launched = 0

    def __init__(self, calls):
        self.calls = calls

    def launch(self):
        """Do it all again, into the same arrays."""
        Graph.launched += 1
        for function, args, kwargs, made in self.calls:
            result = _arrays_of(function(*args, **kwargs))
            for array, new in zip(made, result if made else [], strict=True):
                array[...] = new


class Stream:
    """CuPy's, as far as :mod:`ums.ops.fast.graphs` uses it."""

    ptr = 1

    def __init__(self, non_blocking):
        assert non_blocking, "the null stream cannot be captured beside others"

    __enter__ = __exit__ = lambda *_: None

    def begin_capture(self):
        global tape
        assert tape is None
        tape = []

    def end_capture(self):
        global tape
        calls, tape = tape, None
        return Graph(calls)


cuda = SimpleNamespace(
    MemoryPool=lambda: SimpleNamespace(malloc=None),
    Stream=Stream,
    runtime=SimpleNamespace(getDevice=lambda: 0),
    using_allocator=lambda malloc: nullcontext(),
)


def get_default_memory_pool():
    """A pool that has nothing to give back."""
    return SimpleNamespace(free_all_blocks=lambda: None)


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
        on_host("an array was read")
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

    @taped
    def __getitem__(self, key):
        return _wrap(self._data[_unwrap(key)])

    @taped
    def __setitem__(self, key, value):
        launches["setitem"] += 1
        self._data[_unwrap(key)] = _unwrap(value)

    @property
    def T(self):
        return _wrap(self._data.T)

    @property
    def data(self):
        return SimpleNamespace(ptr=self._data.ctypes.data)

    @taped
    def __neg__(self):
        return _wrap(-self._data)

    @taped
    def __abs__(self):
        return _wrap(np.abs(self._data))

    def __repr__(self):
        return f"standin.{self._data!r}"


def asarray(x, dtype=None):
    """``x`` on this side of the wall: a NumPy array is copied over, and the move is counted."""
    if isinstance(x, ndarray):
        return _wrap(x._data if dtype is None else x._data.astype(dtype, copy=False))
    on_host("an array was put")
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
        if any(isinstance(arg, _Traced) for arg in args):
            return _traced_function(name, args, kwargs)
        launches[name] += name not in NO_LAUNCH
        args, kwargs = _unwrap(args), {key: _unwrap(value) for key, value in kwargs.items()}
        call = getattr(args[0] if method else home, name)
        return _wrap(call(*(args[1:] if method else args), **kwargs))

    return taped(function)


def _binary(call, reflected=False):
    def method(a, b):
        launches[call.__name__] += 1
        a, b = _unwrap(a), _unwrap(b)
        return _wrap(call(b, a) if reflected else call(a, b))

    return taped(method)


def _in_place(call):
    def method(self, other):
        launches[call.__name__] += 1
        self._data = call(self._data, _unwrap(other))
        return self

    return taped(method)


# ------------------------------------------------------------------------------ fusion


def fuse(kernel_name):
    """CuPy's: make one kernel of a function. Runs it on placeholders that can do no more than CuPy's.

    Raises:
        TypeError, AttributeError: it does something that CuPy cannot fuse, or not as NumPy would.
        ValueError: an array it returns or changes is smaller than all its arguments together, or
            lies over another one.
    """

    def decorate(function):
        def kernel(*args):
            launches[kernel_name] += 1
            arguments[kernel_name] = [a._data.copy() if isinstance(a, ndarray) else a for a in args]
            arrays = [a._data for a in args if isinstance(a, ndarray)]
            traced = [_placeholder(a, arrays) for a in args]
            result = function(*traced)
            shape = np.broadcast_shapes(*(a.shape for a in arrays))
            for changed in (a for a in traced if isinstance(a, _Traced) and a.changed):
                _check_changed(changed._data, arrays, shape)
            if isinstance(result, _Sum) or result is None:
                return result and _wrap(result.value)
            results = result if isinstance(result, tuple) else (result,)
            if any(r._data.shape != shape for r in results):
                raise ValueError(f"{kernel_name} must return arrays {shape}, as its arguments are")
            results = tuple(_wrap(r._data) for r in results)
            return results if isinstance(result, tuple) else results[0]

        return taped(kernel)

    return decorate


def _placeholder(x, arrays):
    if isinstance(x, ndarray):
        return _Traced(x._data, {a.dtype for a in arrays if a.dtype.kind == "f"})
    if type(x) not in (int, float, type(None)):
        raise TypeError(f"a fused function takes arrays and Python's numbers, got {type(x)}")
    return None if x is None else _Number(x)


def _check_changed(x, arrays, shape):
    if x.shape != shape:
        raise ValueError(f"a fused function changed an array {x.shape} smaller than {shape}")
    for other in arrays:
        same = other.ctypes.data == x.ctypes.data and other.strides == x.strides
        if not same and np.shares_memory(x, other):
            raise ValueError("a fused function changed an array that lies over another one")


class _Number:
    """A number given to a fused function. It meets arrays only: of two numbers CuPy makes float16."""

    __hash__ = __eq__ = None

    def __init__(self, value):
        self.value = value

    def __bool__(self):
        raise TypeError("a fused function cannot branch")


class _Sum:
    """The sum at the end of a fused function: nothing is done with it any more."""

    def __init__(self, value):
        self.value = value


class _Traced:
    """An array in a fused function: operators alone, and the functions in ``ELEMENTWISE``."""

    __hash__ = None
    __array_ufunc__ = None

    def __init__(self, data, floats):
        self._data, self.floats, self.changed = data, floats, False
        if data.dtype.kind == "f" and data.dtype not in floats:
            raise TypeError(f"a fused function made {data.dtype} of {floats}")

    def __setitem__(self, key, value):
        if key is not Ellipsis:
            raise TypeError("a fused function has no indices but [...]")
        self._data[...] = _operand(value)
        self.changed = True

    def __neg__(self):
        return _Traced(-self._data, self.floats)

    def __iter__(self):
        raise TypeError("a fused function has no indices")

    def __bool__(self):
        raise TypeError("a fused function cannot branch")


def _operand(x):
    """What an operation in a fused function is done with."""
    if isinstance(x, _Traced):
        return x._data
    if isinstance(x, _Number):
        return x.value
    if type(x) in (int, float):
        return x
    raise TypeError(f"a fused function computes with its arguments, not with {type(x).__name__}")


def _traced_function(name, args, kwargs):
    floats = next(arg.floats for arg in args if isinstance(arg, _Traced))
    if name == "sum" and len(args) == 1 and set(kwargs) == {"axis"}:
        return _Sum(np.sum(args[0]._data, **kwargs))
    if name not in ELEMENTWISE or kwargs:
        raise TypeError(f"a fused function cannot call {name} with {[*kwargs]}")
    return _Traced(np.asarray(getattr(np, name)(*map(_operand, args))), floats)


def _traced_operator(call, reflected=False):
    def method(a, b):
        x, y = _operand(a), _operand(b)
        return _Traced(np.asarray(call(y, x) if reflected else call(x, y)), a.floats)

    return method


def _traced_in_place(call):
    def method(self, other):
        call(self._data, _operand(other))
        self.changed = True
        return self

    return method


for _name in "add sub mul truediv".split():
    _call = getattr(operator, f"__{_name}__")
    setattr(_Traced, f"__{_name}__", _traced_operator(_call))
    setattr(_Traced, f"__r{_name}__", _traced_operator(_call, reflected=True))
    setattr(_Traced, f"__i{_name}__", _traced_in_place(getattr(operator, f"__i{_name}__")))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(_Traced, f"__{_name}__", _traced_operator(getattr(operator, _name)))


# ------------------------------------------------------------------------------ the module

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
    setattr(ndarray, f"__r{_name}__", _binary(getattr(operator, f"__{_name}__"), reflected=True))
    if _name != "matmul":  # CuPy has no @=
        setattr(ndarray, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(ndarray, f"__{_name}__", _binary(getattr(operator, _name)))
