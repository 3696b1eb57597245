"""Measures milkit's benchmarks and their PyTorch peers in turns, in one run, and prints Markdown tables.

    python run.py BUILD_FOLDER [--out results.json] [--rounds 7] [--cases training_step:10000 'matmul:*' colon slide ...]

Cases: training_step:N and inference:N (gated attention, N instances), matmul:PRODUCT:ROWS, softmax:DIRECTION:ROWSxCOLS,
colon, conv2d, resnet, sampling, topk, zoom_in and zoom_mil (each by a script of its own beside this one) and slide (tiles,
beside plain OpenSlide). --cases takes patterns too.

In each round every contender has its turn, in an order that is reversed from round to round. Ratios are PyTorch's time
divided by milkit's, by the medians and by the minima of all steps; PyTorch is the fastest of its variants by that
measure. The share of the FMA peak counts the FLOPs of the plain algorithm (what is computed twice counts once) and
divides by the highest speed that a loop of multiply-adds in registers reached in this run.
"""
from __future__ import annotations

import argparse
import datetime
import fnmatch
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

from gated_attention import TUNED
from turns import Served, Work, in_turns, least, median

HERE = pathlib.Path(__file__).resolve().parent
PRODUCTS = ["project", "branches", "dbranch_weights", "dproject_weights", "dh"]
SCRIPTS = {"colon": "colon_network.py", "conv2d": "conv2d.py", "resnet": "resnet.py", "sampling": "sampling.py", "topk": "topk.py",
           "zoom_in": "zoom_in.py", "zoom_mil": "zoom_mil.py"}
CASES = ["training_step:1000", "training_step:10000", "training_step:100000", "inference:1000", "inference:10000",
         "inference:100000", *(f"matmul:{product}:10000" for product in PRODUCTS),
         *(f"softmax:{way}:{size}" for way in ("forward", "backward")
           for size in ("10000x256", "1000x1000", "10x10000", "1x100000")), *SCRIPTS, "slide"]
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
STEPS = {"1000": 20, "10000": 5, "100000": 1}


class Ours:
    """Benchmarks of milkit whose names begin with `pattern`; a fresh process each turn."""

    def __init__(self, program: pathlib.Path, pattern: str):
        self.command = [str(program), f"--benchmark_filter=^{pattern}", "--benchmark_format=json",
                        "--benchmark_min_time=0.001"]
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
                self.seconds.append(each["real_time"] * UNITS[each["time_unit"]])
                self.turns.append(each)

    def figures(self) -> dict:
        counters = {"memory_mb": "resident MB", "workspace_mb": "workspace MB", "peak": "peak FLOP/s"}
        found = {name: max(t[counter] for t in self.turns) for name, counter in counters.items() if counter in self.turns[0]}
        return found | {"flop": statistics.median(t["FLOP/s"] * t["real_time"] * UNITS[t["time_unit"]] for t in self.turns)}

    def stop(self) -> None:
        pass


def peer(file: str, *arguments: str, threads: int, tuned: bool = False) -> Served:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""} | (TUNED if tuned else {})
    return Served([sys.executable, str(HERE / file), *arguments, "--threads", str(threads)], environment)


class Theirs:
    """One variant of gated_attention.py; one process that waits for its turns."""

    def __init__(self, variant: str, case: str, instances: str, threads: int):
        self.process = peer("gated_attention.py", case, instances, variant, threads=threads, tuned=variant == "tuned")
        self.seconds: list[float] = []
        if "failed" in self.process.about:  # asked for here, so that it is ready before the first turn
            raise SystemExit(self.process.about["failed"])

    def turn(self, steps: int) -> None:
        answer = self.process.ask(str(steps))
        if "failed" in answer:
            raise SystemExit(answer["failed"])
        self.seconds += answer["seconds"]

    def figures(self) -> dict:
        return self.process.about

    def stop(self) -> None:
        self.process.stop()


def machine(build: pathlib.Path) -> dict:
    def output(*command: str) -> str:
        run = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
        return run.stdout.strip()
    cpu = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    compiler = re.search(r"CMAKE_CXX_COMPILER:\w+=(.*)", (build / "CMakeCache.txt").read_text()).group(1)
    return {"cpu": cpu[0] if cpu else platform.processor(), "cores": os.cpu_count(),
            "compiler": output(compiler, "--version").splitlines()[0],
            "commit": output("git", "rev-parse", "--short", "HEAD"),
            "changed": bool(output("git", "status", "--porcelain", "-uno")), "date": datetime.date.today().isoformat(),
            "load": os.getloadavg()[0]}


def contenders_of(text: str, args: argparse.Namespace) -> tuple[dict, int]:
    """Who measures this case, and how many steps a turn has."""
    case, *rest = text.split(":")
    folder, threads, contenders = args.build / "benchmarks", args.threads, {}
    if case in ("training_step", "inference"):
        (instances,) = rest
        contenders = {f"PyTorch {v}": Theirs(v, case, instances, threads) for v in args.variants}
        end = f"instances:{instances}/chunk:0/threads:{threads}/"
        for name in args.products:
            contenders[f"milkit {name}"] = Ours(folder / "gated_attention_bench", f"{case}/{name}/{end}")
            if case == "training_step" and int(instances) >= 100_000:
                pattern = f"{case}_all_saved/{name}/{end}"
                contenders[f"milkit {name}, all saved"] = Ours(folder / "gated_attention_bench", pattern)
        return contenders, STEPS.get(instances, 1)
    if case == "matmul":
        product, rows = rest
        contenders["PyTorch eager"] = Work(args.served("eager"), f"matmul/{product}/{rows}")
        for name in args.products:
            pattern = f"{product}/{name}/rows:{rows}/threads:{threads}/gap:0/"
            contenders[f"milkit {name}"] = Ours(folder / "matmul_bench", pattern)
        return contenders, 10
    if case == "softmax":
        way, size = rest
        rows, cols = size.split("x")
        for variant in [v for v in args.variants if v != "tuned"]:
            contenders[f"PyTorch {variant}"] = Work(args.served(variant), f"softmax/{way}/{size}")
        contenders["milkit"] = Ours(folder / "softmax_bench", f"rows/{way}/rows:{rows}/cols:{cols}/")
        return contenders, 30
    raise SystemExit(f"there is no case {text}; there are {', '.join(CASES)}")


def measure(text: str, args: argparse.Namespace) -> dict:
    contenders, steps = contenders_of(text, args)
    for i in range(args.rounds):
        in_turns(contenders if i % 2 == 0 else dict(reversed(contenders.items())), 1, steps)
        print(f"{text}: round {i + 1} of {args.rounds}", file=sys.stderr)
    found = {}
    for name, each in contenders.items():
        each.stop()
        if not each.seconds:
            raise SystemExit(f"{text}: {name}: {each.figures()}")
        found[name] = {**each.figures(), "seconds": each.seconds}
    return found


def table(text: str, found: dict, peak: float) -> str:
    flop = next(f["flop"] for f in found.values() if "flop" in f)
    theirs = [f for name, f in found.items() if name.startswith("PyTorch")]
    best = {f: min(map(f, theirs)) for f in (median, least)} if theirs else {}
    lines = [f"### {text.replace(':', ', ')}\n",
             "| | PyTorch / this, medians | minima | median ms | minimum ms | of FMA peak, median | minimum | resident MB "
             "| workspace MB |", "|---|---|---|---|---|---|---|---|---|"]
    for name, f in found.items():
        ratios = [f"{best[g] / g(f):.2f}" if best else "" for g in (median, least)]
        memory = [f"{f[key]:.1f}" if key in f else "" for key in ("memory_mb", "workspace_mb")]
        lines.append(f"| {name} | {ratios[0]} | {ratios[1]} | {median(f) * 1e3:.2f} | {least(f) * 1e3:.2f} | "
                     f"{flop / median(f) / peak:.0%} | {flop / least(f) / peak:.0%} | {memory[0]} | {memory[1]} |")
    return "\n".join(lines) + "\n"


def script(case: str, args: argparse.Namespace) -> str:
    """A case by the script that measures it in turns."""
    command = [sys.executable, str(HERE / SCRIPTS[case]), str(args.build / f"benchmarks/{case}_bench"), "--rounds", str(args.rounds),
               "--threads", str(args.threads)] + (["--compile"] if case == "colon" and "compiled" in args.variants else [])
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(args.threads),
                   "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {run.returncode}")
    return f"### {case}\n\n" + run.stdout


def slide(args: argparse.Namespace) -> str:
    """Tiles of a slide beside plain OpenSlide, in turns within the program."""
    environment = {"MILKIT_DATA_DIR": str(HERE.parents[2] / "shared/data"), **os.environ}
    command = [str(args.build / "benchmarks/slide_bench"), "--benchmark_format=json", "--benchmark_min_time=5"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if run.returncode:
        raise SystemExit(f"slide_bench ended with status {run.returncode}")
    lines = ["### tiles of a slide\n",
             "| | OpenSlide / milkit, medians | by processor time | tiles/s | OpenSlide's tiles/s |", "|---|---|---|---|---|"]
    for each in json.loads(run.stdout)["benchmarks"]:
        figures = (f"{each['of raw']:.2f} | {each['of raw, cpu']:.2f} | {each['tiles/s']:.0f} | {each['raw tiles/s']:.0f}"
                   if not each.get("error_occurred") else f"{each['error_message']} | | |")
        lines.append(f"| {each['name'].removesuffix('/manual_time')} | {figures} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, help="the build folder, with benchmarks/gated_attention_bench")
    parser.add_argument("--out", type=pathlib.Path, help="write every time, with compiler, processor and commit, as JSON")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="CASE", help="such as colon or 'matmul:*'")
    parser.add_argument("--products", nargs="+", default=["onednn", "openblas", "eigen"])
    parser.add_argument("--variants", nargs="*", default=["eager", "tuned", "compiled"])
    args = parser.parse_args()
    about = machine(args.build) | {"threads": args.threads, "rounds": args.rounds}
    args.served = functools.cache(lambda variant: peer("serve.py", variant, threads=args.threads))
    cases = [name for text in args.cases for name in fnmatch.filter(CASES, text) or [text]]
    results, texts = {}, {}
    for text in cases:
        if text in SCRIPTS:
            texts[text] = script(text, args)
        elif text == "slide":
            texts[text] = slide(args)
        else:
            results[text] = measure(text, args)
        found = [each for result in results.values() for each in result.values()]
        about |= {"fma_peak": max((f["peak"] for f in found if "peak" in f), default=0),
                  "load_after": os.getloadavg()[0], "torch": importlib.metadata.version("torch")}
        if args.out:  # after each case, so that nothing is lost when a later one is stopped
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps({"about": about, "results": results, "texts": texts}, indent=1))
    print(", ".join(f"{key} {value}" for key, value in about.items()), "\n")
    for text in dict.fromkeys(cases):
        print(texts[text] if text in texts else table(text, results[text], about["fma_peak"]))


if __name__ == "__main__":
    main()
