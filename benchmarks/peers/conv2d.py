"""Small 'same' convolutions, forward and backward: PyTorch and milkit in turns, in one run.

    python benchmarks/peers/conv2d.py build/bench/benchmarks/conv2d_bench [--rounds 7] [--images 20]

A batch of images of 27 x 27 pixels through conv 7x7 3 -> 32, relu, and three times conv 3x3 32 -> 32, relu; gradients of
every weight, not of the batch. PyTorch has both memory layouts; milkit its own convolution, and with --products also the
one with oneDNN's products. Memory is the peak of the resident set above what the process had before the first step;
milkit's is its workspace. Needs `pip install torch`. Quote the ratios: times on a shared machine mean nothing.
"""
from __future__ import annotations

import argparse
import multiprocessing
import os

from topk import Ours, Theirs, compare

VARIANTS = ["contiguous", "channels_last"]


def make_step(variant: str, images: int, threads: int):
    import torch
    from torch import nn
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layout = torch.contiguous_format if variant == "contiguous" else torch.channels_last
    layers = [nn.Conv2d(3, 32, 7, padding=3), nn.ReLU(inplace=True)]
    for _ in range(3):
        layers += [nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(inplace=True)]
    model = nn.Sequential(*layers).to(memory_format=layout)
    x = torch.randn(images, 3, 27, 27).contiguous(memory_format=layout)
    upstream = torch.randn(images, 32, 27, 27).contiguous(memory_format=layout)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(x).backward(upstream)
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="milkit's conv2d_bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, nargs="+", default=[20])
    parser.add_argument("--products", nargs="+", default=["own"], choices=["onednn", "own"])
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "CUDA_VISIBLE_DEVICES": ""}
    multiprocessing.set_start_method("spawn")
    for images in args.images:
        contenders = {f"PyTorch {name}": Theirs(make_step, name, images, args.threads) for name in VARIANTS}
        for name in args.products:
            contenders["milkit" if name == args.products[-1] else f"milkit {name}"] = Ours(
                args.program, f"stack/{name}/images:{images}/threads:{args.threads}")
        compare(f"{images} images of 27 x 27, milkit: {args.products[-1]}", contenders, args.rounds,
                dict.fromkeys(contenders, args.steps))


if __name__ == "__main__":
    main()
