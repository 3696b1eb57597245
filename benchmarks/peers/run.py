"""Measures milkit's gated_attention_bench and its PyTorch peer in turns, in one run, and prints Markdown tables.

    python run.py BUILD_FOLDER [--out results.json] [--rounds 7] [--cases training_step:10000 ...]

In each round every contender has its turn, in an order that is reversed from round to round. Ratios are PyTorch's time
divided by milkit's, by the medians and by the minima of all steps; PyTorch is the fastest of its variants by that
measure. The share of the FMA peak counts the FLOPs of the plain algorithm (what is computed twice counts once) and
divides by the highest speed that a loop of multiply-adds in registers reached in this run.
"""
from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

from gated_attention import TUNED

HERE = pathlib.Path(__file__).resolve().parent
CASES = ["training_step:1000", "training_step:10000", "training_step:100000", "inference:1000", "inference:10000",
         "inference:100000"]
STEPS = {1000: 20, 10000: 5, 100000: 1}


class Ours:
    """milkit with one matrix product; a fresh process each turn."""

    def __init__(self, program: str, name: str, case: str, instances: int, threads: int):
        pattern = f"^{case}/{name}/instances:{instances}/chunk:0/threads:{threads}/"
        self.command = [program, f"--benchmark_filter={pattern}", "--benchmark_format=json", "--benchmark_min_time=0.001"]
        self.seconds: list[float] = []
        self.turns: list[dict] = []

    def turn(self, steps: int) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        run = subprocess.run(self.command + [f"--benchmark_repetitions={steps}"], capture_output=True, text=True,
                             env=environment)
        if run.returncode:
            raise SystemExit(f"{' '.join(self.command)}: {run.stderr}")
        for each in json.loads(run.stdout)["benchmarks"]:
            if each.get("error_occurred"):
                raise SystemExit(f"{each['name']}: {each['error_message']}")
            if each["run_type"] == "iteration":
                self.seconds.append(each["real_time"] / 1e3)
                self.turns.append(each)

    def figures(self) -> dict:
        return {"memory_mb": max(t["resident MB"] for t in self.turns),
                "workspace_mb": max(t["workspace MB"] for t in self.turns),
                "flop": statistics.median(t["FLOP/s"] * t["real_time"] / 1e3 for t in self.turns),
                "peak": max(t["peak FLOP/s"] for t in self.turns)}

    def stop(self) -> None:
        pass


class Theirs:
    """One variant of the PyTorch peer; one process that waits for its turns."""

    def __init__(self, variant: str, case: str, instances: int, threads: int):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
        environment |= TUNED if variant == "tuned" else {}
        command = [sys.executable, str(HERE / "gated_attention.py"), case, str(instances), variant, "--threads",
                   str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.seconds: list[float] = []
        self.about = self.answer()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the PyTorch side ended with status {self.process.wait()}")
        return json.loads(line)

    def turn(self, steps: int) -> None:
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        self.seconds += self.answer()["seconds"]

    def figures(self) -> dict:
        return self.about

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def machine(build: pathlib.Path) -> dict:
    def output(*command: str) -> str:
        run = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
        return run.stdout.strip()
    cpu = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    compiler = re.search(r"CMAKE_CXX_COMPILER:\w+=(.*)", (build / "CMakeCache.txt").read_text()).group(1)
    return {"cpu": cpu[0] if cpu else platform.processor(), "cores": os.cpu_count(),
            "compiler": output(compiler, "--version").splitlines()[0], "commit": output("git", "rev-parse", "--short", "HEAD"),
            "changed": bool(output("git", "status", "--porcelain", "-uno")), "date": datetime.date.today().isoformat(),
            "load": os.getloadavg()[0]}


def measure(program: str, case: str, instances: int, args: argparse.Namespace) -> dict:
    contenders = {f"PyTorch {v}": Theirs(v, case, instances, args.threads) for v in args.variants}
    for name in args.products:
        contenders[f"milkit {name}"] = Ours(program, name, case, instances, args.threads)
        if case == "training_step" and instances >= 100_000:
            contenders[f"milkit {name}, all saved"] = Ours(program, name, case + "_all_saved", instances, args.threads)
    steps = STEPS.get(instances, 1)
    for i in range(args.rounds):
        for name in list(contenders) if i % 2 == 0 else reversed(contenders):
            contenders[name].turn(steps)
        print(f"{case} {instances}: round {i + 1} of {args.rounds}", file=sys.stderr)
    found = {}
    for name, each in contenders.items():
        each.stop()
        found[name] = {**each.figures(), "seconds": each.seconds}
    return found


def table(case: str, instances: int, found: dict, peak: float) -> str:
    flop = next(f["flop"] for f in found.values() if "flop" in f)
    theirs = [f["seconds"] for name, f in found.items() if name.startswith("PyTorch")]
    best = {f: min(map(f, theirs)) for f in (statistics.median, min)} if theirs else {}
    lines = [f"### {case}, {instances:,} instances\n",
             "| | PyTorch / this, medians | minima | median ms | minimum ms | of FMA peak, median | minimum | resident MB | workspace MB |",
             "|---|---|---|---|---|---|---|---|---|"]
    for name, f in found.items():
        middle, least = statistics.median(f["seconds"]), min(f["seconds"])
        ratios = [f"{best[g] / v:.2f}" if best else "" for g, v in ((statistics.median, middle), (min, least))]
        workspace = f"{f['workspace_mb']:.1f}" if "workspace_mb" in f else ""
        lines.append(f"| {name} | {ratios[0]} | {ratios[1]} | {middle * 1e3:.1f} | {least * 1e3:.1f} | "
                     f"{flop / middle / peak:.0%} | {flop / least / peak:.0%} | {f['memory_mb']:.1f} | {workspace} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, help="the build folder, with benchmarks/gated_attention_bench")
    parser.add_argument("--out", type=pathlib.Path, help="write every time, with compiler, processor and commit, as JSON")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="CASE:INSTANCES")
    parser.add_argument("--products", nargs="+", default=["onednn", "openblas", "eigen"])
    parser.add_argument("--variants", nargs="*", default=["eager", "tuned", "compiled"])
    args = parser.parse_args()
    about = machine(args.build) | {"threads": args.threads, "rounds": args.rounds}
    program = str(args.build / "benchmarks" / "gated_attention_bench")
    results = {}
    for text in args.cases:
        case, instances = text.split(":")
        results[text] = measure(program, case, int(instances), args)
        found = [each for result in results.values() for each in result.values()]
        about |= {"fma_peak": max((f["peak"] for f in found if "peak" in f), default=0), "load_after": os.getloadavg()[0],
                  "torch": next((f["torch"] for f in found if "torch" in f), None)}
        if args.out:  # after each case, so that nothing is lost when a later one is stopped
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps({"about": about, "results": results}, indent=1))
    print(", ".join(f"{key} {value}" for key, value in about.items()), "\n")
    for text, result in results.items():
        case, instances = text.split(":")
        print(table(case, int(instances), result, about["fma_peak"]))


if __name__ == "__main__":
    main()
