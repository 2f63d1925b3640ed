"""The same through third-party software: maxima by SciPy, centres by a least-squares fit and by the centre of mass.

    python reference.py [peaks.csv]      # of onnx-hls run, to compare with

Prints how many peaks each finds in scan.h5, the mean distance to the true centres of those within 2 pixels, and the frames per second
of this program. Needs numpy, scipy, h5py and hdf5plugin.
"""

import sys
import time
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401, registers the filters
import numpy as np
from scipy import ndimage, optimize

HERE = Path(__file__).parent
THRESHOLD, PEAK_MIN, HALF = 6, 30, 5


def corrected(raw, mask):
    v = np.where(mask == 1, 0, raw.astype(np.int64))
    return np.where(v < THRESHOLD, 0, v)


def maxima(v):
    """Pixels that are the largest of 5 x 5, away from the edge; of a plateau the first."""
    top = (v == ndimage.maximum_filter(v, 5)) & (v >= PEAK_MIN)
    top[:HALF] = top[-HALF:] = top[:, :HALF] = top[:, -HALF:] = False
    rows, columns = np.nonzero(top)
    kept = []
    for r, c in zip(rows, columns):
        window = v[r - 2 : r + 3, c - 2 : c + 3].ravel()
        if np.flatnonzero(window == v[r, c])[0] == 12:
            kept.append((r, c))
    return kept


Y, X = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]


def profile(p):
    height, row, column, w1, w2, angle, eta, base = p
    u = (X - column) * np.cos(angle) + (Y - row) * np.sin(angle)
    t = (Y - row) * np.cos(angle) - (X - column) * np.sin(angle)
    d = (u / w1) ** 2 + (t / w2) ** 2
    return base + height * (eta / (1 + d) + (1 - eta) * np.exp(-np.log(2) * d))


def fit(patch):
    weight = 1 / np.sqrt(np.maximum(patch, 1))
    start = [patch.max(), 0, 0, 1.2, 1.2, 0.1, 0.4, 0]
    low, high = [0, -2, -2, 0.4, 0.4, -4, 0, -5], [1e6, 2, 2, 5, 5, 4, 1, 1e5]
    found = optimize.least_squares(lambda p: ((profile(p) - patch) * weight).ravel(), start, bounds=(low, high))
    return found.x[1], found.x[2]


def centre_of_mass(patch):
    return (patch * Y).sum() / patch.sum(), (patch * X).sum() / patch.sum()


def report(name, peaks, truth, seconds=None, frames=0):
    distances = []
    for f, r, c in peaks:
        near = truth[truth[:, 0] == f]
        distances.append(np.hypot(near[:, 1] - r, near[:, 2] - c).min())
    near = [d for d in distances if d <= 2]
    rate = "" if seconds is None else f", {frames / seconds:.2f} frames/s"
    print(f"{name:28} {len(peaks):5} peaks, {np.mean(near):.4f} px on average for {len(near)} within 2 px{rate}")


def main():
    mask = np.load(HERE / "mask.npz")["mask"]
    truth = np.loadtxt(HERE / "truth.csv", delimiter=",", skiprows=1)
    with h5py.File(HERE / "scan.h5") as h:
        frames = h["entry/data/data"][()]
    for name, locate in ("centre of mass", centre_of_mass), ("least-squares pseudo-Voigt", fit):
        started, peaks = time.perf_counter(), []
        for f, raw in enumerate(frames):
            v = corrected(raw, mask)
            for r, c in maxima(v):
                dr, dc = locate(v[r - HALF : r + HALF + 1, c - HALF : c + HALF + 1].astype(float))
                peaks.append((f, r + dr, c + dc))
        report(name, peaks, truth, time.perf_counter() - started, len(frames))
    for path in sys.argv[1:]:
        table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1, 2))
        report(Path(path).name, table, truth)


if __name__ == "__main__":
    main()
