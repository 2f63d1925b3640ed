"""Draw patches.svg: test patches with the true centre and the one that BraggNN s=1 finds.

    python plot.py [OUT.npz]    # centres from OUT.npz instead of the float network
"""

import sys
from pathlib import Path

import numpy as np

from generate import SIDE

HERE = Path(__file__).parent
PIXEL = 13                      # drawn size of a detector pixel
GAP = 14
CAPTION = 18
PER_ROW = 4
# Dark to bright: equidistant colours of a perceptually even map.
COLOURS = np.array([[13, 8, 45], [87, 15, 109], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 200]])


def colour(value):
    """Intensity 0..1 -> '#rrggbb'; the square root brings out weak flanks."""
    position = np.sqrt(value) * (len(COLOURS) - 1)
    rgb = [round(np.interp(position, range(len(COLOURS)), channel)) for channel in COLOURS.T]
    return "#%02x%02x%02x" % tuple(rgb)


def draw_patch(patch, truth, found):
    """One patch [11, 11] with centres in pixels, as SVG elements in pixel units."""
    parts = [
        f'<path fill="{colour(patch[row, col])}" d="M{col} {row}h1v1h-1z"/>'
        for row in range(SIDE)
        for col in range(SIDE)
        if patch[row, col] > 0
    ]
    # A pixel's centre, at integer coordinates, is drawn in the middle of its square.
    (tx, ty), (fx, fy) = truth + 0.5, found + 0.5
    return "\n".join([
        f'<g class="pixels"><rect width="{SIDE}" height="{SIDE}" fill="{colour(0)}"/>',
        *parts,
        "</g>",
        f'<circle class="truth" cx="{tx:.2f}" cy="{ty:.2f}" r=".8"/>',
        f'<path class="found" d="M{fx - .5:.2f} {fy:.2f}h1M{fx:.2f} {fy - .5:.2f}v1"/>',
    ])


def main():
    test = np.load(HERE / "data/test.npz")
    output = np.load(sys.argv[1])["centre"] if len(sys.argv) > 1 else test["float_centre"]
    truth, found = SIDE * test["target"], SIDE * output
    by_height = np.argsort(test["amplitude"])
    alone, crowded = (by_height[test["neighbour"][by_height] == flag] for flag in (False, True))
    spread = np.linspace(0.05, 0.95, PER_ROW)
    chosen = [group[int(len(group) * share)] for group in (alone, crowded) for share in spread]

    step_x, step_y = SIDE * PIXEL + GAP, SIDE * PIXEL + GAP + CAPTION
    width, height = PER_ROW * step_x + GAP, -(-len(chosen) // PER_ROW) * step_y + GAP + CAPTION
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        "<style>text{font:12px sans-serif;fill:#333}.pixels{shape-rendering:crispEdges}"
        ".truth{fill:none;stroke:#000;stroke-width:.14}.found{stroke:#06f;stroke-width:.18}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for place, i in enumerate(chosen):
        x, y = GAP + place % PER_ROW * step_x, GAP + place // PER_ROW * step_y
        error = np.hypot(*(found[i] - truth[i]))
        caption = f"{test['amplitude'][i]:.0f} counts, {error:.2f} px off"
        patch = draw_patch(test["patch"][i, 0], truth[i], found[i])
        svg.append(f'<g transform="translate({x} {y}) scale({PIXEL})">\n{patch}\n</g>')
        svg.append(f'<text x="{x}" y="{y + SIDE * PIXEL + CAPTION - 3}">{caption}</text>')
    key = "Black circle: true centre. Blue cross: centre found. Upper row: single peaks. Lower row: with a neighbour."
    svg += [f'<text x="{GAP}" y="{height - GAP / 2}">{key}</text>', "</svg>"]
    (HERE / "patches.svg").write_text("\n".join(svg) + "\n")


if __name__ == "__main__":
    main()
