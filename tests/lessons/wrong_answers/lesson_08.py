"""What students hand in for lesson 8: (name, a piece of the solution, what stands in its place)."""

ARRAYS = "arrays = layer.state_dict()"
PARTS = "parts = [name.encode() + to_numpy(arrays[name]).tobytes() for name in sorted(arrays)]"
JOINED = 'return b"".join(parts)'
HEAD = "head = Sequential(GlobalAveragePool(), BatchNorm(channels), dense)"
CHAIN = "return Sequential(encoder, head)"
FORWARD = "encoder.forward(films[i : i + batch], keep=False)"
STARTS = "starts = range(0, len(films), batch)"
DRAWN = "drawn = [rng.permutation(np.flatnonzero(labels == k))[:each] for k in classes]"

WRONG = {
    "fingerprint": [
        ("weights without statistics", ARRAYS,
         "arrays = {n: p.value for n, p in layer.named_parameters().items()}"),
        ("sums", PARTS, "parts = [np.float32(arrays[name].sum()).tobytes() for name in sorted(arrays)]"),
        ("rounded", PARTS, "parts = [arrays[name].round(3).tobytes() for name in sorted(arrays)]"),
        ("order lost", JOINED, 'return b"".join(sorted(part[-16:] for part in parts))'),
        ("the object itself", JOINED, "return str(id(layer)).encode()"),
        ("names alone", PARTS, "parts = [name.encode() for name in sorted(arrays)]"),
        ("a list", JOINED, "return parts"),
        ("text of the arrays", JOINED, "return str(arrays).encode()"),
        ("first numbers alone", PARTS,
         "parts = [arrays[name].ravel()[:3].tobytes() for name in sorted(arrays)]"),
        ("float16", PARTS, "parts = [arrays[name].astype(np.float16).tobytes() for name in sorted(arrays)]"),
        ("statistics alone", ARRAYS, "arrays = layer.statistics()"),
        ("exclusive or", JOINED,
         "whole = np.frombuffer(b''.join(part[-16:] for part in parts), np.uint8)\n"
         "    return np.bitwise_xor.reduce(whole.reshape(-1, 4)).tobytes()"),
        ("a text", JOINED, "return b''.join(parts).hex()"),
        ("the layer frozen", ARRAYS, "layer.freeze(); " + ARRAYS),
        ("the layer changed", PARTS,
         PARTS + "\n    layer.layers[1].running_mean *= 1.5"),
    ],
    "attach_head": [
        ("not frozen", "encoder.freeze()", "pass"),
        ("thawed", "encoder.freeze()", "encoder.freeze(False)"),
        ("everything frozen", CHAIN, "return Sequential(encoder, head).freeze()"),
        ("convolutions frozen alone", "encoder.freeze()", "encoder.layers[0].freeze()"),
        ("a copy", CHAIN, "return Sequential(copy_network(encoder), head)"),
        ("no pooling", HEAD, "head = Sequential(BatchNorm(channels), dense)"),
        ("no batch norm", HEAD, "head = Sequential(GlobalAveragePool(), dense)"),
        ("classes forgotten", "Dense(channels, classes, rng)", "Dense(channels, 2, rng)"),
        ("head alone", CHAIN, "return head"),
        ("chance of its own", "Dense(channels, classes, rng)",
         "Dense(channels, classes, np.random.default_rng())"),
        ("a seed of its own", "Dense(channels, classes, rng)",
         "Dense(channels, classes, np.random.default_rng(0))"),
        ("copied and frozen", CHAIN, "return Sequential(copy_network(encoder).freeze(), head)"),
        ("a chain of four", CHAIN, "return Sequential(encoder, *head)"),
        ("dense before batch norm", HEAD,
         "head = Sequential(GlobalAveragePool(), dense, BatchNorm(classes))"),
        ("a list", CHAIN, "return [encoder, head]"),
        ("head first", CHAIN, "return Sequential(head, encoder)"),
    ],
    "features": [
        ("in training", FORWARD, "encoder.forward(films[i : i + batch], training=True, keep=False)"),
        ("caches kept", FORWARD, "encoder.forward(films[i : i + batch])"),
        ("all at once", "return np.concatenate(parts)", "return encoder.forward(films, keep=False)"),
        ("the rest left out", STARTS, "starts = range(0, len(films) - batch + 1, batch)"),
        ("overlapping", STARTS, "starts = range(0, len(films), batch - 1)"),
        ("turned round", "return np.concatenate(parts)", "return np.concatenate(parts[::-1])"),
        ("stacked", STARTS, "starts = range(len(films))"),
        ("a list", "return np.concatenate(parts)", "return parts"),
        ("the last one left out", STARTS, "starts = range(0, len(films) - 1, batch)"),
        ("float64", "return np.concatenate(parts)", "return np.concatenate(parts).astype(float)"),
        ("films changed", STARTS, "films -= films.mean(); " + STARTS),
        ("encoder frozen", STARTS, "encoder.freeze(); " + STARTS),
        ("pooled", "return np.concatenate(parts)", "return np.concatenate(parts).mean(axis=(1, 2))"),
        ("one film at a time", FORWARD,
         "np.concatenate([encoder.forward(film[None], keep=False) for film in films[i : i + batch]])"),
    ],
    "labelled_rows": [
        ("whatever comes", DRAWN, "drawn = [rng.permutation(len(labels))[:n]]"),
        ("always the first", "rng.permutation(np.flatnonzero(labels == k))[:each]",
         "np.flatnonzero(labels == k)[:each]"),
        ("drawn twice", "rng.permutation(np.flatnonzero(labels == k))[:each]",
         "rng.choice(np.flatnonzero(labels == k), each)"),
        ("n of each", "each = n // len(classes)", "each = n"),
        ("two classes taken for granted", "each = n // len(classes)", "each = n // 2"),
        ("row numbers within the class", "np.flatnonzero(labels == k)", "np.arange((labels == k).sum())"),
        ("labels", "return np.concatenate(drawn)", "return labels[np.concatenate(drawn)] == 1"),
        ("chance of its own", "rng.permutation(np", "np.random.default_rng().permutation(np"),
        ("labels sorted in place", "classes = np.unique(labels)",
         "labels.sort(); classes = np.unique(labels)"),
        ("classes counted from 0", "classes = np.unique(labels)",
         "classes = np.arange(len(np.unique(labels)))"),
        ("a list", "return np.concatenate(drawn)", "return np.concatenate(drawn).tolist()"),
        ("a mask", "return np.concatenate(drawn)",
         "return np.isin(np.arange(len(labels)), np.concatenate(drawn))"),
        ("one list for each class", "return np.concatenate(drawn)", "return np.stack(drawn)"),
        ("a run of rows", "rng.permutation(np.flatnonzero(labels == k))[:each]",
         "np.flatnonzero(labels == k)[rng.integers(3) :][:each]"),
    ],
}  # fmt: skip

MESSAGES = {
    "fingerprint": {
        "text of the arrays": "the last bit of one number",
    },
    "attach_head": {
        "no pooling": "yours is BatchNorm, Dense",
    },
    "features": {
        "encoder frozen": "the encoder was frozen",
        "float64": "must be float32, got float64",
    },
    "labelled_rows": {
        "labels sorted in place": "changed labels in place",
        "a mask": "got bool",
    },
}

RIGHT = {
    "fingerprint": [
        ("in the layer's own order", "for name in sorted(arrays)", "for name in arrays"),
        ("a hash", JOINED, "import hashlib\n    return hashlib.sha256(b''.join(parts)).digest()"),
        ("arrays alone", PARTS, "parts = [array.tobytes() for array in arrays.values()]"),
        ("one after the other", JOINED,
         "whole = b''\n    for part in parts:\n        whole += part\n    return whole"),
        ("flattened and joined", JOINED,
         "return np.concatenate([a.ravel() for a in arrays.values()]).tobytes()"),
    ],
    "attach_head": [
        ("frozen afterwards", CHAIN, "network = Sequential(encoder, head)\n    network[0].freeze()\n"
         "    return network"),
        ("the switch set", "encoder.freeze()", "encoder.frozen = True"),
        ("leaf by leaf", "encoder.freeze()", "for leaf in encoder.leaves():\n        leaf.freeze()"),
    ],
    "features": [
        ("filled in", "return np.concatenate(parts)",
         "whole = np.zeros((len(films), *parts[0].shape[1:]), parts[0].dtype)\n"
         "    for i, part in zip(starts, parts, strict=True):\n"
         "        whole[i : i + len(part)] = part\n"
         "    return whole"),
        ("stacked by vstack", "np.concatenate(parts)", "np.vstack(parts)"),
        ("split by NumPy", "parts = [encoder.forward(films[i : i + batch], keep=False) for i in starts]",
         "parts = [encoder.forward(some, False, False) for some in "
         "np.split(films, list(starts)[1:])]"),
    ],
    "labelled_rows": [
        ("choice without replacement", "rng.permutation(np.flatnonzero(labels == k))[:each]",
         "rng.choice(np.flatnonzero(labels == k), each, replace=False)"),
        ("shuffled in the end", "return np.concatenate(drawn)",
         "return rng.permutation(np.concatenate(drawn))"),
        ("sorted in the end", "return np.concatenate(drawn)", "return np.sort(np.concatenate(drawn))"),
        ("where in place of flatnonzero", "np.flatnonzero(labels == k)", "np.where(labels == k)[0]"),
        ("one shuffle for all", DRAWN,
         "order = rng.permutation(len(labels))\n"
         "    drawn = [order[labels[order] == k][:each] for k in classes]"),
    ],
}  # fmt: skip
