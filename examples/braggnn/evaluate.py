"""Localisation error in pixels on data/test.npz, as a table.

    python evaluate.py [OUT.npz ...]

Compares the float networks with centre of mass, with a pseudo-Voigt fit, and
with every OUT.npz that `onnx-hls run` or `onnx-hls simulate` wrote (array `centre`).
"""

import sys
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from generate import SIDE, pseudo_voigt

HERE = Path(__file__).parent
ROW, COL = np.mgrid[:SIDE, :SIDE]


def centre_of_mass(patch):
    """Patches [N, 1, 11, 11] -> intensity-weighted centres [N, 2], pixels."""
    total = patch.sum(axis=(1, 2, 3))
    return np.stack([(patch[:, 0] * axis).sum(axis=(1, 2)) / total for axis in (COL, ROW)], axis=1)


def fit_centre(patch):
    """Least-squares pseudo-Voigt plus constant on one patch [11, 11] -> (column, row), pixels.

    Starts at the brightest pixel; only pixels above the threshold count.
    """
    lit = patch > 0

    def residual(p):
        col, row, height, width_u, width_v, angle, eta, level = p
        return (pseudo_voigt(COL - col, ROW - row, height, width_u, width_v, angle, eta) + level - patch)[lit]

    row, col = np.unravel_index(patch.argmax(), patch.shape)
    start = [col, row, 1, 1.2, 1.4, 0.5, 0.5, 0.01]
    low = [col - 2, row - 2, 0.1, 0.3, 0.3, -4, 0, -0.5]
    high = [col + 2, row + 2, 3, 6, 6, 4, 1, 0.5]
    return least_squares(residual, start, bounds=(low, high), max_nfev=60).x[:2]


def main():
    test = np.load(HERE / "data/test.npz")
    truth = SIDE * test["target"]
    alone = ~test["neighbour"]
    dim = test["amplitude"] < 500
    fits = np.array([fit_centre(p) for p in test["patch"][:, 0].astype(float)])
    methods = {
        "centre of mass": centre_of_mass(test["patch"]),
        "pseudo-Voigt fit": fits,
        "BraggNN s=1, float": SIDE * test["float_centre"],
        "BraggNN s=4, float": SIDE * test["float_centre_s4"],
    }
    for path in sys.argv[1:]:
        methods[path] = SIDE * np.load(path)["centre"]

    print("| method | mean | median | 95th percentile | mean, single peaks | mean, with neighbour | mean, below 500 counts |")
    print("|---|---|---|---|---|---|---|")
    for name, centres in methods.items():
        error = np.hypot(*(centres - truth).T)
        groups = error[alone].mean(), error[~alone].mean(), error[dim].mean()
        cells = [error.mean(), np.median(error), np.percentile(error, 95), *groups]
        print(f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
