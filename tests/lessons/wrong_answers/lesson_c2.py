"""What students get wrong in capstone 2: (name, a piece of the solution, what stands in its place)."""

SHARED = "shared = np.maximum(high - low, 0).prod(axis=2)"
IOU = "return shared / (of_a[:, None] + of_b[None, :] - shared)"
ENCODE = "return np.concatenate([(centre - centre_a) / size_a, np.log(size / size_a)], axis=1)"
CENTRE = "centre = centre_a + offsets[:, :2] * size_a"
MIDDLE = "middle = low[:, None] + (np.arange(B) + 0.5) * (high - low)[:, None] / B"
PLACE = "place = np.clip(middle / stride - 0.5, 0, cells - 1)"
ADD = "np.add.at(dx, index, weight[..., None].astype(dy.dtype) * dy)"
LABELS = "labels = np.where(best >= high, 1, np.where(best < low, 0, -1))"
FIRST = "first = overlap[:, k] == most"
FAR = "np.abs(d) - beta / 2).sum() / R"
BCE = "value, d_logits[counts] = bce(logits[counts], labels[counts].astype(logits.dtype))"
BOXES = "of_boxes, d_offsets[found] = smooth_l1(offsets[found], wanted[found])"
HIDDEN = "d_hidden = self.score.backward(d_logits[:, None]) + self.corners.backward(d_offsets)"
LEFT = 'left = np.argsort(-scores, kind="stable")'
OVERLAP = "overlap = box_iou(boxes[[best]], boxes[others])[0]"
TAKEN = "free[film][overlap.argmax()] = False"

WRONG = {
    "box_iou": [
        ("negative sides multiplied", SHARED, "shared = (high - low).prod(axis=2)"),
        ("pixels counted as in old code", SHARED, "shared = np.maximum(high - low + 1, 0).prod(axis=2)"),
        ("shared counted twice", IOU, "return shared / (of_a[:, None] + of_b[None, :])"),
        ("share of the first", IOU, "return shared / of_a[:, None]"),
        ("share of the smaller", IOU, "return shared / np.minimum(of_a[:, None], of_b[None, :])"),
        ("transposed", IOU, "return (shared / (of_a[:, None] + of_b[None, :] - shared)).T"),
        ("pairs only", IOU, "return (shared / (of_a[:, None] + of_b[None, :] - shared)).max(axis=1)"),
        ("width for area", "(c[:, 2:] - c[:, :2]).prod(axis=1)", "(c[:, 2] - c[:, 0])"),
    ],
    "offsets": [
        ("size of the box", ENCODE,
         "return np.concatenate([(centre - centre_a) / size, np.log(size / size_a)], axis=1)"),
        ("no logarithm", ENCODE,
         "return np.concatenate([(centre - centre_a) / size_a, size / size_a], axis=1)"),
        ("pixels", ENCODE, "return np.concatenate([centre - centre_a, np.log(size / size_a)], axis=1)"),
        ("sign", ENCODE,
         "return np.concatenate([(centre_a - centre) / size_a, np.log(size / size_a)], axis=1)"),
        ("corner for centre", "return boxes[:, :2] + size / 2, size", "return boxes[:, :2], size"),
        ("width for both", "size = boxes[:, 2:] - boxes[:, :2]\n    return boxes",
         "size = (boxes[:, 2:] - boxes[:, :2])[:, [0, 0]]\n    return boxes"),
        ("not scaled back", CENTRE, "centre = centre_a + offsets[:, :2]"),
        ("no exponential", "size = size_a * np.exp(offsets[:, 2:])", "size = size_a * (1 + offsets[:, 2:])"),
        ("offsets changed", CENTRE, "offsets[:, :2] *= size_a\n    centre = centre_a + offsets[:, :2]"),
        ("centre and size", "[centre - size / 2, centre + size / 2]", "[centre, size]"),
    ],
    "roi_align": [
        ("corner of the bin", MIDDLE,
         "middle = low[:, None] + np.arange(B) * (high - low)[:, None] / B"),
        ("half a cell off", PLACE, "place = np.clip(middle / stride, 0, cells - 1)"),
        ("stride ignored", PLACE, "place = np.clip(middle - 0.5, 0, cells - 1)"),
        ("not held at the edge", PLACE, "place = middle / stride - 0.5"),
        ("nearest cell", "return first, place - first", "return first, np.round(place - first)"),
        ("rows and columns exchanged", "(i + down)[:, :, None], (j + right)[:, None, :]",
         "(i + down)[:, None, :], (j + right)[:, :, None]"),
        ("always the first film", "film[:, None, None]", "0 * film[:, None, None]"),
        ("B is 3", "def _places(low, high, cells, stride, B):",
         "def _places(low, high, cells, stride, B):\n    B = 3"),
        ("added once only", ADD, "dx[index] += weight[..., None].astype(dy.dtype) * dy"),
        ("weights forgotten on the way back", ADD, "np.add.at(dx, index, dy / 4)"),
        ("float64", "y = np.zeros((len(boxes), B, B, x.shape[3]), x.dtype)",
         "y = np.zeros((len(boxes), B, B, x.shape[3]))"),
        ("width for height", "boxes[:, 1], boxes[:, 3]", "boxes[:, 1], boxes[:, 2]"),
    ],
    "match": [
        ("second rule forgotten", "if most > 0:", "if False:"),
        ("second rule without an overlap", "if most > 0:", "if True:"),
        ("one of several best", FIRST,
         "first = np.arange(len(overlap)) == overlap[:, k].argmax()"),
        ("number of the second rule forgotten", "number[first & (labels != 1)] = k", "pass"),
        ("middle is nothing", LABELS, "labels = np.where(best >= high, 1, 0)"),
        ("low ignored", LABELS, "labels = np.where(best >= high, 1, np.where(best < 0.3, 0, -1))"),
        ("above high only", LABELS, "labels = np.where(best > high + 0.05, 1, np.where(best < low, 0, -1))"),
        ("neither is nothing, and the reverse", LABELS,
         "labels = np.where(best >= high, 1, np.where(best < low, -1, 0))"),
        ("bool", "return labels, number", "return labels == 1, number"),
        ("no films without boxes", "if len(boxes) == 0:", "if False:"),
        ("numbers of candidates", "overlap.argmax(axis=1)", "overlap.argmax(axis=0)[overlap.argmax(axis=1)]"),
    ],
    "smooth_l1": [
        ("jumps at beta", FAR, "np.abs(d)).sum() / R"),
        ("squares", "near = np.abs(d) < beta", "near = np.abs(d) < 1e9"),
        ("absolute", "near = np.abs(d) < beta", "near = np.abs(d) < 0"),
        ("mean over all entries", FAR, "np.abs(d) - beta / 2).mean()"),
        ("sum over rows", FAR, "np.abs(d) - beta / 2).sum()"),
        ("gradient of the sum", "np.sign(d)) / R", "np.sign(d))"),
        ("sign of the gradient", "return value, np.where(near, d / beta, np.sign(d)) / R",
         "return value, -np.where(near, d / beta, np.sign(d)) / R"),
        ("beta is 0.1", "near = np.abs(d) < beta", "beta = 0.1\n    near = np.abs(d) < beta"),
        ("no rows", "R = max(len(prediction), 1)", "R = 1 // len(prediction) * 0 + len(prediction)"),
    ],
    "detection_loss": [
        ("left out ones are nothing", "counts, found = labels >= 0, labels == 1",
         "counts, found = labels >= -1, labels == 1\n    labels = np.maximum(labels, 0)"),
        ("boxes of all that count", "counts, found = labels >= 0, labels == 1",
         "counts, found = labels >= 0, labels >= 0"),
        ("scores alone", "value = value + of_boxes", "pass"),
        ("boxes alone", "value = value + of_boxes", "value = of_boxes"),
        ("boxes' gradient forgotten", BOXES, "of_boxes, _ = smooth_l1(offsets[found], wanted[found])"),
        ("scores' gradient forgotten", BCE,
         "value, _ = bce(logits[counts], labels[counts].astype(logits.dtype))"),
        ("masked by multiplication", BOXES,
         "of_boxes, d_offsets = smooth_l1(offsets * found[:, None], wanted * found[:, None])"),
        ("needs a candidate", "if counts.any():", "if True:"),
        ("mean over all candidates", "value = value + of_boxes",
         "value = value + of_boxes * found.sum() / len(found)"),
    ],
    "box_head": [
        ("one branch on the way back", HIDDEN, "self.corners.backward(d_offsets)\n"
         "        d_hidden = self.score.backward(d_logits[:, None])"),
        ("branches averaged", HIDDEN,
         "d_hidden = (self.score.backward(d_logits[:, None]) + self.corners.backward(d_offsets)) / 2"),
        ("parameters of the shared layer forgotten", "self.parts = (self.shared, self.score, self.corners)",
         "self.parts = (self.score, self.corners)"),
        ("no ReLU", "self.shared = Sequential(Dense(inputs, hidden, rng), ReLU())",
         "self.shared = Sequential(Dense(inputs, hidden, rng))"),
        ("logits with an axis", "return logits[:, 0], self", "return logits, self"),
        ("gradient without its shape", "return self.shared.backward(d_hidden).reshape(self.shape)",
         "return self.shared.backward(d_hidden)"),
        ("no input gradient", "return self.shared.backward(d_hidden).reshape(self.shape)",
         "self.shared.backward(d_hidden)"),
        ("hidden ignored", "def __init__(self, inputs, rng, hidden=64):",
         "def __init__(self, inputs, rng, hidden=64):\n        hidden = 64"),
        ("gradients not forgotten", "part.zero_gradients()", "pass"),
        ("forgets before it adds", "def backward(self, d_logits, d_offsets):",
         "def backward(self, d_logits, d_offsets):\n        self.zero_gradients()"),
        ("always kept", "keep=keep)\n        logits = self.score.forward(hidden, keep=keep)",
         "keep=True)\n        logits = self.score.forward(hidden, keep=True)\n        keep = True"),
        ("chance of its own", "self.score = Dense(hidden, 1, rng)",
         "self.score = Dense(hidden, 1, np.random.default_rng())"),
    ],
    "nms": [
        ("worst first", LEFT, "left = np.argsort(scores, kind=\"stable\")"),
        ("in the order given", LEFT, "left = np.arange(len(scores))"),
        ("ties by the last", LEFT, "left = np.argsort(scores, kind=\"stable\")[::-1]"),
        ("dropped ones drop others", "left = others[overlap <= threshold]",
         "left = others[(box_iou(boxes[others], boxes[left]) > threshold).sum(axis=1) <= 1]"),
        ("threshold ignored", "left = others[overlap <= threshold]", "left = others[overlap <= 0.3]"),
        ("keeps what overlaps", "left = others[overlap <= threshold]", "left = others[overlap > threshold]"),
        ("best one only", "left = others[overlap <= threshold]", "break"),
        ("overlap with the first box alone", OVERLAP,
         "overlap = box_iou(boxes[[kept[0]]], boxes[others])[0]"),
        ("sorted numbers", "return kept", "return sorted(kept)"),
    ],
    "average_precision": [
        ("found twice counts twice", TAKEN, "pass"),
        ("film by film", "ranked.sort(key=lambda one: -one[0])",
         "ranked.sort(key=lambda one: (one[1], -one[0]))"),
        ("not ranked", "ranked.sort(key=lambda one: -one[0])", "pass"),
        ("worst first", "ranked.sort(key=lambda one: -one[0])", "ranked.sort(key=lambda one: one[0])"),
        ("divided by the found", "return float(total / T)", "return float(total / max(right, 1))"),
        ("recall", "total += right / k", "total += 1"),
        ("precision of the end", "return float(total / T)", "return float(right / max(len(ranked), 1))"),
        ("nearest box, taken or not",
         "overlap = np.where(free[film], box_iou(box[None], truth[film])[0], -1)\n"
         "        if overlap.max() >= threshold:",
         "overlap = box_iou(box[None], truth[film])[0]\n"
         "        if overlap.max() >= threshold and free[film][overlap.argmax()]:"),
        ("threshold ignored", "if overlap.max() >= threshold:", "if overlap.max() >= 0.5:"),
        ("any film", "free[film].any()", "free[0].any()"),
        ("nothing to find is perfect",
         "raise ValueError(\"without a true box there is no average precision\")",
         "return 1.0"),
    ],
}  # fmt: skip
