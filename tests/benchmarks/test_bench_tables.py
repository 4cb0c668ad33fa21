"""The benchmark's tables and targets, of times that can be worked out by hand."""

import report
import tables
from cases import Case
from record import Record, Result

JAX = "jax"


def result(case, ums, torch, last, **peers):
    times = {"ums": ums, "torch": torch, "torch channels_last": last} | peers
    times = {name: [0.9 * t, t, 3 * t] for name, t in times.items()}
    return Result(case, times, dict.fromkeys(times, 100.0), dict.fromkeys(times, 50.0))


def step(side, ums, torch, last, batch=16, **peers):
    return result(Case("step", "autoencoder", side, batch), ums, torch, last, **peers)


def measured():
    networks = [
        step(256, 0.4, 2.0, 1.0, **{JAX: 0.2}),  # 0.4 of PyTorch, 2 of the best peer
        step(64, 0.05, 0.02, 0.05, **{JAX: 0.1}),  # 2.5 of both
        step(64, 0.016, 0.016, 0.02, batch=1),  # 1 of both
    ]
    ops = [result(Case("op", "ReLU, 16 channels", 128, 4), 1.2, 1.0, 2.0)]
    return {"networks": networks, "ops": ops}


def test_targets_are_set_beside_what_was_measured():
    found = {one.what: one for one in tables.targets(measured())}
    values = [round(one.value, 3) for one in found.values()]
    pixels = (0.05 / 64**2) / (0.4 / 256**2)
    assert values == [1.0, round(5 ** (1 / 3), 3), 2.5, 0.4, 1.2, round(pixels, 3)]
    worst_network, worst_op = (one for one in found.values() if one.where)
    assert worst_network.where == "autoencoder, training step, 64 px, batch 16"
    assert worst_op.where == "ReLU, 16 channels, 128 px, batch 4"


def test_target_is_met_only_if_it_was_in_every_run():
    slow = {"networks": [step(256, 0.6, 1.0, 1.0)]}
    fast = {"networks": [step(256, 0.4, 1.0, 1.0)]}
    met = [row.split("|")[-2].strip() for row in tables.summary([fast, fast])[4:]]
    assert met == ["yes"] * 4
    rows = tables.summary([fast, slow])[4:]
    assert [row.split("|")[-2].strip() for row in rows] == ["yes", "yes", "yes", "no"]
    assert "| 0.5 | **0.40** | **0.60** | no |" in rows[-1]


def test_runs_stand_side_by_side_at_every_size():
    text = tables.summary([measured(), measured()])
    assert "| autoencoder, training step | 0.40 / 0.40 | 2.50 / 2.50 | 1.00 / 1.00 |" in text
    assert "| autoencoder, training step | 2.00 / 2.00 | 2.50 / 2.50 | 1.00 / 1.00 |" in text


def test_each_peer_is_compared_where_it_was_measured():
    rows = tables.each_peer(measured()["networks"])
    assert "| PyTorch | **0.79** | 0.20 to 2.50 | 2 of 3 |" in rows  # (0.2 x 2.5 x 1) ** (1 / 3)
    assert "| channels_last | **0.68** | 0.40 to 1.00 | 0 of 3 |" in rows
    assert "| Keras on JAX | **1.00** | 0.50 to 2.00 | 1 of 2 |" in rows


def test_page_is_written_again_from_the_record(tmp_path):
    record = Record(tmp_path)
    record.tell({"processor": "one", "rate": 1e9})
    for table, results in measured().items():
        for one in results:
            record.add(table, one)
    record.tell({"rate": 2e12})
    page = report.write(tmp_path, Record(tmp_path), Record(tmp_path))
    assert "- processor: one\n- large matrix product, GFLOP/s: 2,000\n" in page
    assert "| run 1 | run 2 | met |" in page and "## Run 2\n" in page
    assert "| autoencoder, training step | 64 | 1 | 16.0 | 16.0 | 20.0 |  | **1.00** |" in page
    assert "| ReLU, 16 channels | 1.20 |" in page
    assert (tmp_path / "bench.md").read_text(encoding="utf-8") == page
