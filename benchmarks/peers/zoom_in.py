"""A training step of the Zoom-In network on colon tissue: PyTorch and milkit in turns, in one run.

    python benchmarks/peers/zoom_in.py build/bench/benchmarks/zoom_in_bench [--rounds 7]

Five images of 500 x 500 pixels, three of them positive with a contrastive branch, N = 10 sub-tiles of 27 x 27 a branch, the ordered
estimator without divisions, Adam. All sub-tiles of the batch go through one convolution. `tuned` is the same under
environment variables of the allocator, `channels_last` in that layout. Memory is the peak of the resident set above what the process had
before the first step. Needs `pip install torch`. Quote the ratios: times on a shared machine mean nothing.
"""
from __future__ import annotations

import argparse
import math
import multiprocessing
import os

from gated_attention import TUNED
from topk import Ours, Theirs, compare

TILE, SHRINK1, SHRINK2, PATCH, DRAWS, SIDE = 250, 10, 5, 27, 10, 500


def make_step(variant: str, threads: int):
    import torch
    import torch.nn.functional as F
    from torch import nn
    torch.set_num_threads(threads)
    torch.manual_seed(0)

    def stack(*widths: int) -> nn.Sequential:
        layers = []
        for a, b in zip(widths, widths[1:]):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers[:-1])

    class ZoomIn(nn.Module):
        def __init__(self):
            super().__init__()
            self.tiles, self.cells = stack(3, 8, 8, 1), stack(3, 8, 8, 1)
            self.features = nn.Sequential(nn.Conv2d(3, 32, 7, padding=3), nn.ReLU(inplace=True), stack(32, 32, 32, 32),
                                          nn.ReLU(inplace=True))
            self.classify = nn.Linear(32, 2)

        def draw(self, log_tile, counts, log_cell, row):
            """Ordered draws without replacement: cells, their owners, and weights whose value is the estimator's coefficient
            and whose derivative acts on the logarithm of the probabilities."""
            image, tile = counts.nonzero(as_tuple=True)
            n = counts[image, tile]
            logs = log_cell[row[image, tile]]
            keys = logs.detach() - torch.empty_like(logs).exponential_().log()
            cell = keys.topk(int(n.max()), dim=1).indices
            k = torch.arange(cell.shape[1])
            valid = k < n[:, None]
            log_b = logs.gather(1, cell)
            b = log_b.detach().exp()
            rest = 1 - (b.cumsum(dim=1) - b)
            coefficient = (rest + b * (n[:, None] - 1 - k)) / DRAWS
            log_weight = log_b + log_tile[image, tile, None]
            weight = coefficient * torch.exp(log_weight - log_weight.detach())
            owner = torch.stack([image, tile])[:, :, None].expand(-1, -1, cell.shape[1])
            return cell[valid], owner[:, valid], weight[valid]

        def forward(self, images, positive):
            count, grid = len(images), SIDE // TILE
            tiles = images.view(count, 3, grid, TILE, grid, TILE).permute(0, 2, 4, 1, 3, 5).reshape(-1, 3, TILE, TILE)
            log_a = torch.log_softmax(self.tiles(F.avg_pool2d(tiles, SHRINK1)).mean(dim=(1, 2, 3)).view(count, -1), dim=1)
            log_low = torch.log1p(-log_a[positive].exp()) - math.log(grid * grid - 1)
            log_tile, source = torch.cat([log_a, log_low]), torch.cat([torch.arange(count), positive])
            chosen = torch.multinomial(log_tile.detach().exp(), DRAWS, replacement=True)
            counts = torch.zeros_like(log_tile, dtype=torch.long).scatter_add_(1, chosen, torch.ones_like(chosen))
            used = torch.zeros(count, grid * grid, dtype=torch.bool).index_put_((source,), counts > 0, accumulate=True)
            row = torch.full(used.shape, -1).masked_scatter_(used, torch.arange(int(used.sum())))
            views = F.avg_pool2d(tiles.view(count, -1, 3, TILE, TILE)[used], SHRINK2)
            log_b = torch.log_softmax(self.cells(views).flatten(1), dim=1)
            log_rest = torch.log1p(-log_b.exp()) - math.log(log_b.shape[1] - 1)
            attended = self.draw(log_a, counts[:count], log_b, row)
            rest = self.draw(log_low, counts[count:], log_rest, row[positive])
            cell = torch.cat([attended[0], rest[0]])
            owner = torch.cat([attended[1], torch.stack([positive[rest[1][0]], rest[1][1]])], dim=1)
            weight = torch.cat([attended[2], rest[2]])
            cells, half = TILE // SHRINK2, (PATCH - SHRINK2) // 2
            y = (owner[1] // grid) * TILE + cell // cells * SHRINK2 - half + PATCH
            x = (owner[1] % grid) * TILE + cell % cells * SHRINK2 - half + PATCH
            windows = F.pad(images, [PATCH] * 4).unfold(2, PATCH, 1).unfold(3, PATCH, 1)
            patches = windows[owner[0], :, y, x]
            if variant == "channels_last":
                patches = patches.contiguous(memory_format=torch.channels_last)
            pooled = (weight[:, None] * self.features(patches).mean(dim=(2, 3))).view(-1, DRAWS, 32).sum(dim=1)
            logits = self.classify(pooled)
            in_q = torch.zeros(used.shape, dtype=torch.bool)
            in_q[attended[1][0], attended[1][1]] = True
            log_q = log_b[row[in_q]]
            entropy = 1e-5 * ((log_a.exp() * log_a).sum() + (log_q.exp() * log_q).sum())
            return logits[:count], logits[count:], entropy

    images, labels = torch.rand(5, 3, SIDE, SIDE), torch.tensor([1, 0, 1, 0, 1])
    positive = labels.nonzero().squeeze(1)
    model = ZoomIn()
    if variant == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        logits, low, entropy = model(images, positive)
        (F.cross_entropy(logits, labels) + F.cross_entropy(low, torch.zeros_like(positive)) + entropy).backward()
        optimizer.step()
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="milkit's zoom_in_bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "CUDA_VISIBLE_DEVICES": ""}
    multiprocessing.set_start_method("spawn")
    contenders = {}
    for variant in ("eager", "channels_last", "tuned"):
        if variant == "tuned":
            os.environ |= TUNED
        contenders[variant] = Theirs(make_step, variant, args.threads)
        for each in TUNED if variant == "tuned" else []:
            del os.environ[each]
    contenders["milkit"] = Ours(args.program, "training_step/colon")
    compare("colon tissue, five images, N = 10", contenders, args.rounds, dict.fromkeys(contenders, args.steps))


if __name__ == "__main__":
    main()
