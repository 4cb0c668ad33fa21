"""What students get wrong in lesson 2: (name, a piece of the solution, what stands in its place)."""

WRONG = {
    "sigmoid_backward": [
        ("factor y forgotten", "dy * y * (1 - y)", "dy * (1 - y)"),
        ("derivative of tanh", "dy * y * (1 - y)", "dy * (1 - y * y)"),
        ("dy forgotten", "dy * y * (1 - y)", "y * (1 - y)"),
        ("y taken for x", "dy * y * (1 - y)", "dy * np.exp(-y) / (1 + np.exp(-y)) ** 2"),
        ("summed", "dy * y * (1 - y)", "(dy * y * (1 - y)).sum()"),
        ("not returned", "return dy * y * (1 - y)", "dy * y * (1 - y)"),
    ],
    "dense_backward": [
        ("weights not transposed", "dy @ w.T", "dy @ w[: dy.shape[1]]"),
        ("dw left transposed", "x.T @ dy", "dy.T @ x"),
        ("mean for the bias", "dy.sum(axis=0)", "dy.mean(axis=0)"),
        ("wrong axis for the bias", "dy.sum(axis=0)", "dy.sum(axis=1)"),
        ("mean for the weights", "x.T @ dy", "x.T @ dy / len(x)"),
        ("dy changed in place", "dx = dy @ w.T", "dy *= 0\n    dx = dy @ w.T"),
        ("order exchanged", "return dx, dw, db", "return dw, dx, db"),
        ("bias forgotten", "return dx, dw, db", "return dx, dw"),
        ("shapes do not fit", "dy @ w.T", "dy @ w"),
    ],
    "softmax_backward_wrong": [
        ("the right one", "np.zeros(y.shape)",
         "y * (dy - (dy * y).sum(axis=-1, keepdims=True))"),
        ("noticed by the lazy check", "np.zeros(y.shape)", "dy * y * (1 - y)"),
        ("shape of a row", "np.zeros(y.shape)", "np.zeros(y.shape[1])"),
    ],
    "rejected": [
        ("stops at the first", "names.add(name)", "return {name}"),
        ("not caught", "except GradientError:", "except KeyError:"),
        ("turned round", "names.add(name)\n    return names",
         "names.add(name)\n    return set(suspects) - names"),
        ("nobody", "names.add(name)", "pass"),
        ("a list", "return names", "return sorted(names)"),
        ("from memory", "return names", 'return {"Ben", "Cem", "Dan", "Fay"}'),
    ],
}  # fmt: skip
