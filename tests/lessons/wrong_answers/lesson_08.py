"""What students get wrong in lesson 8: (name, a piece of the solution, what stands in its place)."""

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
    ],
}  # fmt: skip
