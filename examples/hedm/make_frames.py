"""Simulate frames of a photon-counting detector in a far-field diffraction experiment, with the truth.

    python make_frames.py                               # scan.h5, mask.npz and truth.csv of this folder
    python make_frames.py --rows 4362 --columns 4148 --frames 20 --peaks 200 -o big

Each frame has spots on Debye-Scherrer rings, elliptic pseudo-Voigt profiles stretched along the ring, amplitudes over
two decades, a background that falls off with the radius, Poisson noise, module gaps and dead pixels that are masked. scan.h5 is written
as EIGER detectors write: 16-bit frames at /entry/data/data, one chunk a frame, bitshuffle with LZ4.

Needs numpy, h5py and hdf5plugin.
"""

import argparse
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

HALF = 20  # pixels around a centre into which a spot is drawn
MARGIN = 7  # pixels from the edge of the frame to the outermost centre


def spot(rng, row, column, centre):
    """Counts of one spot on the pixels around it: (first row, first column, expected counts)."""
    amplitude = 30 * 10 ** rng.uniform(0.4, 2.0)
    along, across = rng.uniform(0.9, 1.9), rng.uniform(0.7, 1.2)  # half widths at half maximum
    eta = rng.uniform(0.1, 0.7)
    top, left = int(round(row)) - HALF, int(round(column)) - HALF
    y, x = np.mgrid[top : top + 2 * HALF + 1, left : left + 2 * HALF + 1]
    phi = np.arctan2(row - centre[0], column - centre[1])
    radial = (x - column) * np.cos(phi) + (y - row) * np.sin(phi)
    tangential = -(x - column) * np.sin(phi) + (y - row) * np.cos(phi)
    d = (radial / across) ** 2 + (tangential / along) ** 2
    return top, left, amplitude * (eta / (1 + d) + (1 - eta) * np.exp(-np.log(2) * d))


def place(rng, rows, columns, centre, count):
    """Centres on a few rings, no two of them closer than 7 pixels."""
    reach = min(rows, columns) / 2
    rings = reach * np.sqrt(np.array([0.12, 0.24, 0.33, 0.45, 0.58, 0.7, 0.86]))
    centres = []
    while len(centres) < count:
        radius, phi = rng.choice(rings) + rng.normal(0, 1.5), rng.uniform(0, 2 * np.pi)
        row, column = centre[0] + radius * np.sin(phi), centre[1] + radius * np.cos(phi)
        inside = MARGIN < row < rows - MARGIN and MARGIN < column < columns - MARGIN
        if inside and all(np.hypot(row - r, column - c) > 7 for r, c in centres):
            centres.append((row, column))
    return centres


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=192)
    p.add_argument("--columns", type=int, default=192)
    p.add_argument("--frames", type=int, default=4)
    p.add_argument("--peaks", type=int, default=24, help="per frame, on average")
    p.add_argument("--seed", type=int, default=2)
    p.add_argument("-o", "--out", type=Path, default=Path(__file__).parent)
    a = p.parse_args()
    rng = np.random.default_rng(a.seed)
    shape = (a.rows, a.columns)
    centre = (a.rows * 0.495, a.columns * 0.51)
    y, x = np.mgrid[: a.rows, : a.columns]
    background = 0.02 + 0.25 * np.exp(-np.hypot(y - centre[0], x - centre[1]) / (0.15 * a.columns))

    mask = np.zeros(shape, np.uint8)
    mask[a.rows // 2 - 2 : a.rows // 2 + 2, :] = 1  # a gap between modules
    mask[rng.integers(0, a.rows, a.rows // 32), rng.integers(0, a.columns, a.rows // 32)] = 1  # dead pixels

    frames, truth = np.empty((a.frames, *shape), np.uint16), []
    for f in range(a.frames):
        expected = background.copy()
        # A scan has frames with few peaks and frames with many.
        for row, column in place(rng, *shape, centre, rng.poisson(a.peaks * (0.4 if f % 2 else 1.6))):
            top, left, counts = spot(rng, row, column, centre)
            first, skip = (max(0, top), max(0, left)), (max(0, -top), max(0, -left))
            counts = counts[skip[0] : a.rows - top, skip[1] : a.columns - left]
            expected[first[0] : first[0] + counts.shape[0], first[1] : first[1] + counts.shape[1]] += counts
            truth.append((f, row, column))
        frames[f] = rng.poisson(expected).clip(0, 65534)
        frames[f][mask == 1] = 65535  # what the detector writes where it sees nothing

    a.out.mkdir(exist_ok=True)
    np.savez_compressed(a.out / "mask.npz", mask=mask)
    with h5py.File(a.out / "scan.h5", "w") as h:
        h.create_dataset("entry/data/data", data=frames, chunks=(1, *shape), **hdf5plugin.Bitshuffle(nelems=0, cname="lz4"))
    lines = "".join(f"{f},{row:.4f},{column:.4f}\n" for f, row, column in truth)
    (a.out / "truth.csv").write_text("frame,row,column\n" + lines)


if __name__ == "__main__":
    main()
