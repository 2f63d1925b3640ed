"""Write data/calib.npz and data/test.npz for the trained networks.

    python make_data.py

Inputs are rounded to multiples of 1/4096, which makes the files small. The
PyTorch outputs use the weights that the .onnx files hold.
"""

from pathlib import Path

import numpy as np
import onnx
import torch

from generate import make_patches
from model import BraggNN

HERE = Path(__file__).parent
CALIB_SEED, TEST_SEED = 2_000_000, 2_000_001
STEP = 1 / 4096


def load(scale):
    """The trained BraggNN of a scale, read back from its ONNX file."""
    weights = onnx.load(HERE / f"braggnn_s{scale}.onnx").graph.initializer
    net = BraggNN(scale)
    state = {w.name: torch.from_numpy(onnx.numpy_helper.to_array(w).copy()) for w in weights}
    net.load_state_dict({name: state[name] for name in net.state_dict()})
    return net.eval()


@torch.no_grad()
def predict(net, patch):
    """Patches [N, 1, 11, 11] -> centres [N, 2], float32, (column, row) / 11."""
    return net(torch.from_numpy(patch)).numpy()


def rounded(patch):
    return (np.rint(patch / STEP) * STEP).astype(np.float32)


def main():
    (HERE / "data").mkdir(exist_ok=True)
    calib = make_patches(256, CALIB_SEED)
    np.savez_compressed(HERE / "data/calib.npz", patch=rounded(calib["patch"]))

    test = make_patches(2048, TEST_SEED)
    test["patch"] = rounded(test["patch"])
    np.savez_compressed(
        HERE / "data/test.npz",
        **test,
        float_centre=predict(load(1), test["patch"]),
        float_centre_s4=predict(load(4), test["patch"]),
    )


if __name__ == "__main__":
    main()
