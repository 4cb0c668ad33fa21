"""The drawings that printed results are of: a change to one changes all of those, and must be meant.

Nothing else says how a drawing should come out, so these are sums of the drawings that the results were
made with; what concerns a drawing in the small is tested beside it. ``sums`` of new drawings go here.
"""

import numpy as np
import pytest

from data_prep.doppler import make_doppler
from data_prep.synthetic import make_synthetic

SUMS = """
A images 133.11 113.34 123.91 132.02 168.95 144.38 154.15 135.37 124.31 125.46 149.57 133.51
A masks 871.7 921.2 1167.7 951.5 1017.4 895.6 729.4 719.7 820.4 695.9 999.0 1069.4
A opacities 265.1 0.0 0.0 168.9 119.4 138.8 0.0 0.0 254.0 231.0 0.0 0.0
B images 116.77 103.08 92.53 88.8 81.08 130.04 100.5 106.07 93.34 88.26 98.81 99.04
B masks 854.4 807.0 1020.1 1115.7 1000.9 722.6 920.6 797.1 853.4 947.8 971.7 1244.6
B opacities 127.2 0.0 0.0 381.6 283.0 137.7 0.0 0.0 207.6 148.0 0.0 0.0
C images 123.32 112.82 106.84 104.86 134.49 103.4 125.56 104.87 101.92 120.2 101.4 93.19
C masks 757.9 947.0 598.6 881.6 997.8 877.4 580.5 1039.4 978.2 687.6 857.0 979.9
C opacities 214.6 388.1 0.0 384.4 933.6 748.4 0.0 905.8 217.7 582.4 0.0 0.0
doppler images 38.98 34.86 60.66 27.45 21.51 35.3 42.43 45.38 14.62 28.01 27.07 59.97
doppler masks 519.6 579.9 141.3 331.6 220.5 375.6 582.9 572.5 470.9 233.1 292.6 864.7
"""
SUMS = {tuple(line.split()[:2]): line.split()[2:] for line in SUMS.strip().splitlines()}


def sums(images):
    """Sums of each image that give every place a weight of its own."""
    flat = images.reshape(len(images), -1).astype(float)
    places = np.arange(flat.shape[1])
    weights = (1 + 0.5 * np.cos(places / 7)) * (0.5 + places / len(places))
    return flat @ weights / (len(places) if images.max() > 1 else 1)


@pytest.fixture(scope="module", params=["A", "B", "C", "doppler"])
def drawn(request):
    rng = np.random.default_rng(7)
    if request.param == "doppler":
        return request.param, make_doppler(12, 64, rng, patients=12)
    return request.param, make_synthetic(12, 64, rng, hospital=request.param)


@pytest.mark.parametrize(("part", "off"), [("images", 0.015), ("masks", 0.6), ("opacities", 0.6)])
def test_drawings_are_those_of_the_printed_results(drawn, part, off):
    kind, made = drawn
    if hasattr(made, part):
        expected = np.array(SUMS[kind, part], float)
        np.testing.assert_allclose(sums(getattr(made, part)), expected, rtol=0, atol=off)
