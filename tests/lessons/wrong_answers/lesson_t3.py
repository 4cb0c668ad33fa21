"""What students hand in for task 3: (name, a piece of the solution, what stands in its place)."""

ODD = "if H % 2 or W % 2:"
SQUARES = "x.reshape(N, H // 2, 2, W // 2, 2, C).transpose(0, 1, 3, 2, 4, 5)"
FIRST = "first = squares.argmax(axis=3)  # (N, H/2, W/2, C), each 0 to 3"
POOLED = "return squares.max(axis=3), (first, x.shape)"
LARGEST = "(largest * dy[:, :, :, None, :])"
BACK = "return squares.transpose(0, 1, 3, 2, 4, 5).reshape(N, H, W, C)"
JOINED = "x = np.concatenate([x, a], axis=3)"
KEPT = "self.pooling = cache if keep else None"
SPLIT = "du, da = dy[..., : self.split], dy[..., self.split :]"
MEET = "da = da + max_pool_backward(du, self.pooling)"
END = "return convolution.backward(relu.backward(da), input_gradient)"
PARAMETERS = "return [parameter for layer in self.layers for parameter in layer.parameters()]"
LAYERS = "self.layers = self.top + self.bottom + self.end"
ZERO = "for layer in self.layers:\n            layer.zero_gradients()"
LAST = "self.end = [Conv2D(3 * F, F, rng), ReLU(), Conv2D(F, O, rng, kernel=1)]"
TOP = "self.top = [Conv2D(C, F, rng), ReLU()]"
FORWARD_TOP = "for layer in self.top:\n            x = layer.forward(x, training, keep)"

LOOPS = """    y = np.maximum(np.maximum(x[:, ::2, ::2], x[:, ::2, 1::2]),
                   np.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2]))
    return y, (x, y)


def max_pool_backward(dy, cache):
    x, y = cache
    dx, free = np.zeros(x.shape, dy.dtype), np.ones(y.shape, bool)
    for u in (0, 1):
        for v in (0, 1):
            here = free & (x[:, u::2, v::2] == y)
            dx[:, u::2, v::2] = np.where(here, dy, 0)
            free &= ~here
    return dx


def _unused(dy, cache):
"""
FORWARD_TAIL = """    squares = x.reshape(N, H // 2, 2, W // 2, 2, C).transpose(0, 1, 3, 2, 4, 5)
    squares = squares.reshape(N, H // 2, W // 2, 4, C)
    first = squares.argmax(axis=3)  # (N, H/2, W/2, C), each 0 to 3
    return squares.max(axis=3), (first, x.shape)


def max_pool_backward(dy, cache):
"""

WRONG = {
    "max_pool": [
        ("mean", POOLED, "return squares.mean(axis=3), (first, x.shape)"),
        ("gradient to all the largest", FORWARD_TAIL, LOOPS.replace("free & (", "(")),
        ("gradient to the last of them", FIRST,
         "first = 3 - squares[:, :, :, ::-1].argmax(axis=3)"),
        ("gradient to all four", LARGEST, "(np.ones_like(largest) * dy[:, :, :, None, :])"),
        ("a quarter to each", LARGEST, "(0.25 * (largest | True) * dy[:, :, :, None, :])"),
        ("float64", LARGEST, "(largest * dy[:, :, :, None, :].astype(float))"),
        ("odd sides cut off", ODD, "x = x[:, : H // 2 * 2, : W // 2 * 2]; H, W = x.shape[1:3]\n"
         "    if False:"),
        ("odd sides end in an error of NumPy's", "raise ValueError(f\"the sides of x must be even",
         "raise IndexError(f\"the sides of x must be even"),
        ("axes not brought together", SQUARES, "x.reshape(N, H // 2, 2, W // 2, 2, C)"),
        ("not brought back", BACK, "return squares.reshape(N, H, W, C)"),
        ("one largest for all channels", FIRST,
         "first = squares.max(axis=4, keepdims=True).argmax(axis=3) + np.zeros((C,), int)"),
        ("x changed", POOLED, "y = squares.max(axis=3); x[...] = 0; return y, (first, x.shape)"),
        ("dy changed", LARGEST, "(largest * np.negative(dy, out=dy)[:, :, :, None, :] * -1)"),
        ("cache spoilt", BACK,
         "first[...] = 0\n    return squares.transpose(0, 1, 3, 2, 4, 5).reshape(N, H, W, C)"),
        ("y alone", POOLED, "return squares.max(axis=3)"),
        ("dx as a list", BACK, "return [squares.transpose(0, 1, 3, 2, 4, 5).reshape(N, H, W, C)]"),
    ],
    "forward": [
        ("joined in the other order", JOINED, "x = np.concatenate([a, x], axis=3)"),
        ("skip carries nothing", JOINED, "x = np.concatenate([x, 0 * a], axis=3)"),
        ("skip before the ReLU", "a = x\n", "a = self.top[0].forward(x, training, keep); x = a\n"),
        ("no ReLU near the end", "Conv2D(3 * F, F, rng), ReLU(), ", "Conv2D(3 * F, F, rng), "),
        ("a ReLU at the end", "Conv2D(F, O, rng, kernel=1)]", "Conv2D(F, O, rng, kernel=1), ReLU()]"),
        ("no ReLU at the top", TOP, "self.top = [Conv2D(C, F, rng)]"),
        ("last kernel 3 x 3", "Conv2D(F, O, rng, kernel=1)", "Conv2D(F, O, rng)"),
        ("dilated", "Conv2D(2 * F, 2 * F, rng)", "Conv2D(2 * F, 2 * F, rng, dilation=2)"),
        ("added in place of joined", JOINED, "x = x + np.concatenate([a, a], axis=3)"),
        ("parameters of the last part missing", PARAMETERS,
         "return [p for layer in self.top + self.bottom for p in layer.parameters()]"),
        ("parameters in the other order", LAYERS, "self.layers = self.end + self.bottom + self.top"),
        ("values in place of parameters", PARAMETERS,
         "return [p.value for layer in self.layers for p in layer.parameters()]"),
        ("chance of its own", TOP, "rng = np.random.default_rng()\n        " + TOP),
        ("a seed of its own", TOP, "rng = np.random.default_rng(0)\n        " + TOP),
        ("width fixed", "F = width\n", "F = 8\n"),
        ("another default width", "O=1, width=8", "O=1, width=4"),
        ("x changed", FORWARD_TOP, "x -= 0.5\n        " + FORWARD_TOP),
        ("not returned", "x = layer.forward(x, training, keep)\n        return x",
         "x = layer.forward(x, training, keep)"),
        ("float64", JOINED, "x = np.concatenate([x, a], axis=3).astype(np.float64)"),
        ("layers shared by all networks", TOP,
         "self.top = UNet.__dict__.get('kept') or [Conv2D(C, F, rng), ReLU()]\n"
         "        UNet.kept = self.top"),
    ],
    "backward": [
        ("the skip's part forgotten", MEET, "da = max_pool_backward(du, self.pooling)"),
        ("way from below forgotten", MEET, "max_pool_backward(du, self.pooling)  # not added"),
        ("halves exchanged", SPLIT, "da, du = dy[..., : self.split // 2], dy[..., self.split // 2 :]"),
        ("mean of the two", MEET, "da = (da + max_pool_backward(du, self.pooling)) / 2"),
        ("skip joins below the ReLU", MEET + "\n        convolution, relu = self.top\n        " + END,
         "convolution, relu = self.top\n"
         "        da = da + relu.backward(max_pool_backward(du, self.pooling))\n"
         "        return convolution.backward(da, input_gradient)"),
        ("dx not returned", END, "convolution.backward(relu.backward(da), input_gradient)"),
        ("first convolution left out", END, "return relu.backward(da)[..., :1]"),
        ("last ReLU left out", "for layer in reversed(self.end):\n            dy",
         "for layer in self.end[2], self.end[0]:\n            dy"),
        ("forgets what was there", "for layer in reversed(self.end):",
         "self.zero_gradients()\n        for layer in reversed(self.end):"),
        ("input_gradient ignored", END, "return convolution.backward(relu.backward(da))"),
        ("keep ignored", FORWARD_TOP, "keep = True\n        " + FORWARD_TOP),
        ("cache of the first pass kept", KEPT, "self.pooling = self.pooling or cache"),
        ("dy changed", "for layer in reversed(self.end):", "dy *= 2; dy = dy / 2\n"
         "        for layer in reversed(self.end):"),
        ("fixed to one size", SPLIT, "du, da = dy[..., :16], dy[..., 16:]"),
        ("gradients of float32", "return convolution.backward(relu.backward(da), input_gradient)",
         "dx = convolution.backward(relu.backward(da), input_gradient)\n"
         "        return None if dx is None else dx.astype(np.float32)"),
        ("dx as a tuple", END, "return (convolution.backward(relu.backward(da), input_gradient),)"),
    ],
    "training": [
        ("nothing forgotten", ZERO, "pass"),
        ("first layers alone forget", ZERO, "for layer in self.top:\n            layer.zero_gradients()"),
        ("skip carries nothing", JOINED, "x = np.concatenate([x, 0 * a], axis=3)"),
        ("not in place", "for layer in reversed(self.end):\n            dy = layer.backward(dy)",
         "for layer in reversed(self.end):\n            dy = layer.backward(0 * dy)"),
        ("no way to forget", "def zero_gradients(self):", "def forget(self):"),
        ("gradients set by force", ZERO,
         "for parameter in self.parameters():\n            parameter.grad = np.ones_like(parameter.value)"),
        ("parameters copied", PARAMETERS,
         "from copy import deepcopy\n        return [deepcopy(p) for layer in self.layers "
         "for p in layer.parameters()]"),
    ],
}  # fmt: skip

MESSAGES = {
    "max_pool": {
        "gradient to all the largest": "the first in reading order gets all",
        "odd sides cut off": "should raise ValueError; it returned",
    },
    "forward": {
        "joined in the other order": "the channels of a come before",
        "last kernel 3 x 3": "parameter 8 of 10",
    },
    "backward": {
        "the skip's part forgotten": "where do two meet",
        "forgets what was there": "should add up",
    },
    "training": {
        "no way to forget": r"no method zero_gradients\(\)",
    },
}

RIGHT = {
    "max_pool": [
        ("slices in place of reshape", FORWARD_TAIL, LOOPS),
        ("a cache that is no tuple", "first, (N, H, W, C) = cache",
         "first, (N, H, W, C) = cache[0], cache[1]"),
        ("a dictionary for a cache", POOLED + "\n\n\ndef max_pool_backward(dy, cache):",
         "return squares.max(axis=3), {'first': first, 'shape': x.shape}\n\n\n"
         "def max_pool_backward(dy, cache):\n    cache = cache['first'], cache['shape']"),
        ("a list for the pair", POOLED, "return [squares.max(axis=3), (first, x.shape)]"),
        ("taken along the axis", POOLED,
         "return np.take_along_axis(squares, first[:, :, :, None], 3)[:, :, :, 0], (first, x.shape)"),
        ("odd sides refused by reshape", ODD, "if False:"),
        ("zeros filled in", LARGEST, "np.where(largest, dy[:, :, :, None, :], dy.dtype.type(0))"),
        ("asserted, then refused", ODD, "if H // 2 * 2 != H or W // 2 * 2 != W:"),
    ],
    "forward": [
        ("written into an array", JOINED,
         "j = np.zeros((*x.shape[:3], 3 * a.shape[3]), x.dtype)\n"
         "        j[..., : x.shape[3]], j[..., x.shape[3] :] = x, a\n        x = j"),
        ("pooled before the ReLU", "a = x\n", "a = x.copy()\n"),
        ("a tuple of parameters", PARAMETERS,
         "return tuple(p for layer in self.layers for p in layer.parameters())"),
        ("parameters named one by one", PARAMETERS,
         "c = [layer for layer in self.layers if isinstance(layer, Conv2D)]\n"
         "        return [c[0].w, c[0].b, c[1].w, c[1].b, c[2].w, c[2].b, c[3].w, c[3].b, c[4].w, c[4].b]"),
        ("upsampled by hand", "self.bottom.append(Upsample2D())", "self.bottom += [Upsample2D()]"),
        ("made in another order", TOP + "\n", "end = [Conv2D(3 * F, F, rng), ReLU()]\n        " + TOP + "\n"),
    ],
    "backward": [
        ("added in place, to an array of its own", MEET,
         "da = da.copy()\n        da += max_pool_backward(du, self.pooling)"),
        ("split by NumPy", SPLIT, "du, da = np.split(dy, [self.split], axis=3)"),
        ("the cache emptied", MEET, MEET + "\n        self.pooling = None"),
        ("returned as it comes", END, "dx = convolution.backward(relu.backward(da), True)\n"
         "        return dx if input_gradient else None"),
        ("skip first", MEET, "below = max_pool_backward(du, self.pooling)\n        da = below + da"),
    ],
    "training": [
        ("gradients of zero", ZERO, "for parameter in self.parameters():\n"
         "            parameter.grad = np.zeros_like(parameter.value)"),
        ("set to None by hand", ZERO, "for parameter in self.parameters():\n"
         "            parameter.grad = None"),
    ],
}  # fmt: skip
