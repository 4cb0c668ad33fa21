"""The drawings that printed results are of: a change to one changes all of those, and must be meant.

Nothing else says how a drawing should come out, so these are sums of the drawings that the results were
made with; what concerns a drawing in the small is tested beside it. ``sums`` of new drawings go here.
"""

import numpy as np
import pytest

from data_prep.doppler import make_doppler
from data_prep.synthetic import make_synthetic

SUMS = """
A images 141.9 139.71 133.05 99.97 124.85 136.2 138.27 113.63 127.31 160.17 127.52 143.61
A masks 1008.9 804.7 1107.2 898.3 797.7 1090.7 1118.3 1025.3 1083.6 791.8 1155.3 1207.2
A opacities 0.0 166.5 0.0 222.7 157.5 0.0 0.0 0.0 474.3 0.0 307.9 229.0
B images 92.35 97.17 107.51 83.42 97.79 91.63 97.12 118.68 97.9 87.31 97.23 87.56
B masks 805.4 1094.5 711.7 914.3 892.8 840.1 1051.5 1221.0 1211.2 837.0 916.8 793.1
B opacities 0.0 213.1 0.0 161.6 191.2 0.0 0.0 0.0 305.1 0.0 142.1 213.7
C images 132.84 110.91 111.92 103.96 126.3 112.05 113.13 113.12 104.97 113.17 101.16 109.84
C masks 571.5 686.0 833.8 651.2 800.2 951.8 687.8 826.9 849.8 623.6 947.3 582.2
C opacities 480.5 659.3 0.0 219.7 764.9 0.0 80.1 0.0 841.2 0.0 215.8 135.8
doppler images 17.33 34.66 56.31 22.02 14.81 38.84 17.37 14.83 24.07 22.56 17.05 28.06
doppler masks 184.9 156.0 743.6 303.8 312.0 398.5 216.3 143.7 374.6 340.2 244.4 387.2
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
    rng = np.random.default_rng(8)
    if request.param == "doppler":
        return request.param, make_doppler(12, 64, rng, patients=12)
    return request.param, make_synthetic(12, 64, rng, hospital=request.param)


@pytest.mark.parametrize(("part", "off"), [("images", 0.015), ("masks", 0.6), ("opacities", 0.6)])
def test_drawings_are_those_of_the_printed_results(drawn, part, off):
    kind, made = drawn
    if hasattr(made, part):
        expected = np.array(SUMS[kind, part], float)
        np.testing.assert_allclose(sums(getattr(made, part)), expected, rtol=0, atol=off)
