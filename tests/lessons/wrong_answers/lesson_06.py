"""What students hand in for lesson 6: (name, a piece of the solution, what stands in its place)."""

TAIL = "tail = np.log1p(np.exp(-np.abs(logits)))"
VALUES = "values = np.maximum(logits, 0) + tail - logits * target"
BCE = "return values.mean(), (y - target) / logits.size"
SUM = "I = 2 * (target * y).sum(axis=axes, keepdims=True) + eps"
DY = "dy = -(2 * target * U - I) / U**2 / N"
DICE = "return (1 - I / U).mean(), dy * y * (1 - y)"
BOTH = "return value, weight * d_bce + (1 - weight) * d_dice"
SHIFTED = "z = logits - logits.max(axis=1, keepdims=True)"
PICKED = "values = np.log(total[:, 0]) - (z * onehot).sum(axis=1)"
CCE = "return values.mean(), (np.exp(z) / total - onehot) / N"

WRONG = {
    "bce": [
        ("as it stands", VALUES, "values = -(target * np.log(y) + (1 - target) * np.log(1 - y))"),
        ("exponent grows", TAIL, "tail = np.log1p(np.exp(logits)) - np.maximum(logits, 0)"),
        ("clipped", VALUES,
         "c = np.clip(y, 1e-7, 1 - 1e-7); values = -(target * np.log(c) + (1 - target) * np.log(1 - c))"),
        ("target turned round", "tail - logits * target", "tail - logits * (1 - target)"),
        ("sum for the mean", BCE, "return values.sum(), (y - target) / logits.size"),
        ("gradient of the sum", "(y - target) / logits.size", "(y - target)"),
        ("mean over images only", "(y - target) / logits.size", "(y - target) / len(logits)"),
        ("slope of the sigmoid twice", "(y - target) / logits.size",
         "(y - target) * y * (1 - y) / logits.size"),
        ("sign", "(y - target) / logits.size", "(target - y) / logits.size"),
        ("value alone", BCE, "return values.mean()"),
        ("logits changed", TAIL, "logits *= 1.5; logits /= 1.5; tail = np.log1p(np.exp(-np.abs(logits)))"),
        ("target changed", "(y - target) / logits.size",
         "(np.subtract(y, target, out=target)) / logits.size"),
        ("float16", VALUES, "values = (np.maximum(logits, 0) + tail - logits * target).astype(np.float16)"),
        ("gradient of float64", "(y - target) / logits.size", "(y.astype(float) - target) / logits.size"),
        ("median", BCE, "return np.median(values), (y - target) / logits.size"),
        ("float64 by a NumPy number", "(y - target) / logits.size", "(y - target) / np.prod(logits.shape)"),
        ("natural and binary logarithm", TAIL, "tail = np.log2(1 + np.exp(-np.abs(logits)))"),
    ],
    "dice": [
        ("sums over the batch", "axes = (1, 2, 3)", "axes = (0, 1, 2, 3)"),
        ("no eps below", "U = (target + y).sum(axis=axes, keepdims=True) + eps",
         "U = (target + y).sum(axis=axes, keepdims=True)"),
        ("no eps above", SUM, "I = 2 * (target * y).sum(axis=axes, keepdims=True)"),
        ("factor 2 forgotten", SUM, "I = (target * y).sum(axis=axes, keepdims=True) + eps"),
        ("not subtracted from 1", "(1 - I / U).mean()", "(I / U).mean()"),
        ("slope of the sigmoid forgotten", "dy * y * (1 - y)", "dy"),
        ("mean forgotten in the gradient", DY, "dy = -(2 * target * U - I) / U**2"),
        ("numerator's slope only", DY, "dy = -2 * target / U / N"),
        ("sign of the gradient", DY, "dy = (2 * target * U - I) / U**2 / N"),
        ("one value per image", DICE, "return 1 - I / U, dy * y * (1 - y)"),
        ("eps fixed", SUM, "eps = 1.0; I = 2 * (target * y).sum(axis=axes, keepdims=True) + eps"),
        ("squares below", "U = (target + y).sum(axis=axes, keepdims=True) + eps",
         "U = (target**2 + y**2).sum(axis=axes, keepdims=True) + eps"),
        ("target changed", DY, "target *= 2; dy = -(target * U - I) / U**2 / N"),
        ("hard areas", SUM, "y = (y > 0.5) * 1.0; I = 2 * (target * y).sum(axis=axes, keepdims=True) + eps"),
        ("hard areas that never learn", DICE, "y = (logits > 0) * 1.0\n    "
         "I = 2 * (target * y).sum(axis=axes, keepdims=True) + eps\n    "
         "U = (target + y).sum(axis=axes, keepdims=True) + eps\n    "
         "return (1 - I / U).mean(), np.zeros_like(logits)"),
        ("squares below, gradient too", DY, "U = (target**2 + y**2).sum(axis=axes, keepdims=True) + eps\n    "
         "dy = -(2 * target * U - 2 * y * I) / U**2 / N"),
        ("overlap over union", "U = (target + y).sum(axis=axes, keepdims=True) + eps",
         "U = (target + y - target * y).sum(axis=axes, keepdims=True) + eps"),
        ("divided by the pixels, too", DY, "dy = -(2 * target * U - I) / U**2 / logits.size"),
    ],
    "bce_dice": [
        ("weights exchanged", "value = weight * bce_value + (1 - weight) * dice_value",
         "value = weight * dice_value + (1 - weight) * bce_value"),
        ("gradients not weighted", BOTH, "return value, d_bce + d_dice"),
        ("weight ignored", BOTH, "return value, (d_bce + d_dice) / 2"),
        ("value alone", BOTH, "return value"),
        ("weights exchanged in the gradient", BOTH,
         "return value, weight * d_dice + (1 - weight) * d_bce"),
        ("another weight by default", "dice_value, d_dice = dice(logits, target)",
         "dice_value, d_dice = dice(logits, target); weight = 0.75 if weight == 0.5 else weight"),
        ("product", "value = weight * bce_value + (1 - weight) * dice_value",
         "value = bce_value**weight * dice_value ** (1 - weight)"),
        ("gradient as a list", BOTH, "return value, (weight * d_bce + (1 - weight) * d_dice).tolist()"),
    ],
    "categorical_cross_entropy": [
        ("nothing subtracted", SHIFTED, "z = logits"),
        ("maximum of the batch", SHIFTED, "z = logits - logits.max()"),
        ("logarithm of the softmax", PICKED, "values = -np.log((np.exp(z) / total * onehot).sum(axis=1))"),
        ("mean over classes", PICKED, "values = (np.log(total[:, 0]) - (z * onehot).sum(axis=1)) / K"),
        ("sign", PICKED, "values = (z * onehot).sum(axis=1) - np.log(total[:, 0])"),
        ("softmax over the batch", "total = np.exp(z).sum(axis=1, keepdims=True)",
         "total = np.exp(z).sum(axis=0, keepdims=True)"),
        ("gradient of the sum", "(np.exp(z) / total - onehot) / N", "np.exp(z) / total - onehot"),
        ("gradient of the right class alone", "(np.exp(z) / total - onehot) / N",
         "(np.exp(z) / total - 1) * onehot / N"),
        ("value alone", CCE, "return values.mean()"),
        ("logits changed", SHIFTED, "logits -= logits.max(axis=1, keepdims=True); z = logits"),
        ("labels changed", PICKED, PICKED + "; labels[...] = 0"),
        ("maximum of the class", SHIFTED, "z = logits - logits.max(axis=0, keepdims=True)"),
        ("clipped", SHIFTED, "z = np.clip(logits, -80, 80)"),
        ("float64", "(np.exp(z) / total - onehot) / N", "(np.exp(z) / total - onehot.astype(float)) / N"),
    ],
}  # fmt: skip

MESSAGES = {
    "bce": {
        "target changed": "changed target in place",
        "float64 by a NumPy number": r"such as np\.prod returns",
    },
    "dice": {
        "eps fixed": "the eps that was passed in",
    },
    "bce_dice": {
        "another weight by default": "without a weight given",
    },
    "categorical_cross_entropy": {
        "logits changed": "changed logits in place",
    },
}

RIGHT = {
    "bce": [
        ("logaddexp", VALUES, "values = np.logaddexp(logits.dtype.type(0), logits) - logits * target"),
        ("by the sign of the target", VALUES,
         "s = np.where(target == 1, -logits, logits); values = np.maximum(s, 0) + tail"),
        ("sum over size", BCE, "return values.sum() / values.size, (y - target) / logits.size"),
        ("a float", BCE, "return float(values.mean()), (y - target) / logits.size"),
        ("a list", BCE, "return [values.mean(), (y - target) / logits.size]"),
        ("size from the shape", "(y - target) / logits.size",
         "(y - target) / int(np.prod(logits.shape))"),
        ("sigmoid by hand", "tail = np",
         "y = np.exp(-np.logaddexp(logits.dtype.type(0), -logits)); tail = np"),
    ],
    "dice": [
        ("flattened", "return (1 - I / U).mean(), dy * y * (1 - y)",
         "a, b = target.reshape(N, -1), y.reshape(N, -1)\n"
         "    value = 1 - (2 * (a * b).sum(1) + eps) / (a.sum(1) + b.sum(1) + eps)\n"
         "    return np.mean(value), dy * y * (1 - y)"),
        ("two quotients", DY, "dy = (I / U**2 - 2 * target / U) / N"),
        ("mean as a sum", "(1 - I / U).mean()", "1 - (I / U).sum() / N"),
        ("slope first", DY, "slope = y - y**2; dy = -(2 * target * U - I) / U**2 / N"),
    ],
    "bce_dice": [
        ("dice and its difference", BOTH, "return value, d_dice + weight * (d_bce - d_dice)"),
        ("in place, of its own arrays", BOTH,
         "d_bce *= weight\n    d_bce += (1 - weight) * d_dice\n    return value, d_bce"),
    ],
    "categorical_cross_entropy": [
        ("picked by number", PICKED, "values = np.log(total[:, 0]) - z[np.arange(N), labels]"),
        ("taken along the axis", PICKED,
         "values = np.log(total[:, 0]) - np.take_along_axis(z, labels[:, None], 1)[:, 0]"),
        ("logaddexp reduced", PICKED,
         "values = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(N), labels]"),
        ("one subtracted in place", "return values.mean(), (np.exp(z) / total - onehot) / N",
         "gradient = np.exp(z) / total\n    gradient[np.arange(N), labels] -= 1\n"
         "    return values.mean(), gradient / N"),
        ("log-softmax", PICKED, "values = -((z - np.log(total)) * onehot).sum(axis=1)"),
    ],
}  # fmt: skip
