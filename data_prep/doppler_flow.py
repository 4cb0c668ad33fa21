"""A synthetic heart seen by Doppler: beats, and how fast blood or muscle moves at each moment.

Velocities are fractions of the highest one of the flow examined, positive in the forward direction of
that flow: towards the probe for mitral inflow and for the systolic wave of the mitral annulus, away
from it for the jet of tricuspid regurgitation.
"""

from typing import NamedTuple

import numpy as np

FLOWS = ("MV", "MA", "TR")
"""The values 0, 1 and 2 of the label "flow": mitral inflow, mitral annulus, tricuspid regurgitation."""


class Patient(NamedTuple):
    """What all images of one patient share: times in seconds, wave heights as fractions of the flow."""

    machine: int
    period: float  # from one heart beat to the next
    uneven: float  # its relative deviation from beat to beat
    fibrillation: bool  # no wave of the atria
    systole: float  # from the R of the electrocardiogram to the closing of the aortic valve
    relaxation: float  # from there to mitral inflow
    conduction: float  # from the atria's wave to the R
    early: float  # E as a fraction of the larger of E and A
    late: float
    deceleration: float  # of E
    muscle_early: float  # e' and a' as fractions of the largest of S', e' and a'
    muscle_late: float
    muscle_systole: float
    dome: float  # 0.35: the top of the jet is flat; 1: it is pointed
    lean: float  # below 1 its peak is early, above 1 late
    qrs: tuple[float, ...]  # heights of P, Q, R, S and T


class Trace(NamedTuple):
    """Velocities over N moments, (N,) float32 from 0.

    Attributes:
        forward: The flow examined, in its forward direction.
        backward: The flow examined, in the other direction.
        other_forward: What else the beam meets, likewise.
        other_backward: What else the beam meets, likewise.
        clicks: Strength of the sounds of the valves.
        ecg: Electrocardiogram, about -1 to 1.
    """

    forward: np.ndarray
    backward: np.ndarray
    other_forward: np.ndarray
    other_backward: np.ndarray
    clicks: np.ndarray
    ecg: np.ndarray


def draw_patient(rng: np.random.Generator, machines: int) -> Patient:
    """Draw a patient who is examined with one of ``machines`` machines."""
    fibrillation = rng.random() < 0.1
    period = 60 / np.clip(rng.normal(69, 12), 46, 110)
    ratio = np.exp(rng.normal(0.08, 0.4))
    early, late = np.array([ratio, 1]) / max(ratio, 1)
    muscle = rng.uniform([0.65, 0.35, 0.7], [1.2, 1.0, 1.15])
    muscle = muscle / (muscle.max() if not fibrillation else max(muscle[0], muscle[2]))
    signs = np.array([0.12, -0.12, 1.0, -0.3, 0.28])
    qrs = signs * rng.uniform(0.5, 1.4, 5) * (1, rng.choice([0.5, 3]), 1, 1, 1)
    if fibrillation:
        qrs[0] = 0
    return Patient(
        machine=int(rng.integers(machines)),
        period=float(period),
        uneven=0.16 if fibrillation else float(rng.uniform(0.01, 0.04)),
        fibrillation=fibrillation,
        systole=float((0.25 + 0.13 * period) * rng.uniform(0.93, 1.07)),
        relaxation=float(rng.uniform(0.05, 0.10)),
        conduction=float(rng.uniform(0.14, 0.18)),
        early=float(early),
        late=0.0 if fibrillation else float(late),
        deceleration=float(rng.uniform(0.13, 0.24)),
        muscle_early=float(muscle[0]),
        muscle_late=0.0 if fibrillation else float(muscle[1]),
        muscle_systole=float(muscle[2]),
        dome=float(rng.uniform(0.35, 0.85)),
        lean=float(rng.uniform(0.7, 1.15)),
        qrs=tuple((qrs / np.abs(qrs).max()).tolist()),
    )


def draw_trace(
    flow: int, patient: Patient, seconds: float, moments: int, rng: np.random.Generator
) -> Trace:
    """Draw the trace of ``flow`` (0, 1 or 2) over ``seconds``, at ``moments`` moments.

    The largest value of ``forward`` and ``backward`` is about 1.
    """
    t = np.linspace(0, seconds, moments, dtype=np.float32)
    rows = np.zeros((6, moments), np.float32)
    breath, depth = rng.uniform(0, 6.3), rng.uniform(0, 0.1)
    other = rng.uniform([0.35, 0.1], [1.1, 0.4])
    period = patient.period * rng.uniform(0.94, 1.06)
    start = -rng.uniform(1, 2) * period
    while start < seconds:
        length = period * max(1 + patient.uneven * rng.normal(), 0.6)
        size = 1 + depth * np.sin(1.6 * start + breath) + 0.04 * rng.normal()
        _MAKERS[flow](t - start, length, size, patient, other, rows, rng)
        _heart_sounds(t - start, length, patient, rows[4], rng)
        rows[5] += _electrocardiogram(t - start, length, patient)
        start += length
    rows[:2] /= max(rows[:2].max(), 0.5)
    wander = rng.normal(0, 0.07, (2, 1)) * np.sin(rng.uniform(1, 5, (2, 1)) * t + breath)
    rows[5] += wander.sum(axis=0) + rng.uniform(0, 0.05) * rng.normal(size=moments)
    return Trace(*rows)


def _wave(t, start, rise, fall, sharp=1.0):
    """Return a wave (N,) from 0, up within ``rise``, down within ``fall``; ``sharp`` thins its top."""
    up = np.clip((t - start) / rise, 0, 1)
    down = np.clip((t - start - rise) / fall, 0, 1)
    return np.maximum(np.sin(np.pi / 2 * up) * np.cos(np.pi / 2 * down), 0) ** sharp


def _raise(row, values):
    np.maximum(row, values, out=row)


def _inflow(t, length, patient, rng):
    """Return E, A and the slow flow between them, (N,)."""
    opening = patient.systole + patient.relaxation
    rise, fall = rng.uniform(0.06, 0.09), patient.deceleration * rng.uniform(0.9, 1.1)
    early = patient.early * _wave(t, opening, rise, fall, 1.3)
    end = max(length - patient.conduction + 0.13, opening + 0.16)
    late = patient.late * _wave(t, end - 0.15, 0.07, 0.08, 1.3)
    between = 0.15 * patient.early * _wave(t, opening, 0.05, max(end - opening - 0.1, 0.1), 0.4)
    return np.maximum(np.maximum(early, late), between)


def _mitral_inflow(t, length, size, patient, other, rows, rng):
    _raise(rows[0], size * _inflow(t, length, patient, rng))
    ejection = patient.systole - 0.06
    outflow = _wave(t, 0.06, rng.uniform(0.25, 0.45) * ejection, 0.6 * ejection, 1.0)
    _raise(rows[3], other[0] * outflow)


def _mitral_annulus(t, length, size, patient, other, rows, rng):
    ejection = patient.systole - 0.08
    systolic = _wave(t, 0.08, 0.3 * ejection, 0.75 * ejection, rng.uniform(0.9, 1.3))
    contraction = rng.uniform(0.1, 0.75) * _wave(t, 0.035, 0.025, 0.03)
    _raise(rows[0], size * np.maximum(patient.muscle_systole * systolic, contraction))
    opening = patient.systole + patient.relaxation - 0.02
    early = patient.muscle_early * _wave(t, opening, 0.055, 0.095, 1.2)
    end = max(length - patient.conduction + 0.13, opening + 0.13)
    late = patient.muscle_late * _wave(t, end - 0.12, 0.055, 0.065, 1.2)
    _raise(rows[1], size * np.maximum(early, late))
    _raise(rows[2], other[1] * _wave(t, opening + 0.12, 0.05, 0.08))


def _tricuspid_jet(t, length, size, patient, other, rows, rng):
    end = patient.systole + 0.8 * patient.relaxation
    s = np.clip((t - 0.02) / (end - 0.02), 0, 1) ** patient.lean
    _raise(rows[0], size * np.maximum(np.sin(np.pi * s), 0) ** patient.dome)
    inflow = _inflow(t - 0.02, length, patient, rng)
    _raise(rows[3], 0.4 * other[0] * inflow)
    _raise(rows[2], other[1] * inflow)


_MAKERS = (_mitral_inflow, _mitral_annulus, _tricuspid_jet)


def _heart_sounds(t, length, patient, row, rng):
    """Add the valves that open and close: short, and of all velocities."""
    for at in (0.03, patient.systole, patient.systole + patient.relaxation):
        strength = max(rng.normal(0, 0.4), 0)
        row += strength * np.exp(-(((t - at - 0.01 * rng.normal()) / 0.008) ** 2))


def _electrocardiogram(t, length, patient):
    """Return P, Q, R, S and T of one beat whose R is at 0, (N,)."""
    at = (-patient.conduction, -0.03, 0.0, 0.03, 0.8 * patient.systole)
    width = (0.025, 0.010, 0.011, 0.012, 0.045)
    waves = zip(patient.qrs, at, width, strict=True)
    return sum(size * np.exp(-0.5 * ((t - a) / w) ** 2) for size, a, w in waves)
