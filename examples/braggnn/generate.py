"""Simulated 11x11 patches of X-ray Bragg peaks with known sub-pixel centres.

A patch is what a detector pipeline cuts out around a bright spot: one 2-D
pseudo-Voigt peak, background, noise, and sometimes the flank of a neighbour.
Coordinates are patch pixels, (column, row), with pixel centres at integers.

    python generate.py          # prints the ranges of a few thousand patches
"""

import numpy as np

SIDE = 11                       # patch edge, pixels
SCALE = 1 / SIDE                # network output = centre in pixels * SCALE

MAX_OFFSET = 1.5                # |true centre - patch middle| per axis, pixels
AMPLITUDE = (120.0, 15_000.0)   # peak height, counts (log-uniform)
HALF_WIDTH = (0.8, 1.9)         # half width at half maximum per axis, pixels
NEIGHBOUR_RATE = 0.25           # share of patches with a second peak
NEIGHBOUR_DISTANCE = (3.0, 7.0) # pixels from the first peak
NEIGHBOUR_HEIGHT = (0.1, 0.7)   # relative to the first peak
GAIN = 2.0                      # counts per photon
READ_NOISE = 6.0                # counts, standard deviation
DARK_LEVEL = 200.0              # counts
THRESHOLD = 60.0                # counts above dark; weaker pixels become 0
FULL_SCALE = 2**14 - 1          # counts, the converter saturates here


def pseudo_voigt(col, row, height, width_u, width_v, angle, eta):
    """2-D pseudo-Voigt at offsets (col, row) from its centre, in pixels.

    width_u, width_v: half widths at half maximum along the rotated axes, pixels;
    angle: radians; eta: Lorentzian share, 0 (Gaussian) to 1. All broadcast.
    """
    u = (col * np.cos(angle) + row * np.sin(angle)) / width_u
    v = (row * np.cos(angle) - col * np.sin(angle)) / width_v
    r2 = u * u + v * v
    return height * (eta / (1 + r2) + (1 - eta) * np.exp(-np.log(2) * r2))


def normalise(counts):
    """Counts [N, 11, 11] -> network input [N, 1, 11, 11] float32 in [0, 1]."""
    low = counts.min(axis=(1, 2), keepdims=True)
    span = np.maximum(counts.max(axis=(1, 2), keepdims=True) - low, 1)
    return ((counts - low) / span).astype(np.float32)[:, None]


def _random_peak(rng, n, centre, height):
    """Expected counts [n, 11, 11] of one random peak per patch.

    centre: [n, 2] (column, row) in pixels; height: [n] in counts.
    """
    row, col = np.mgrid[:SIDE, :SIDE]
    each = lambda values: values[:, None, None]
    return pseudo_voigt(
        col - each(centre[:, 0]),
        row - each(centre[:, 1]),
        each(height),
        each(rng.uniform(*HALF_WIDTH, n)),
        each(rng.uniform(*HALF_WIDTH, n)),
        each(rng.uniform(0, np.pi, n)),
        each(rng.uniform(0, 1, n)),
    )


def _background(rng, n):
    """Expected background counts [n, 11, 11]: a gently tilted plane."""
    row, col = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5
    level = rng.uniform(5, 50, (n, 1, 1))
    tilt_col, tilt_row = rng.uniform(-0.5, 0.5, (2, n, 1, 1))
    return level * (1 + tilt_col * col + tilt_row * row)


def make_patches(n, seed):
    """n patches from a fixed seed, as a dict of arrays:

    patch      float32 [n, 1, 11, 11]  (counts - min) / (max - min)
    target     float32 [n, 2]          true centre (column, row) in pixels / 11
    amplitude  float32 [n]             height of the peak, counts
    neighbour  bool    [n]             a second peak overlaps
    """
    rng = np.random.default_rng(seed)
    centre = (SIDE - 1) / 2 + rng.uniform(-MAX_OFFSET, MAX_OFFSET, (n, 2))
    height = np.exp(rng.uniform(*np.log(AMPLITUDE), n))
    expected = _background(rng, n) + _random_peak(rng, n, centre, height)

    neighbour = rng.random(n) < NEIGHBOUR_RATE
    direction = rng.uniform(0, 2 * np.pi, n)
    distance = rng.uniform(*NEIGHBOUR_DISTANCE, n)
    shift = np.stack([np.cos(direction), np.sin(direction)], axis=1) * distance[:, None]
    weaker = neighbour * height * rng.uniform(*NEIGHBOUR_HEIGHT, n)
    expected += _random_peak(rng, n, centre + shift, weaker)

    signal = GAIN * rng.poisson(expected / GAIN) + rng.normal(0, READ_NOISE, expected.shape)
    raw = np.clip(np.rint(DARK_LEVEL + signal), 0, FULL_SCALE)
    counts = raw - DARK_LEVEL
    counts[counts < THRESHOLD] = 0
    return {
        "patch": normalise(counts),
        "target": (centre * SCALE).astype(np.float32),
        "amplitude": height.astype(np.float32),
        "neighbour": neighbour,
    }


if __name__ == "__main__":
    for name, values in make_patches(4096, seed=0).items():
        print(f"{name:10} {str(values.dtype):8} {values.shape} {values.min():.4g} .. {values.max():.4g}")
