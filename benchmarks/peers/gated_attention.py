"""AB-MIL with gated attention, 1024 -> 512 -> 256, on one bag in PyTorch: the other side of gated_attention_bench.

    python gated_attention.py {training_step,inference} INSTANCES {eager,tuned,compiled} [--threads 2]

Builds the case, warms up, prints one line of JSON, and then answers each line with a number of steps on its standard
input with their times. run.py starts it and lets it take turns with milkit. `tuned` is eager under environment variables
of the allocator (`TUNED`), so that no step faults in pages that the one before gave back; `compiled` is torch.compile.
"""
from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TUNED = {"THP_MEM_ALLOC_ENABLE": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40),
         "MALLOC_TOP_PAD_": str(2**26)}


class GatedAttention(nn.Module):
    """z = w . (tanh(V x) * sigmoid(U x)), with V and U stacked into one product."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.vu, self.score = nn.Linear(dim, 2 * hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        v, u = self.vu(x).chunk(2, dim=-1)
        return self.score(torch.tanh(v) * torch.sigmoid(u))


class AttentionMIL(nn.Module):
    """Projection, gated attention pooling, linear classifier: one bag (n, dim) -> logits (classes)."""

    def __init__(self, dim: int = 1024, width: int = 512, hidden: int = 256, classes: int = 2):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(dim, width), nn.ReLU(inplace=True))
        self.attend = GatedAttention(width, hidden)
        self.classify = nn.Linear(width, classes)

    def forward(self, bag: Tensor) -> Tensor:
        x = self.project(bag)
        return self.classify(torch.softmax(self.attend(x).squeeze(-1), dim=0) @ x)


def make_step(case: str, instances: int, variant: str):
    bag, label = torch.randn(instances, 1024), torch.tensor(1)
    model = AttentionMIL()
    run = torch.compile(model) if variant == "compiled" else model
    if case == "inference":
        model.eval()

        def step() -> Tensor:
            with torch.inference_mode():
                return run(bag)
        return step
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(run(bag), label)
        loss.backward()
        optimizer.step()
        return loss.detach()
    return step


def touch_libraries() -> None:
    """Loads what a first step loads, so that it does not count as the step's memory."""
    net = nn.Linear(8, 2)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    F.cross_entropy(net(torch.rand(3, 8)), torch.tensor([1, 0, 1])).backward()
    optimizer.step()


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["training_step", "inference"])
    parser.add_argument("instances", type=int)
    parser.add_argument("variant", choices=["eager", "tuned", "compiled"])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    touch_libraries()
    step = make_step(args.case, args.instances, args.variant)
    if args.variant == "compiled":
        step(), step()  # the compiler's own memory is not the step's
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # restarts the high-water mark
    before = resident_mb()
    for _ in range(3):
        result = step()
    if not torch.isfinite(result).all():
        raise SystemExit("the result is not finite")
    print(json.dumps({"memory_mb": peak_mb() - before, "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
