"""What students get wrong in lesson 12: (name, a piece of the solution, what stands in its place)."""

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
        ("decision alone", "return p, p >", "return p >"),
    ],
}  # fmt: skip
