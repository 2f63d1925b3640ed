"""Train BraggNN on simulated patches and export it to ONNX.

    python train.py --scale 1       # -> braggnn_s1.onnx
    python train.py --scale 4       # -> braggnn_s4.onnx

Every epoch draws fresh patches from its own seed, so nothing can be learned by
heart and the same command gives the same network.
"""

import argparse
import math
import time
from pathlib import Path

import torch

from generate import SIDE, make_patches
from model import BraggNN

HERE = Path(__file__).parent
BATCH = 256
PEAK_RATE = {1: 4e-3, 4: 2e-3}     # Adam learning rate per scale, after warm-up
VALIDATION_SEED = 1_000_000        # training uses 0, 1, 2, ...; the data files 2,000,000 and up


def pixel_error(output, target):
    """Distances [N] in pixels between centres [N, 2] given in units of the patch edge."""
    return SIDE * ((output - target).square().sum(dim=1) + 1e-9).sqrt()


def as_tensors(patches):
    return torch.from_numpy(patches["patch"]), torch.from_numpy(patches["target"])


def train(scale, epochs, patches_per_epoch, seed):
    """Returns the trained network. The loss is the mean localisation error in pixels."""
    torch.manual_seed(seed)
    net = BraggNN(scale)
    torch.nn.init.constant_(net.dense[-1].bias, 0.5)    # start at the middle of the patch
    optimiser = torch.optim.Adam(net.parameters())
    steps = epochs * (patches_per_epoch // BATCH)
    warm_up = steps // 50

    def rate(step):
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))

    for group in optimiser.param_groups:
        group["lr"] = PEAK_RATE[scale]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)

    check_patch, check_target = as_tensors(make_patches(4096, VALIDATION_SEED))
    for epoch in range(epochs):
        start = time.time()
        patch, target = as_tensors(make_patches(patches_per_epoch, seed=epoch))
        for i in range(0, patches_per_epoch - BATCH + 1, BATCH):
            loss = pixel_error(net(patch[i : i + BATCH]), target[i : i + BATCH]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            error = pixel_error(net(check_patch), check_target).mean()
        print(f"epoch {epoch + 1}/{epochs}  {error:.4f} px  {time.time() - start:.0f} s", flush=True)
    return net


def export(net, path):
    """Writes the network with input `patch`, output `centre` and a free batch size."""
    torch.onnx.export(
        net.eval(),
        (torch.zeros(1, 1, SIDE, SIDE),),
        path,
        dynamo=False,
        opset_version=17,
        input_names=["patch"],
        output_names=["centre"],
        dynamic_axes={"patch": {0: "batch"}, "centre": {0: "batch"}},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=int, choices=sorted(PEAK_RATE), default=1)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--patches", type=int, default=50_000, help="per epoch")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    net = train(args.scale, args.epochs, args.patches, args.seed)
    export(net, HERE / f"braggnn_s{args.scale}.onnx")


if __name__ == "__main__":
    main()
