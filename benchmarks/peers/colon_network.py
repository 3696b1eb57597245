"""The colon network (Ilse et al. 2018) on one bag of 200 patches: PyTorch and milkit in turns, in one run.

    python benchmarks/peers/colon_network.py build/bench/benchmarks/colon_bench [--rounds 15] [--compile]

Two cases: `encoder` is the convolutional encoder forward and backward to every weight; `training` adds gated attention
pooling, the classifier, cross-entropy and an Adam step. PyTorch runs both memory layouts (and torch.compile of them if
asked to), and the faster one is its result. Needs `pip install torch`. Quote the ratios: times on a shared machine mean
nothing. `cpu` is the time of all threads of the process, which other programs disturb less.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCHES = 200


def encoder() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 36, 4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(36, 48, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(1200, 512), nn.ReLU(inplace=True), nn.Linear(512, 512), nn.ReLU(inplace=True))


class ColonNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder()
        self.branches, self.score = nn.Linear(512, 256), nn.Linear(128, 1)
        self.classifier = nn.Linear(512, 2)

    def forward(self, bag: Tensor) -> Tensor:
        h = self.encoder(bag)
        v, u = self.branches(h).chunk(2, dim=1)
        attention = torch.softmax(self.score(torch.tanh(v) * torch.sigmoid(u)), dim=0)
        return self.classifier(attention.t() @ h)


class Case:
    """One network in one memory layout; calling it runs one step."""

    def __init__(self, name: str, layout: torch.memory_format, compiled: bool) -> None:
        torch.manual_seed(1)
        self.training = name == "training"
        self.model = (ColonNetwork() if self.training else encoder()).to(memory_format=layout)
        self.bag = torch.randn(PATCHES, 3, 27, 27).contiguous(memory_format=layout)
        self.upstream, self.label = torch.randn(PATCHES, 512), torch.tensor([1])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, fused=True)
        self.run = torch.compile(self.model) if compiled else self.model

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        if self.training:
            F.cross_entropy(self.run(self.bag), self.label).backward()
            self.optimizer.step()
        else:
            self.run(self.bag).backward(self.upstream)


def timed(case: Case, steps: int) -> list[tuple[float, float]]:
    times = []
    for _ in range(steps):
        wall, cpu = time.perf_counter(), time.process_time()
        case()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def ours(program: str, names: list[str], steps: int) -> dict[str, list[tuple[float, float]]]:
    """One round of milkit's program: name of the benchmark to its (wall, cpu) seconds a step."""
    command = [program, "--benchmark_filter=" + "|".join(name + "_step" for name in names), "--benchmark_format=json",
               f"--benchmark_repetitions={steps}", "--benchmark_min_time=0.001"]
    found: dict[str, list[tuple[float, float]]] = {}
    for run in json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["benchmarks"]:
        if run.get("error_occurred"):
            raise SystemExit(f"{run['name']}: {run['error_message']}")
        if run["run_type"] == "iteration":
            found.setdefault(run["run_name"].removesuffix("/real_time").replace("/process_time", ""), []).append(
                (run["real_time"] / 1e3, run["cpu_time"] / 1e3))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="milkit's colon_bench")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=5, help="steps of each side a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--case", choices=["encoder", "training"], help="only this one")
    parser.add_argument("--compile", action="store_true", help="also torch.compile")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    names = [args.case] if args.case else ["encoder", "training"]
    layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    cases = {(name, layout + (" compiled" if compiled else "")): Case(name, layouts[layout], compiled)
             for name in names for layout in layouts for compiled in ([False, True] if args.compile else [False])}
    theirs: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in cases}
    mine: dict[str, list[tuple[float, float]]] = {}
    for case in cases.values():
        timed(case, 3)
    for i in range(args.rounds):
        if i % 2:
            for key, case in cases.items():
                theirs[key] += timed(case, args.steps)
        for name, times in ours(args.program, names, args.steps).items():
            mine.setdefault(name, []).extend(times)
        if not i % 2:
            for key, case in cases.items():
                theirs[key] += timed(case, args.steps)

    def median(times: list[tuple[float, float]], which: int) -> float:
        return statistics.median(t[which] for t in times)

    for name in names:
        for key, times in theirs.items():
            if key[0] == name:
                print(f"- PyTorch {name} {key[1]}: median {median(times, 0) * 1e3:.1f} ms, minimum {min(times)[0] * 1e3:.1f} ms, "
                      f"cpu {median(times, 1) * 1e3:.1f} ms")
        best = [min(f(times) for key, times in theirs.items() if key[0] == name)
                for f in (lambda t: median(t, 0), lambda t: min(t)[0], lambda t: median(t, 1))]
        for run, times in mine.items():
            if run.startswith(name):
                print(f"- milkit {run}: median {median(times, 0) * 1e3:.1f} ms, minimum {min(times)[0] * 1e3:.1f} ms, "
                      f"cpu {median(times, 1) * 1e3:.1f} ms; PyTorch takes "
                      f"{best[0] / median(times, 0):.2f} (median), {best[1] / min(times)[0]:.2f} (minimum), "
                      f"{best[2] / median(times, 1):.2f} (cpu) times as long")


if __name__ == "__main__":
    main()
