"""What students hand in for task t1: (name, a piece of the solution, what stands in its place)."""

SWITCH = "by_batch = training and not self.frozen"
MEAN = "self.running_mean += (mean - self.running_mean) / self.batches"
VAR = "self.running_var += (var - self.running_var) / self.batches"
BATCH = "mean, var = x.mean(axes), x.var(axes)"
KEPT = "self.kept = (xhat, rstd, by_batch) if keep else None"
DX = "return scale * (dy - dy.mean(axes) - xhat * (dy * xhat).mean(axes))"
ADD = """        if not self.frozen:
            self.gamma.add((dy * xhat).sum(axes))
            self.beta.add(dy.sum(axes))
"""
RESET = """        self.running_mean[...] = 0
        self.running_var[...] = 1
        self.batches[...] = 0
"""
REFUSAL = 'raise RuntimeError("backward needs a forward pass that was kept, one for each call")'
START = "self.batches = np.zeros(1, np.float32)"
STATISTICS = """        return {
            "running_mean": self.running_mean,
            "running_var": self.running_var,
            "batches": self.batches,
        }
"""
ONE_VALUE = "if x.size == x.shape[-1]:"

WRONG = {
    "forward": [
        ("a momentum", MEAN, "self.running_mean += 0.1 * (mean - self.running_mean)"),
        ("the sum", VAR, "self.running_var += var"),
        ("the start counted as a batch", "self.batches += 1\n",
         "self.batches += 1\n        k = self.batches + 1\n"
         "        self.batches = self.batches.copy()\n        mean = mean * self.batches / k\n"),
        ("counted too late", f"self.batches += 1\n        {MEAN}",
         f"{MEAN.replace('self.batches', 'max(self.batches, 1)')}"
         "\n        self.batches += 1"),
        ("never counted", "        self.batches += 1\n", ""),
        ("weighed by the size of the batch", MEAN,
         "self.running_mean += (mean - self.running_mean) * (x.size / 60) / self.batches"),
        ("deviation for the variance", BATCH, "mean, var = x.mean(axes), x.std(axes)"),
        ("divided by one less", BATCH, "mean, var = x.mean(axes), x.var(axes, ddof=1)"),
        ("copies of the statistics", '"running_mean": self.running_mean',
         '"running_mean": self.running_mean.copy()'),
        ("count left out of the statistics", '            "batches": self.batches,\n', ""),
        ("other names", '"running_mean": self.running_mean', '"mean": self.running_mean'),
        ("parameters as bare arrays", "Parameter(np.zeros(C, np.float32))", "np.zeros(C, np.float32)"),
        ("reset makes new arrays", "self.running_mean[...] = 0",
         "self.running_mean = 0 * self.running_mean"),
        ("reset forgets the count", "        self.batches[...] = 0\n", ""),
        ("reset makes the variance 0", "self.running_var[...] = 1", "self.running_var[...] = 0"),
        ("reset of the parameters", "self.batches[...] = 0",
         "self.batches[...] = 0\n        self.gamma.value[...] = 1"),
        ("eps always the same", "np.sqrt(var + self.eps)", "np.sqrt(var + 1e-5)"),
        ("x changed in place", "xhat = (x - mean) * rstd", "x -= mean\n        xhat = x * rstd"),
        ("axes of images alone", "axes = tuple(range(x.ndim - 1))\n        if x.size",
         "axes = (0, 1, 2)\n        if x.size"),
        ("float64 statistics", START, "self.batches = np.zeros(1)"),
        ("channels not compared", "if x.shape[-1] != C:", "if x.ndim < 2:"),
        ("batch of one accepted", ONE_VALUE, "if x.size == 0:"),
        ("batch of one refused at inference", SWITCH,
         SWITCH + "\n        if len(x) < 2: raise ValueError('one film')"),
        ("single film refused in training", ONE_VALUE, "if len(x) == 1:"),
        ("count as a number", START, "self.batches = 0"),
        ("batch of one counted, then refused", "        if x.size == x.shape[-1]:",
         "        self.batches += 1\n"
         "        self.batches -= x.size > x.shape[-1]\n        if x.size == x.shape[-1]:"),
        ("by inference's statistics in training", BATCH,
         BATCH + "\n        mean, var = mean + 0, self.running_var + 0"),
    ],
    "backward": [
        ("dgamma without xhat", "self.gamma.add((dy * xhat).sum(axes))", "self.gamma.add(dy.sum(axes))"),
        ("mean for dbeta", "self.beta.add(dy.sum(axes))", "self.beta.add(dy.mean(axes))"),
        ("gradients replaced", "self.gamma.add((dy * xhat).sum(axes))",
         "self.gamma.grad = (dy * xhat).sum(axes)"),
        ("always as at inference", DX, "return scale * dy"),
        ("always as in training", "        if by_batch:\n            return",
         "        if True:\n            return"),
        ("variance forgotten", DX, "return scale * (dy - dy.mean(axes))"),
        ("gamma forgotten", "scale = self.gamma.value * rstd", "scale = rstd"),
        ("dx not returned", DX, "dx = " + DX.removeprefix("return ")),
        ("dx although nobody asks", "            return None\n", "            pass\n"),
        ("nothing at all without dx", ADD, "        if not self.frozen and input_gradient:\n"
         "            self.gamma.add((dy * xhat).sum(axes))\n            self.beta.add(dy.sum(axes))\n"),
        ("called twice", "        xhat, rstd, by_batch = self.kept\n        self.kept = None\n",
         "        xhat, rstd, by_batch = self.kept\n"),
        ("kept in any case", KEPT, "self.kept = (xhat, rstd, by_batch)"),
        ("old one kept", KEPT, "if keep:\n            self.kept = (xhat, rstd, by_batch)"),
        ("no error of its own", "if self.kept is None:", "if False:"),
        ("another exception", REFUSAL, 'raise ValueError("no forward pass")'),
        ("dy changed in place", ADD, ADD + "        dy -= 0.1\n"),
        ("frozen takes gradients", "if not self.frozen:", "if True:"),
    ],
    "switches": [
        ("frozen ignored", SWITCH, "by_batch = training"),
        ("training ignored", SWITCH, "by_batch = not self.frozen"),
        ("either will do", SWITCH, "by_batch = training or self.frozen"),
        ("frozen turned round", SWITCH, "by_batch = training and self.frozen"),
        ("frozen still counts", "            mean, var = self.running_mean, self.running_var\n",
         "            mean, var = self.running_mean, self.running_var\n            self.batches += "
         "training\n"),
        ("frozen uses the batch, and does not count",
         "            mean, var = self.running_mean, self.running_var\n",
         "            mean, var = self.running_mean, self.running_var\n            if training:\n"
         "                mean, var = x.mean(0), x.var(0)\n"),
        ("frozen takes gradients", "if not self.frozen:", "if True:"),
        ("nothing learns at inference", "if not self.frozen:", "if by_batch:"),
        ("switch read on the way back", "        if by_batch:\n            return",
         "        if by_batch and not self.frozen:\n            return"),
        ("who was frozen stays so", "        super().__init__()\n", "        super().__init__()\n"
         "        self.freeze = lambda frozen=True: setattr(self, 'frozen', True) or self\n"),
        ("freezes and returns nothing", "        super().__init__()\n", "        super().__init__()\n"
         "        self.freeze = lambda frozen=True: setattr(self, 'frozen', frozen)\n"),
    ],
    "in_a_network": [
        ("an array for all layers", START,
         START + "\n        self.running_mean = AveragingBatchNorm.__dict__.get('shared')\n"
         "        if self.running_mean is None:\n            self.running_mean = np.zeros(C, "
         "np.float32)\n"
         "            AveragingBatchNorm.shared = self.running_mean"),
        ("variance left out of the statistics", '            "running_var": self.running_var,\n', ""),
        ("no statistics at all", STATISTICS, "        return {}\n"),
        ("type fixed", "return self.gamma.value * xhat + self.beta.value",
         "return (self.gamma.value * xhat + self.beta.value).astype(np.float32)"),
        ("arrays looked up once", STATISTICS, """        if not hasattr(self, "arrays"):
            self.arrays = {"running_mean": self.running_mean, "running_var": self.running_var}
            self.arrays["batches"] = self.batches
        return self.arrays
"""),
        ("gamma moved by a step of its own", "            self.beta.add(dy.sum(axes))\n",
         "            self.beta.add(dy.sum(axes))\n            self.gamma.value -= 0.01\n"),
        ("sign of dx", DX, DX.replace("scale * (dy", "scale * (-dy")),
        ("dx without its mean over the batch", DX, "return scale * (dy - dy.mean(axes))"),
        ("means for sums in the parameters", ADD, ADD.replace("sum", "mean")),
        ("one parameter for both", "self.beta.add(dy.sum(axes))", "pass"),
        ("gradient of x never returned", DX, "return None"),
    ],
}  # fmt: skip

MESSAGES = {
    "forward": {
        "a momentum": "after one batch, of mean 3",
        "copies of the statistics": "not a copy",
        "reset makes new arrays": "write into the arrays",
        "batch of one accepted": "one value in each channel",
        "single film refused in training": "four values in each channel, must be accepted",
        "count as a number": "self.batches must be an array",
    },
    "backward": {
        "gradients replaced": "must add to the gradient of 'gamma'",
        "called twice": "a second backward pass",
        "another exception": "it raised ValueError",
        "dy changed in place": "changed dy",
    },
    "switches": {
        "frozen ignored": "frozen = True, training = True",
        "switch read on the way back": "Keep with the cache",
    },
    "in_a_network": {"an array for all layers": "do they share an array"},
}

RIGHT = {
    "forward": [
        ("the average written anew", MEAN,
         "self.running_mean[:] = ((self.batches - 1) * self.running_mean + mean) / self.batches"),
        ("a method of its own for the axes", "axes = tuple(range(x.ndim - 1))\n        if x.size",
         "axes = tuple(np.arange(x.ndim)[:-1].tolist())\n        if x.size"),
        ("a table of channels", BATCH,
         "mean, var = x.reshape(-1, x.shape[-1]).mean(0), x.reshape(-1, x.shape[-1]).var(0)"),
        ("fill", RESET, "        self.running_mean.fill(0)\n        self.running_var.fill(1)\n        "
         "self.batches.fill(0)\n"),
    ],
    "backward": [
        ("gradients by sums", DX, "M = dy.size / dy.shape[-1]\n"
         "            return scale / M * (M * dy - dy.sum(axes) - xhat * (dy * xhat).sum(axes))"),
        ("added without add", "self.beta.add(dy.sum(axes))",
         "self.beta.grad = dy.sum(axes) + (0 if self.beta.grad is None "
         "else self.beta.grad)"),
        ("the base class's cache", KEPT,
         "self.kept = (xhat, rstd, by_batch) if keep else None\n        self._cache = self.kept"),
    ],
    "switches": [
        ("two conditions", SWITCH,
         "by_batch = False\n        if training:\n            if not self.frozen:\n                "
         "by_batch = True"),
    ],
    "in_a_network": [
        ("a dictionary built with dict", STATISTICS,
         "        names = ['running_mean', 'running_var', 'batches']\n        return {name: "
         "getattr(self, name) for name in names}\n"),
    ],
}  # fmt: skip
