"""``make check-gpu``, as far as it can be seen without a GPU."""

import sys

import check_gpu
import gpu_parts
import pytest
import standin

from ums import backend
from ums.backend import Device
from ums.layers import Conv2D

STAND_IN = Device(standin, "stand-in")


def checked(tmp_path, *arguments):
    """The exit status, and the page."""
    status = check_gpu.main(["--device", "stand-in", "--out", str(tmp_path), *arguments])
    return status, (tmp_path / "check.md").read_text(encoding="utf-8")


def test_parts_run_on_the_stand_in(tmp_path):
    status, page = checked(tmp_path, "--only", "profile", "source", "--minutes", "2")
    assert status == 0 and page.count("passed") == 2
    assert "no speed" in page and "launches" in page
    assert "| Poisson" in page  # Table 2 of the source


def test_part_that_fails_or_takes_too_long_is_named_and_the_others_follow(tmp_path, monkeypatch):
    programs = {
        "agreement": "print('one'); 1 / 0",
        "tests": "import time; print('two', flush=True); time.sleep(60)",
        "source": "print('three')",
    }
    monkeypatch.setattr(
        check_gpu, "command", lambda part, *_: [sys.executable, "-c", programs[part]]
    )
    monkeypatch.setattr(check_gpu, "LEAST", 0)
    monkeypatch.setitem(check_gpu.SHARES, "tests", 0.02)
    status, page = checked(tmp_path, "--only", *programs)
    assert status == 1
    headings = [line.split(",")[0] for line in page.splitlines() if line.startswith("## ")]
    assert headings == ["## agreement: failed", "## tests: out of time", "## source: passed"]
    assert all(word in page for word in ("one", "ZeroDivisionError", "two", "three"))


def test_part_that_needs_what_is_not_installed_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(check_gpu.importlib.util, "find_spec", lambda name: None)
    status, page = checked(tmp_path, "--only", "benchmark")
    assert status == 1 and "## benchmark: left out" in page and "PyTorch is not installed" in page


@pytest.mark.parametrize("scale", [1, 1.001])
def test_agreement_notices_wrong_gradients(scale, monkeypatch, capsys):
    network = "separate classifier"
    monkeypatch.setattr(gpu_parts, "NETWORKS", {network: gpu_parts.NETWORKS[network]})
    monkeypatch.setattr(gpu_parts, "STEPS", 1)
    of = Conv2D._grad_weights

    def grad_weights(dy, cache):
        return tuple(scale * g if isinstance(dy, standin.ndarray) else g for g in of(dy, cache))

    monkeypatch.setattr(Conv2D, "_grad_weights", staticmethod(grad_weights))
    assert gpu_parts.agreement(STAND_IN, 0, None) == (scale == 1)
    assert ("WRONG" in capsys.readouterr().out) == (scale != 1)


def test_no_gpu_fails_every_part_and_says_why(monkeypatch):
    def absent(wanted):
        raise RuntimeError("no working GPU: none")

    monkeypatch.setattr(backend, "choose_device", absent)
    with pytest.raises(RuntimeError, match="no working GPU"):
        gpu_parts.choose("gpu")
