"""The drawings that printed results are of: a change to one changes all of those, and must be meant.

Nothing else says how a drawing should come out, so these are sums of the drawings that the results were
made with; what concerns a drawing in the small is tested beside it. ``sums`` of new drawings go here.
Every kind of disease, flow and flaw is among them. Without the newer instructions of the processor, in
NumPy and OpenCV, the sums of images differ by less than 0.0005, and those of masks not at all.
"""

import numpy as np
import pytest

from data_prep.doppler import make_doppler
from data_prep.doppler_flow import draw_patient
from data_prep.doppler_screen import MACHINES, draw_layout
from data_prep.doppler_spectrum import draw_texture
from data_prep.synthetic import make_synthetic

SUMS = """
A images 137.955 157.166 135.324 160.565 130.950 172.593 115.057 114.192 137.058 133.905 104.793 144.962
A images 154.038 119.625 124.618 151.667 107.832 134.119 124.779 134.267 130.358 144.131 153.147 102.846
A masks 991.1 869.7 1026.6 1042.4 858.0 957.6 980.7 697.0 684.0 1137.0 1037.9 1144.0
A masks 1118.7 1507.6 1164.9 1019.3 690.7 757.9 1064.3 881.0 824.5 1075.7 827.2 1042.2
A opacities 112.9 0.0 0.0 0.0 200.4 257.3 393.3 0.0 0.0 370.2 172.0 370.6
A opacities 318.6 0.0 0.0 0.0 0.0 195.3 0.0 106.1 0.0 200.5 68.0 0.0
B images 104.310 103.258 96.338 89.753 101.418 104.712 92.610 97.213 114.847 119.616 103.456 70.796
B images 93.885 116.161 93.440 122.122 95.572 98.833 115.125 110.897 105.492 78.898 123.745 93.969
B masks 1265.3 799.8 908.3 1006.4 649.1 1069.4 800.3 828.5 943.2 563.9 1110.7 910.9
B masks 819.4 804.4 1025.4 848.5 876.5 858.4 955.0 896.2 1069.7 692.5 1157.5 914.9
B opacities 333.6 0.0 0.0 0.0 136.0 123.9 83.0 0.0 0.0 165.6 216.6 220.7
B opacities 310.2 0.0 0.0 0.0 0.0 192.4 0.0 119.9 0.0 191.8 139.5 0.0
C images 132.156 139.204 99.856 106.345 113.701 117.198 107.676 116.006 117.404 120.915 116.174 115.771
C images 111.546 110.234 100.653 117.117 113.338 94.546 115.285 105.688 108.337 98.395 110.882 105.829
C masks 832.1 604.6 1057.5 549.7 625.7 599.5 776.9 829.0 795.4 647.8 731.4 546.0
C masks 866.6 873.5 1005.4 906.7 744.9 699.0 801.1 646.6 613.7 715.6 681.5 729.8
C opacities 221.4 593.1 0.0 128.5 252.7 589.6 228.4 0.0 0.0 636.2 705.8 546.0
C opacities 271.6 0.0 947.1 0.0 237.1 673.9 0.0 240.1 0.0 713.3 324.9 0.0
screens images 33.910 16.215 22.693 28.634 12.384 29.615 10.237 19.663 34.529 20.827 26.045 19.428
screens images 23.515 45.994 26.938 36.326 37.410 43.057 63.992 25.450 8.182 10.836 19.917 28.879
screens masks 234.5 156.5 234.2 368.5 190.9 256.9 125.5 236.3 431.4 346.2 136.7 269.3
screens masks 579.7 564.2 316.7 245.6 337.8 344.8 230.7 292.4 212.5 120.3 208.6 411.9
large images 27.395 50.806 24.374 11.937 15.059 42.103 16.992 22.668 32.934 15.825 26.312 8.557
large images 25.758 15.242 41.313 40.305 33.030 37.987 60.972 18.619 21.965 37.953 26.859 74.220
large masks 4149.7 7469.5 4007.3 2808.3 5538.9 4675.2 3054.5 5343.3 5871.4 4045.8 6732.0 2007.3
large masks 4745.3 2699.7 3972.4 7861.2 3153.3 5914.1 3797.7 3503.4 4663.2 7639.6 4784.7 1957.5
"""


def by_kind_and_part(text):
    """(kind, part) -> its numbers, of all its lines."""
    found = {}
    for line in text.strip().splitlines():
        kind, part, *numbers = line.split()
        found.setdefault((kind, part), []).extend(map(float, numbers))
    return found


def sums(images):
    """Sums of each image that give every place a weight of its own."""
    flat = images.reshape(len(images), -1).astype(float)
    places = np.arange(flat.shape[1])
    weights = (1 + 0.5 * np.cos(places / 7)) * (0.5 + places / len(places))
    return flat @ weights / (len(places) if images.max() > 1 else 1)


def draw(kind):
    """24 drawings; those of large screens have lines and letters of several pixels."""
    if kind == "screens":
        return make_doppler(24, 64, np.random.default_rng(8), patients=24)
    if kind == "large":
        return make_doppler(24, 256, np.random.default_rng(9), patients=24)
    return make_synthetic(24, 64, np.random.default_rng(8), hospital=kind)


@pytest.fixture(scope="module", params=["A", "B", "C", "screens", "large"])
def drawn(request):
    return request.param, draw(request.param)


@pytest.mark.parametrize(("part", "off"), [("images", 0.005), ("masks", 0.6), ("opacities", 0.6)])
def test_drawings_are_those_of_the_printed_results(drawn, part, off):
    kind, made = drawn
    if hasattr(made, part):
        expected = by_kind_and_part(SUMS)[kind, part]
        np.testing.assert_allclose(sums(getattr(made, part)), expected, rtol=0, atol=off)


def drawn_at_random(what):
    """The mean of each number over 400 draws."""
    made = []
    for i in range(400):
        rng = np.random.default_rng(i)
        if what == "patient":
            drawn = draw_patient(rng, len(MACHINES))
        elif what == "layout":
            drawn = draw_layout(MACHINES[i % len(MACHINES)], rng)[1:]
        else:
            drawn = draw_texture(i % 3, int(what == "good"), rng)
        made.append(np.hstack(drawn))
    return np.mean(made, axis=0)


MEANS = """
patient numbers 1.51500 0.89182 0.03669 0.08750 0.36585 0.07736 0.16033 0.90712 0.75555 0.18526
patient numbers 0.90563 0.63518 0.91860 0.59219 0.92627 0.12261 -0.23037 1.00000 -0.33260 0.31664
layout numbers 0.03975 0.20609 0.93793 0.94578 0.30750 0.24500 0.44609
good numbers 0.21447 0.30302 0.00791 0.05667 64.46250 -16.30910 -30.03978 -12.34420 0.15572 0.01235
good numbers -36.82238 -2.48429 3.50439 32.31141 1.04311 0.00202 0.01838
poor numbers 0.29316 0.30302 0.01283 0.05667 64.46250 -16.30910 -26.05637 -12.34420 0.15572 0.01235
poor numbers -29.16184 -6.64478 0.50694 29.52865 1.04311 0.21946 0.16998
"""


@pytest.mark.parametrize("what", ["patient", "layout", "good", "poor"])
def test_numbers_drawn_for_screens_are_those_of_the_printed_results(what):
    expected = by_kind_and_part(MEANS)[what, "numbers"]
    np.testing.assert_allclose(drawn_at_random(what), expected, rtol=0, atol=2e-5)


def test_the_largest_wave_of_every_heart_is_1():
    for seed in range(400):
        patient = draw_patient(np.random.default_rng(seed), len(MACHINES))
        waves = patient.muscle_early, patient.muscle_late, patient.muscle_systole
        assert max(waves) == 1 and max(np.abs(patient.qrs)) == 1
        assert patient.fibrillation or max(patient.early, patient.late) == 1
        assert (patient.late == patient.muscle_late == patient.qrs[0] == 0) == patient.fibrillation
