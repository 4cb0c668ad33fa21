"""Answers of lesson 12, wrong ones and right ones written otherwise: (name, piece, replacement)."""

ALPHA = "gradient.mean(axis=(1, 2), keepdims=True)"
ADDED = "np.maximum((alpha * features).sum(axis=3), 0)"
ASKED = "np.tile(np.asarray(asked, scores.dtype), (len(x), 1))"
P = "p = softmax_forward(flow_logits)[0][:, TR] * softmax_forward(quality_logits)[0][:, POOR]"

WRONG = {
    "grad_cam": [
        ("summed over the places", ALPHA, "gradient.sum(axis=(1, 2), keepdims=True)"),
        ("gradient by place", ALPHA, "gradient"),
        ("mean over the batch too", ALPHA, "gradient.mean(axis=(0, 1, 2), keepdims=True)"),
        ("nothing cut off", ADDED, "(alpha * features).sum(axis=3)"),
        ("cut off before adding", ADDED, "np.maximum(alpha * features, 0).sum(axis=3)"),
        ("absolute value", ADDED, "abs((alpha * features).sum(axis=3))"),
        ("mean of the channels", ADDED, "np.maximum((alpha * features).mean(axis=3), 0)"),
        ("features and gradient exchanged", ADDED,
         "np.maximum((features.mean(axis=(1, 2), keepdims=True) * gradient).sum(axis=3), 0)"),
        ("features weighted in place", "return " + ADDED,
         "features *= alpha\n    return np.maximum(features.sum(axis=3), 0)"),
        ("gradient averaged in place", "alpha = " + ALPHA,
         "gradient[:] = " + ALPHA + "\n    alpha = gradient"),
        ("float16", "return " + ADDED, "return " + ADDED + ".astype(np.float16)"),
        ("a list of maps", "return " + ADDED, "return list(" + ADDED + ")"),
        ("channels last kept", "sum(axis=3), 0)", "sum(axis=3, keepdims=True), 0)"),
        ("divided by the maximum", "return " + ADDED,
         "m = " + ADDED + "\n    return m / np.maximum(m.max(), 1e-9)"),
        ("only channels that speak for it", ADDED,
         "np.maximum((np.maximum(alpha, 0) * features).sum(axis=3), 0)"),
        ("summed over the films", "sum(axis=3), 0)", "sum(axis=(0, 3)), 0)"),
        ("not returned", "return " + ADDED, ADDED),
    ],
    "coarse_maps": [
        ("encoder in training mode", "encoder.forward(x, keep=False)", "encoder.forward(x, training=True)"),
        ("head in training mode", "twin.forward(features)", "twin.forward(features, training=True)"),
        ("head itself goes backward", "twin = copy_network(head).freeze()", "twin = head"),
        ("asked for the first image only", ASKED,
         "np.eye(len(x), 1) * np.asarray(asked, scores.dtype)"),
        ("every score asked", ASKED, "np.ones_like(scores)"),
        ("the scores sent back", ASKED, "scores * np.asarray(asked)"),
        ("the winning class, whatever is asked", ASKED,
         "(np.arange(2) == scores.argmax(axis=1)[:, None]).astype(scores.dtype)"),
        ("float16 asked", ASKED, ASKED.replace("scores.dtype", "np.float16")),
        ("images brightened in place", "features = encoder", "x += 1\n    features = encoder"),
        ("asked scaled in place", "dscores = ", "asked /= 2\n    asked *= 3\n    dscores = "),
        ("probabilities asked", "return grad_cam(features, twin.backward(dscores))",
         "p = softmax_forward(scores)[0]\n    return grad_cam(features, "
         "twin.backward(dscores * p * (1 - p)))"),
        ("gradients left in the head", "twin = copy_network(head).freeze()",
         "twin = head; twin.freeze(False)"),
        ("only the last image", "return grad_cam(features, ", "return grad_cam(features[-1:], "),
        ("statistics moved", "encoder.forward(x, keep=False)",
         "encoder.forward(x, training=True); features = encoder.forward(x, keep=False)"),
        ("mean over the batch", ASKED, ASKED + " / len(x)"),
        ("gradient for the features", "return grad_cam(features, twin", "return grad_cam(twin"),
    ],
    "recommend": [
        ("likeliest classes", "p > lost / (lost + spoilt)",
         "(flow_logits.argmax(axis=1) == TR) & (quality_logits.argmax(axis=1) == POOR)"),
        ("good for poor", "[:, POOR]", "[:, 1 - POOR]"),
        ("MV for TR", "[:, TR]", "[:, 0]"),
        ("softmax over the screens", P,
         "p = softmax_forward(flow_logits.T)[0].T[:, TR] * softmax_forward(quality_logits.T)[0].T[:, POOR]"),
        ("mean of the two", P,
         "p = (softmax_forward(flow_logits)[0][:, TR] + softmax_forward(quality_logits)[0][:, POOR]) / 2"),
        ("logits taken for probabilities", P, "p = flow_logits[:, TR] * quality_logits[:, POOR]"),
        ("softmax that overflows", P,
         "e, f = np.exp(flow_logits), np.exp(quality_logits); "
         "p = e[:, TR] / e.sum(axis=1) * f[:, POOR] / f.sum(axis=1)"),
        ("costs exchanged", "lost / (lost + spoilt)", "spoilt / (lost + spoilt)"),
        ("ratio of the costs", "lost / (lost + spoilt)", "lost / spoilt"),
        ("always one half", "lost / (lost + spoilt)", "0.5"),
        ("logits shifted in place", "p = softmax_forward(flow_logits)",
         "flow_logits -= flow_logits.max(axis=1, keepdims=True)\n    p = softmax_forward(flow_logits)"),
        ("numbers for decisions", "return p, p > lost / (lost + spoilt)",
         "return p, (p > lost / (lost + spoilt)).astype(int)"),
        ("a list of decisions", "return p, p > lost / (lost + spoilt)",
         "return p, list(p > lost / (lost + spoilt))"),
        ("float16", "return p, p >", "p = p.astype(np.float16)\n    return p, p >"),
        ("use in place of exclude", "p > lost / (lost + spoilt)", "p < lost / (lost + spoilt)"),
        ("decision first", "return p, p > lost / (lost + spoilt)",
         "return p > lost / (lost + spoilt), p"),
        ("either is enough", P, "a, b = softmax_forward(flow_logits)[0][:, TR], "
         "softmax_forward(quality_logits)[0][:, POOR]\n    p = a + b - a * b"),
        ("one decision for all", "return p, p > lost / (lost + spoilt)",
         "return p, p.mean() > lost / (lost + spoilt)"),
        ("decision alone", "return p, p >", "return p >"),
    ],
}  # fmt: skip

CAM = "alpha = " + ALPHA + "  # (N, 1, 1, C)\n    return " + ADDED
FOUR = f"""dscores = {ASKED}
    return grad_cam(features, twin.backward(dscores))
"""

RIGHT = {
    "grad_cam": [
        ("einsum", CAM, "alpha = gradient.mean(axis=(1, 2))\n"
         "    return np.maximum(np.einsum('nc,nhwc->nhw', alpha, features), 0)"),
        ("new axes", CAM, "alpha = gradient.mean((1, 2))[:, None, None, :]\n"
         "    return (alpha * features).sum(-1).clip(0)"),
        ("mean twice", ALPHA, "gradient.mean(axis=2, keepdims=True).mean(axis=1, keepdims=True)"),
        ("image by image", CAM, "maps = []\n    for A, g in zip(features, gradient):\n"
         "        maps.append(np.maximum((A * g.mean(axis=(0, 1))).sum(axis=2), 0))\n"
         "    return np.stack(maps)"),
        ("where", ADDED, "np.where((alpha * features).sum(axis=3) > 0, (alpha * features).sum(axis=3), 0)"),
        ("matrix product", ADDED,
         "np.maximum((features @ alpha.reshape(len(features), 1, -1, 1))[..., 0], 0)"),
        ("half of value and absolute value", "return " + ADDED,
         "m = (alpha * features).sum(axis=3)\n    return (m + abs(m)) / 2"),
        ("sum over the number of places", ALPHA,
         "gradient.sum(axis=(1, 2), keepdims=True) / np.prod(gradient.shape[1:3])"),
    ],
    "coarse_maps": [
        ("ones times asked", ASKED, "np.ones((len(x), 1), scores.dtype) * np.asarray(asked, scores.dtype)"),
        ("zeros plus asked", ASKED, "np.zeros_like(scores) + np.asarray(asked)"),
        ("repeated", ASKED, "np.repeat(np.asarray(asked, scores.dtype)[None], len(x), axis=0)"),
        ("full_like", ASKED, "np.full_like(scores, asked)"),
        ("stacked", ASKED, "np.stack([np.asarray(asked, scores.dtype)] * len(x))"),
        ("features kept too", "encoder.forward(x, keep=False)", "copy_network(encoder).forward(x)"),
        ("network of both", "encoder.forward(x, keep=False)", "Sequential(encoder).forward(x, keep=False)"),
        ("gradient by a name", FOUR, f"dscores = {ASKED}\n    gradient = twin.backward(dscores)\n"
         "    return grad_cam(features, gradient)\n"),
        ("image by image", FOUR, """maps = []
    for n in range(len(x)):
        one = twin.forward(features[n : n + 1])
        maps.append(grad_cam(features[n : n + 1],
                             twin.backward(np.asarray(asked, one.dtype)[None]))[0])
    return np.stack(maps)
"""),
    ],
    "recommend": [
        ("a list", "return p, p > lost / (lost + spoilt)", "return [p, p > lost / (lost + spoilt)]"),
        ("costs compared", "p > lost / (lost + spoilt)", "(1 - p) * lost < p * spoilt"),
        ("not more than using", "p > lost / (lost + spoilt)", "~((1 - p) * lost >= p * spoilt)"),
        ("odds", "p > lost / (lost + spoilt)", "p * (lost + spoilt) > lost"),
        ("softmax of its own", P, "def own(z):\n        e = np.exp(z - z.max(axis=1, keepdims=True))\n"
         "        return e / e.sum(axis=1, keepdims=True)\n\n"
         "    p = own(flow_logits)[:, TR] * own(quality_logits)[:, POOR]"),
        ("unpacked", P, "flow, _ = softmax_forward(flow_logits)\n"
         "    quality, _ = softmax_forward(quality_logits)\n    p = flow[:, TR] * quality[:, POOR]"),
        ("numbers of the columns", P,
         "p = softmax_forward(flow_logits)[0][:, 2] * softmax_forward(quality_logits)[0][:, 0]"),
        ("library's rule", P, "from ums.derived import exclusion_probability\n"
         "    p = exclusion_probability(softmax_forward(flow_logits)[0], "
         "softmax_forward(quality_logits)[0])"),
    ],
}  # fmt: skip
