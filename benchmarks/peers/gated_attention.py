"""AB-MIL with gated attention, 1024 -> 512 -> 256, on one bag in PyTorch: the other side of gated_attention_bench.

    python gated_attention.py {training_step,inference} INSTANCES VARIANT [--threads 2] [--device cpu]

Builds the case, warms up, prints one line of JSON, and then answers each line with a number of steps on its standard
input with their times. run.py starts it and lets it take turns with milkit. Variants: `eager`; `tuned`, which is eager
under environment variables of the allocator (`TUNED`), so that no step faults in pages that the one before gave back;
`compiled`, torch.compile; and on a card `reduce-overhead`, torch.compile that replays CUDA graphs, and `captured`, the
whole eager step captured once as a CUDA graph. `--device cuda` times by the card's events; `--tf32` allows TF32.
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
from typing import Callable

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


def make_step(case: str, instances: int, variant: str, device: str = "cpu") -> Callable[[], Tensor]:
    bag, label = torch.randn(instances, 1024, device=device), torch.tensor(1, device=device)
    model = AttentionMIL().to(device)
    modes = {"compiled": None, "reduce-overhead": "reduce-overhead"}
    run = torch.compile(model, dynamic=False, mode=modes[variant]) if variant in modes else model
    if case == "inference":
        model.eval()

        def step() -> Tensor:
            with torch.inference_mode():
                return run(bag)
        return captured(step) if variant == "captured" else step
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True, capturable=variant == "captured")

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(run(bag), label)
        loss.backward()
        optimizer.step()
        return loss.detach()
    return captured(step) if variant == "captured" else step


def captured(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The step as one CUDA graph, as PyTorch's notes on whole-network capture do it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> Tensor:
        graph.replay()
        return result
    return replay


def timed(step: Callable[[], object], steps: int, device: str = "cpu") -> list[float]:
    """Seconds of each step. On a card they are queued all at once, and a time is from the end of one to the end of the
    next, so that what the card waits for the host counts."""
    if device == "cpu":
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        return seconds
    for _ in range(3):
        step()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize()
    return [a.elapsed_time(b) / 1e3 for a, b in zip(events, events[1:])]


def allow_tf32(allowed: bool) -> None:
    """TF32 in matrix products and convolutions; without, full float32 in both (cuDNN's default is TF32)."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


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
    parser.add_argument("variant", choices=["eager", "tuned", "compiled", "reduce-overhead", "captured"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--tf32", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    allow_tf32(args.tf32)
    if args.device == "cuda":
        serve_card(args)
        return
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
        print(json.dumps({"seconds": timed(step, int(line))}), flush=True)


def serve_card(args: argparse.Namespace) -> None:
    step = make_step(args.case, args.instances, args.variant, "cuda")
    timed(step, 3, "cuda")
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    if not torch.isfinite(step()).all():
        raise SystemExit("the result is not finite")
    memory = torch.cuda.max_memory_allocated() - before
    print(json.dumps({"memory_mb": memory / 1e6, "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": timed(step, int(line), "cuda")}), flush=True)


if __name__ == "__main__":
    main()
