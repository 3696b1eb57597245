"""Tiles of 256 x 256 through ResNet-50, cut after stage 3: PyTorch and milkit in turns, in one run.

    python benchmarks/peers/resnet.py build/bench/benchmarks/resnet_bench [--rounds 7] [--tiles 8 16]

From 8-bit tiles to 1024 features each, float32, with the batch norms folded into the convolutions, under inference_mode.
PyTorch has both memory layouts, and with --variants also torch.compile of the faster one; milkit its own convolution, and
oneDNN's products. Memory is the peak of the resident set above what the process had before the first step; milkit's is its
workspace. Needs `pip install torch`. Quote the ratios: times on a shared machine mean nothing.
"""
from __future__ import annotations

import argparse
import multiprocessing
import os

from topk import Ours, Theirs, compare

SIDE, BLOCKS, WIDTHS = 256, (3, 4, 6), (64, 128, 256)
VARIANTS = ["contiguous", "channels_last", "compiled"]


def network():
    """Bottlenecks with the stride on the 3 x 3 convolution; biases are what the batch norms leave."""
    from torch import nn

    class Bottleneck(nn.Module):
        def __init__(self, channels: int, width: int, stride: int):
            super().__init__()
            self.first, self.last = nn.Conv2d(channels, width, 1), nn.Conv2d(width, 4 * width, 1)
            self.middle, self.relu = nn.Conv2d(width, width, 3, stride, 1), nn.ReLU(inplace=True)
            same = stride == 1 and channels == 4 * width
            self.shortcut = nn.Identity() if same else nn.Conv2d(channels, 4 * width, 1, stride)

        def forward(self, x):
            y = self.last(self.relu(self.middle(self.relu(self.first(x)))))
            return self.relu(y.add_(self.shortcut(x)))

    layers, channels = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)], 64
    for stage, (blocks, width) in enumerate(zip(BLOCKS, WIDTHS)):
        for block in range(blocks):
            layers.append(Bottleneck(channels, width, 2 if block == 0 and stage > 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def make_step(variant: str, tiles: int, threads: int):
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layout = torch.contiguous_format if variant == "contiguous" else torch.channels_last
    model = network().to(memory_format=layout)
    if variant == "compiled":
        model = torch.compile(model)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    rgb = torch.randint(0, 256, (tiles, SIDE, SIDE, 3), dtype=torch.uint8)

    def step() -> None:
        with torch.inference_mode():
            x = rgb.permute(0, 3, 1, 2).to(torch.float32, memory_format=layout)
            model(x.div_(255).sub_(mean).div_(deviation))
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="milkit's resnet_bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiles", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--variants", nargs="+", default=VARIANTS[:2], choices=VARIANTS)
    parser.add_argument("--products", nargs="+", default=["onednn", "own"], choices=["onednn", "own"])
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "CUDA_VISIBLE_DEVICES": ""}
    multiprocessing.set_start_method("spawn")
    for tiles in args.tiles:
        contenders = {f"PyTorch {name}": Theirs(make_step, name, tiles, args.threads) for name in args.variants}
        for name in args.products:
            contenders["milkit" if name == args.products[-1] else f"milkit {name}"] = Ours(
                args.program, f"encode/{name}/tiles:{tiles}/threads:{args.threads}")
        compare(f"{tiles} tiles, milkit: {args.products[-1]}", contenders, args.rounds,
                dict.fromkeys(contenders, args.steps))


if __name__ == "__main__":
    main()
