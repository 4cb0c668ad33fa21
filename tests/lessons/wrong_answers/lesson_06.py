"""What students get wrong in lesson 6: (name, a piece of the solution, what stands in its place)."""

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
    ],
    "bce_dice": [
        ("weights exchanged", "value = weight * bce_value + (1 - weight) * dice_value",
         "value = weight * dice_value + (1 - weight) * bce_value"),
        ("gradients not weighted", BOTH, "return value, d_bce + d_dice"),
        ("weight ignored", BOTH, "return value, (d_bce + d_dice) / 2"),
        ("value alone", BOTH, "return value"),
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
    ],
}  # fmt: skip
