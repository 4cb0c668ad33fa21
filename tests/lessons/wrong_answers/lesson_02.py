"""What students hand in for lesson 2: (name, a piece of the solution, what stands in its place)."""

SIGMOID = "return dy * y * (1 - y)"
DENSE = "dx = dy @ w.T\n    dw = x.T @ dy\n    db = dy.sum(axis=0)\n    return dx, dw, db"
RETURN = "return dx, dw, db\n    # END"
SOFTMAX = "return np.zeros(y.shape)"
TRY = """        try:
            check_gradients(forward, backward, inputs, rng=rng)
        except GradientError:
            names.add(name)"""

WRONG = {
    "sigmoid_backward": [
        ("factor y forgotten", "dy * y * (1 - y)", "dy * (1 - y)"),
        ("derivative of tanh", "dy * y * (1 - y)", "dy * (1 - y * y)"),
        ("dy forgotten", "dy * y * (1 - y)", "y * (1 - y)"),
        ("y taken for x", "dy * y * (1 - y)", "dy * np.exp(-y) / (1 + np.exp(-y)) ** 2"),
        ("summed", "dy * y * (1 - y)", "(dy * y * (1 - y)).sum()"),
        ("not returned", "return dy * y * (1 - y)", "dy * y * (1 - y)"),
        ("cache changed in place", SIGMOID, "y *= 1 - y\n    return dy * y"),
        ("dy changed in place", SIGMOID, "dy *= y * (1 - y)\n    return dy"),
        ("cache used for the answer", SIGMOID, "return np.multiply(dy, y * (1 - y), out=y)"),
        ("float16", SIGMOID, "return (dy * y * (1 - y)).astype(np.float16)"),
        ("float32", SIGMOID, "return (dy * y * (1 - y)).astype(np.float32)"),
        ("a tuple of one", SIGMOID, "return (dy * y * (1 - y),)"),
        ("a matrix product", SIGMOID, "return dy.T @ (y * (1 - y))"),
        ("lists", SIGMOID, "return (dy * y * (1 - y)).tolist()"),
        ("divided by dy", SIGMOID, "return y * (1 - y) / dy"),
    ],
    "dense_backward": [
        ("weights not transposed", "dy @ w.T", "dy @ w[: dy.shape[1]]"),
        ("dw left transposed", "x.T @ dy", "dy.T @ x"),
        ("mean for the bias", "dy.sum(axis=0)", "dy.mean(axis=0)"),
        ("wrong axis for the bias", "dy.sum(axis=0)", "dy.sum(axis=1)"),
        ("bias of the whole batch", "dy.sum(axis=0)", "dy.sum()"),
        ("bias with an axis too many", "dy.sum(axis=0)", "dy.sum(axis=0, keepdims=True)"),
        ("mean for the weights", "x.T @ dy", "x.T @ dy / len(x)"),
        ("dy changed in place", "dx = dy @ w.T", "dy *= 0\n    dx = dy @ w.T"),
        ("x changed in place", "dw = x.T @ dy", "x -= x.mean()\n    dw = x.T @ dy"),
        ("w moved at once", RETURN, "w -= 0.1 * dw\n    return dx, dw, db\n    # END"),
        ("order exchanged", "return dx, dw, db", "return dw, dx, db"),
        ("bias forgotten", "return dx, dw, db", "return dx, dw"),
        ("a dictionary", RETURN, 'return {"dx": dx, "dw": dw, "db": db}\n    # END'),
        ("not returned", RETURN, "dx, dw, db\n    # END"),
        ("shapes do not fit", "dy @ w.T", "dy @ w"),
        ("dw in float16", RETURN, "return dx, dw.astype(np.float16), db\n    # END"),
        ("db in float32", "dy.sum(axis=0)", "dy.sum(axis=0, dtype=np.float32)"),
    ],
    "softmax_backward_wrong": [
        ("the right one", "np.zeros(y.shape)",
         "y * (dy - (dy * y).sum(axis=-1, keepdims=True))"),
        ("noticed by the lazy check", "np.zeros(y.shape)", "dy * y * (1 - y)"),
        ("shape of a row", "np.zeros(y.shape)", "np.zeros(y.shape[1])"),
        ("not a number", SOFTMAX, "return 0 * y / 0"),
        ("dy changed in place", SOFTMAX, "dy -= dy.mean()\n    return dy"),
        ("a number", SOFTMAX, "return 0.0"),
        ("zeros of float32", SOFTMAX, "return np.zeros(y.shape, np.float32)"),
    ],
    "rejected": [
        ("stops at the first", "names.add(name)", "return {name}"),
        ("caught as another exception", "except GradientError:", "except KeyError:"),
        ("without try", TRY, "        if check_gradients(forward, backward, inputs, rng=rng):\n"
         "            names.add(name)"),
        ("try around the loop", TRY, "        check_gradients(forward, backward, inputs, rng=rng)"),
        ("turned round", "names.add(name)\n    return names",
         "names.add(name)\n    return set(suspects) - names"),
        ("nobody", "names.add(name)", "pass"),
        ("a list", "return names", "return sorted(names)"),
        ("from memory", "return names", 'return {"Ben", "Cem", "Dan", "Fay"}'),
        ("names seen in the notebook", "return names",
         'return names if "Ada" in suspects else set()'),
    ],
}  # fmt: skip

MESSAGES = {
    "sigmoid_backward": {
        "dy forgotten": "with dy = 2 this makes dx = 1/2, and yours is 0.25",
        "cache changed in place": r"changed cache\[0\] in place",
        "dy changed in place": "changed dy in place",
        "cache used for the answer": r"changed cache\[0\] in place",
        "float16": "dx is float16, but dy is float64",
        "a tuple of one": "dx itself, not a tuple",
    },
    "dense_backward": {
        "dy changed in place": "changed dy in place",
        "w moved at once": r"changed cache\[1\] in place",
        "bias forgotten": "3 gradients, dx, dw, db, in this order; got 2",
        "a dictionary": "got dict",
        "not returned": "None",
        "dw in float16": "dw is float16",
    },
    "softmax_backward_wrong": {"dy changed in place": "changed dy in place"},
    "rejected": {
        "without try": "try and except",
        "caught as another exception": "try and except",
        "from memory": "single suspect",
    },
}

RIGHT = {
    "sigmoid_backward": [
        ("power", SIGMOID, "return dy * (y - y**2)"),
        ("a copy changed in place", SIGMOID, "dx = dy.copy()\n    dx *= y\n    dx *= 1 - y\n    return dx"),
        ("functions of NumPy", SIGMOID, "return np.multiply(dy, np.multiply(y, np.subtract(1, y)))"),
        ("a loop over the entries", SIGMOID,
         "dx = np.empty_like(y)\n    for i in np.ndindex(y.shape):\n"
         "        dx[i] = dy[i] * y[i] * (1 - y[i])\n    return dx"),
        ("through x", SIGMOID, "x = np.log(y / (1 - y))\n    return dy * np.exp(-x) / (1 + np.exp(-x)) ** 2"),
        ("cache by index", SIGMOID, "return dy * cache[0] * (1 - cache[0])"),
        ("vectorised function", SIGMOID, "return np.vectorize(lambda d, v: d * v * (1 - v))(dy, y)"),
    ],
    "dense_backward": [
        ("a list", RETURN, "return [dx, dw, db]\n    # END"),
        ("einsum", DENSE, 'return (\n        np.einsum("no,co->nc", dy, w),\n'
         '        np.einsum("nc,no->co", x, dy),\n        np.einsum("no->o", dy),\n    )'),
        ("loops", DENSE, """N, C, O = *x.shape, dy.shape[1]
    dx, dw, db = np.zeros((N, C)), np.zeros((C, O)), np.zeros(O)
    for n in range(N):
        for o in range(O):
            db[o] += dy[n, o]
            for c in range(C):
                dx[n, c] += dy[n, o] * w[c, o]
                dw[c, o] += dy[n, o] * x[n, c]
    return dx, dw, db"""),
        ("dot and transpose", DENSE, "dx = np.dot(w, dy.T).T\n    dw = np.dot(dy.T, x).T\n"
         "    return dx, dw, np.ones(len(dy)) @ dy"),
        ("views that are not contiguous", "dw = x.T @ dy", "dw = (dy.T @ x).T"),
        ("outer products added", "dw = x.T @ dy",
         "dw = sum(np.outer(a, d) for a, d in zip(x, dy, strict=True))"),
        ("tensordot", "dw = x.T @ dy", "dw = np.tensordot(x, dy, axes=(0, 0))"),
    ],
    "softmax_backward_wrong": [
        ("dy without its mean", SOFTMAX, "return y * (dy - dy.mean(axis=-1, keepdims=True))"),
        ("off by one", SOFTMAX, "return y * (dy - 1)"),
        ("nothing of dy", SOFTMAX, "return 0 * dy"),
        ("twice the right one", SOFTMAX, "return 2 * y * (dy - (dy * y).sum(axis=-1, keepdims=True))"),
    ],
    "rejected": [
        ("a frozen set", "return names", "return frozenset(names)"),
        ("its parent exception", "except GradientError:", "except AssertionError:"),
        ("removed from all", TRY, """        names.add(name)
        try:
            check_gradients(forward, backward, inputs, rng=rng)
            names.remove(name)
        except GradientError:
            pass"""),
        ("by items", TRY, """        right = True
        try:
            errors = check_gradients(forward, backward, dict(inputs), rng=rng)
        except GradientError as error:
            right = False
        if not right:
            names = names | {name}"""),
    ],
}  # fmt: skip
