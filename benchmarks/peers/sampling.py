"""A step of one stage of attention sampling: PyTorch and milkit in turns, in one run.

    python benchmarks/peers/sampling.py build/bench/benchmarks/sampling_bench [--rounds 7] [--steps 20]

Draws, weights, the sum of 32 features a draw, and the gradient of the logits, without autograd. `multinomial` is
`torch.multinomial` with replacement, its draws as they come. `ordered` is Gumbel top-n, and the running sums of the ordered
estimator; PyTorch has none of the unordered one, which is milkit's default and costs milkit more: both are compared with it.
Quote the ratios (see topk.py).
"""
from __future__ import annotations

import argparse
import multiprocessing
import os

from topk import Ours, Theirs, compare

WIDTH = 32


def make_step(kind: str, rows: int, items: int, draws: int, threads: int):
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    p = torch.softmax(2 * torch.randn(rows, items), dim=1)
    features, upstream, dlogits = torch.randn(rows, draws, WIDTH), torch.randn(rows, WIDTH), torch.zeros(rows, items)

    def multinomial():
        drawn = torch.multinomial(p, draws, replacement=True)
        return drawn, torch.full((rows, draws), 1 / draws)

    def ordered():
        # the largest of log p - log E for E exponential: as p / E, which spares two logarithms
        drawn = (p / torch.empty_like(p).exponential_()).topk(draws, dim=1, sorted=True).indices
        mass = p.gather(1, drawn)
        remaining = 1 - mass.cumsum(dim=1) + mass
        later = torch.arange(draws - 1, -1, -1, dtype=p.dtype)
        return drawn, (remaining + mass * later) / draws

    draw = {"multinomial": multinomial, "ordered": ordered}[kind]

    def step() -> None:
        drawn, weights = draw()
        output = (weights.unsqueeze(1) @ features).squeeze(1)
        dfeatures = weights.unsqueeze(2) * upstream.unsqueeze(1)
        d = weights * (features @ upstream.unsqueeze(2)).squeeze(2)
        dlogits.scatter_add_(1, drawn, d).addcmul_(p, d.sum(dim=1, keepdim=True), value=-1)
        assert output.shape == (rows, WIDTH) and dfeatures.shape == features.shape
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="milkit's sampling_bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="steps of each side a round")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "CUDA_VISIBLE_DEVICES": ""}
    multiprocessing.set_start_method("spawn")
    cases = [("multinomial", "with_replacement", 1, 10000, 100)]
    cases += [("ordered", name, rows, items, draws) for rows, draws in ((50, 2), (1, 100)) for items in (2500, 10000)
              for name in ("without_replacement", "ordered")]
    for kind, name, rows, items, draws in cases:
        contenders = {kind: Theirs(make_step, kind, rows, items, draws, args.threads),
                      "milkit": Ours(args.program, f"{name}/rows:{rows}/items:{items}/draws:{draws}")}
        compare(f"{name}: {rows} x {items:,} items, {draws} draws", contenders, args.rounds,
                {each: args.steps for each in contenders})


if __name__ == "__main__":
    main()
