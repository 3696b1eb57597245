"""Perturbed top-K, forward and backward, from 100 draws: PyTorch and milkit in turns, in one run.

    python benchmarks/peers/topk.py build/bench/benchmarks/topk_bench [--rounds 7] [--sizes 62:12 2473:300 10000:300]

`one-hot` is the widely used way: a one-hot S x K x N tensor, and the diagonal of the Jacobian. `gather` is the fastest
that we could write in PyTorch, of indices alone, with the full Jacobian that milkit has by default. Memory is the peak
of the resident set above what the process had before the first step; milkit's is what it took beside scores and
gradients. Needs `pip install torch`. Quote the ratios: times on a shared machine mean nothing; `cpu` is the time of all
threads of the process, which other programs disturb less.
"""
from __future__ import annotations

import argparse
import ctypes
import gc
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import time

from turns import in_turns

SAMPLES, SIGMA = 100, 0.002


def functions() -> dict:
    """Perturbed top-K as autograd functions of (scores, noise, k, sigma)."""
    import torch
    import torch.nn.functional as F

    def hard_topk(scores, k):
        """Indices of the k largest, in ascending order of index."""
        return torch.topk(scores, min(k, scores.shape[-1]), sorted=False).indices.sort(dim=-1).values

    class OneHotTopK(torch.autograd.Function):
        @staticmethod
        def forward(ctx, scores, noise, k, sigma):
            hot = F.one_hot(hard_topk(scores + sigma * noise, k), scores.shape[-1]).to(scores.dtype)
            ctx.save_for_backward(hot, noise)
            ctx.sigma = sigma
            return hot.mean(dim=0)

        @staticmethod
        def backward(ctx, upstream):
            hot, noise = ctx.saved_tensors
            jacobian = torch.einsum("skn,sn->kn", hot, noise) / (len(noise) * ctx.sigma)
            return torch.einsum("kn,kn->n", upstream, jacobian), None, None, None

    class GatherTopK(torch.autograd.Function):
        """T by scatter-add, c_s by gather, dscores = (c - leave-one-out mean) Z / (S sigma)."""

        @staticmethod
        def forward(ctx, scores, noise, k, sigma):
            n, samples = scores.shape[-1], len(noise)
            flat = hard_topk(torch.add(scores, noise, alpha=sigma), k)
            flat += torch.arange(flat.shape[1]) * n  # position of (k, J_s[k]) in the K x N matrix
            ctx.save_for_backward(flat, noise)
            ctx.sigma = sigma
            hits = scores.new_full((1,), 1 / samples).expand(flat.numel())
            return scores.new_zeros(flat.shape[1] * n).index_add_(0, flat.view(-1), hits).view(-1, n)

        @staticmethod
        def backward(ctx, upstream):
            flat, noise = ctx.saved_tensors
            c = upstream.reshape(-1)[flat].sum(dim=1)
            samples = len(noise)
            centred = (c - c.mean()) * (samples / max(samples - 1, 1))  # equals c_s minus the mean of the others
            return (centred @ noise) / (samples * ctx.sigma), None, None, None

    return {"one-hot": OneHotTopK, "gather": GatherTopK}


def make_step(variant: str, n: int, k: int, threads: int):
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    function = functions()[variant]
    small = torch.softmax(torch.randn(8), dim=0).requires_grad_()
    function.apply(small, torch.randn(3, 8), 2, SIGMA).sum().backward()  # loads what a first step loads
    scores, upstream = torch.softmax(torch.randn(n), dim=0).requires_grad_(), torch.randn(k, n)

    def step() -> None:
        scores.grad = None
        function.apply(scores, torch.randn(SAMPLES, n), k, SIGMA).backward(upstream)
    return step


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def serve(pipe, make, arguments) -> None:
    step = make(*arguments)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # restarts the high-water mark
    before = resident_mb()
    for _ in range(3):
        step()
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 - before)
    while (steps := pipe.recv()) > 0:
        times = []
        for _ in range(steps):
            start, processor = time.perf_counter(), time.process_time()
            step()
            times.append((time.perf_counter() - start, time.process_time() - processor))
        pipe.send(times)


class Theirs:
    """A process that does the steps of `make(*arguments)`."""

    def __init__(self, make, *arguments):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=serve, args=(other, make, arguments))
        self.process.start()
        self.memory_mb, self.times = self.pipe.recv(), []

    def turn(self, steps: int) -> None:
        self.pipe.send(steps)
        self.times += self.pipe.recv()

    def stop(self) -> None:
        self.pipe.send(0)
        self.process.join()


class Ours:
    """One benchmark of milkit's program."""

    def __init__(self, program: str, name: str):
        self.command = [program, f"--benchmark_filter=^{name}/", "--benchmark_format=json", "--benchmark_min_time=0.001"]
        self.memory_mb, self.times = 0.0, []

    def turn(self, steps: int) -> None:
        run = subprocess.run([*self.command, f"--benchmark_repetitions={steps}"], check=True, capture_output=True)
        for each in json.loads(run.stdout)["benchmarks"]:
            if each.get("error_occurred"):
                raise SystemExit(f"{each['name']}: {each['error_message']}")
            if each["run_type"] == "iteration":
                self.times.append((each["real_time"] / 1e3, each["cpu_time"] / 1e3))
                self.memory_mb = each["workspace MB"]

    def stop(self) -> None:
        pass


def compare(title: str, contenders: dict, rounds: int, steps: dict) -> None:
    """Lets the contenders take turns and prints the table. `milkit` is the last."""
    in_turns(contenders, rounds, steps)
    print(f"### {title}\n\n| | this / milkit, medians | minima | cpu | median ms | minimum ms | memory MB | "
          "milkit's share |")
    print("|---|---|---|---|---|---|---|---|")
    own = contenders["milkit"]
    figures = {name: (statistics.median(t[0] for t in c.times), min(t[0] for t in c.times),
                      statistics.median(t[1] for t in c.times)) for name, c in contenders.items()}
    for name, each in contenders.items():
        each.stop()
        middle, least, processor = figures[name]
        ratios = " | ".join(f"{a / b:.2f}" for a, b in zip(figures[name], figures["milkit"]))
        print(f"| {name} | {ratios} | {middle * 1e3:.3f} | {least * 1e3:.3f} | {each.memory_mb:.2f} | "
              f"{own.memory_mb / max(each.memory_mb, 1e-9):.2%} |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="milkit's topk_bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="steps of each side a round; one-hot has a fifth of them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", nargs="+", default=["62:12", "2473:300", "10000:300"], metavar="N:K")
    parser.add_argument("--variants", nargs="+", default=["one-hot", "gather"])
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "CUDA_VISIBLE_DEVICES": ""}
    multiprocessing.set_start_method("spawn")
    for size in args.sizes:
        n, k = map(int, size.split(":"))
        contenders = {name: Theirs(make_step, name, n, k, args.threads) for name in args.variants}
        contenders["milkit"] = Ours(args.program, f"perturbed/both/instances:{n}/k:{k}")
        steps = {name: max(1, args.steps // 5) if name == "one-hot" else args.steps for name in contenders}
        compare(f"N = {n:,}, K = {k}", contenders, args.rounds, steps)


if __name__ == "__main__":
    main()
