"""A training step of ZoomMIL at the paper's sizes: PyTorch and milkit in turns, in one run.

    python benchmarks/peers/zoom_mil.py build/bench/benchmarks/zoom_mil_bench [--rounds 7] [--product onednn]

From features in memory, with dropout 0.25, 100 draws and Adam. `eager` selects by indices alone and multiplies without a
Kronecker product, the fastest that we could write in PyTorch; `tuned` is the same under environment variables of the
allocator; `one-hot` is the widely used way. Memory is the peak of the resident set above what the process had before the
first step; milkit's is what it took beside features, weights and moments. Needs `pip install torch`. Quote the ratios: times
on a shared machine mean nothing.
"""
from __future__ import annotations

import argparse
import multiprocessing
import os

from gated_attention import TUNED
from topk import SAMPLES, SIGMA, Ours, Theirs, compare, functions

SETTINGS = {"crc": (217, 16, 3), "camelyon16": (2473, 300, 2)}  # N, K, magnifications, of ratio 4


def make_step(variant: str, n: int, k: int, levels: int, threads: int):
    import torch
    import torch.nn.functional as F
    from torch import nn
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    select = functions()["one-hot" if variant == "one-hot" else "gather"]

    class Scores(nn.Module):
        """z = w . (tanh(V x) * sigmoid(U x)) for each head; V and U of all heads in one product."""

        def __init__(self, heads: int, dim: int = 512, hidden: int = 256, dropout: float = 0.25):
            super().__init__()
            self.heads, self.dropout = heads, dropout
            self.branches = nn.Linear(dim, 2 * heads * hidden)
            self.weight, self.bias = nn.Parameter(torch.randn(heads, hidden) / 16), nn.Parameter(torch.zeros(heads))

        def forward(self, x):
            v, u = self.branches(x).chunk(2, dim=-1)
            gate = F.dropout(torch.tanh(v), self.dropout) * F.dropout(torch.sigmoid(u), self.dropout)
            return (gate.view(len(x), self.heads, -1) * self.weight).sum(-1) + self.bias

    class ZoomMIL(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.ModuleList(nn.Sequential(nn.Linear(1024, 512), nn.ReLU(inplace=True), nn.Dropout(0.25))
                                         for _ in range(levels))
            self.score = nn.ModuleList(Scores(2 if m + 1 < levels else 1) for m in range(levels))
            self.classify = nn.Linear(512, 3)

        def forward(self, features):
            features, total = list(features), 0
            for m, (project, score) in enumerate(zip(self.project, self.score)):
                x = project(features[m])
                attention = torch.softmax(score(x), dim=0)
                total = total + attention[:, 0] @ x
                if m + 1 == levels:
                    return self.classify(total)
                t = select.apply(attention[:, 1], torch.randn(SAMPLES, len(x)), k, SIGMA)
                features[m + 1:] = [self.zoom(t, rows) for rows in features[m + 1:]]

        def zoom(self, t, rows):
            if variant == "one-hot":
                return torch.kron(t, torch.eye(len(rows) // t.shape[1])) @ rows
            return (t @ rows.view(t.shape[1], -1)).view(-1, rows.shape[1])

    features, label = [torch.randn(n * 4**m, 1024) for m in range(levels)], torch.tensor(1)
    model = ZoomMIL()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(features), label).backward()
        optimizer.step()
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="milkit's zoom_mil_bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--product", choices=["eigen", "onednn", "openblas"], default="onednn")
    parser.add_argument("--variants", nargs="+", default=["eager", "tuned"], choices=["eager", "tuned", "one-hot"])
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "CUDA_VISIBLE_DEVICES": ""}
    multiprocessing.set_start_method("spawn")
    for name, (n, k, levels) in SETTINGS.items():
        contenders = {}
        for variant in args.variants:
            if variant == "tuned":
                os.environ |= TUNED
            contenders[variant] = Theirs(make_step, variant, n, k, levels, args.threads)
            for each in TUNED if variant == "tuned" else []:
                del os.environ[each]
        contenders["milkit"] = Ours(args.program, f"training_step/{name}/{args.product}/instances:{n}/k:{k}")
        compare(f"{name}: N = {n:,}, K = {k}, {levels} magnifications", contenders, args.rounds,
                dict.fromkeys(contenders, args.steps))


if __name__ == "__main__":
    main()
