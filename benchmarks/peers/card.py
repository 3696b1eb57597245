"""Measures milkit's cuda_bench and PyTorch on the same card in turns, in one run, and prints Markdown tables.

    python card.py CUDA_BENCH [--torch PYTHON] [--out results.json] [--seconds 480] [--cases PATTERN...]
    python card.py results.json        prints the tables of an earlier run again, also of one that was stopped

Without --torch milkit is measured alone. Ratios are PyTorch's time divided by milkit's, by medians. Limits: the bytes that
must move over the bandwidth of a large copy, and the FLOPs over the rate of a large square product, both in this run; a
work's limit is the larger. After --seconds no further case is begun; what was left out is listed.
"""
from __future__ import annotations

import argparse
import datetime
import fnmatch
import json
import os
import pathlib
import subprocess
import sys
import time

from turns import Served, Work, in_turns, least, median, prepare

HERE = pathlib.Path(__file__).resolve().parent
STEPS = {"1000": 200, "10000": 100, "100000": 20}
LIMITS = ["copy/large", "copy/as adam"] + [f"matmul/square/{rounding}" for rounding in ("float32", "tf32", "bf16")]
VARIANTS = {"eager": "PyTorch eager", "compiled": "PyTorch compiled", "reduce-overhead": "PyTorch compiled, CUDA graphs",
            "captured": "PyTorch eager, captured"}


def output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=HERE).stdout.strip()
    except OSError:
        return ""


def machine() -> dict:
    card, _, driver = output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").partition(", ")
    return {"card": card.strip(), "driver": driver.splitlines()[0] if driver else "",
            "nvcc": output(os.environ.get("NVCC", "nvcc"), "--version").partition("release ")[2].partition(",")[0],
            "commit": os.environ.get("MILKIT_COMMIT") or output("git", "rev-parse", "--short", "HEAD"),
            "changed": bool(output("git", "status", "--porcelain", "-uno")), "date": datetime.date.today().isoformat()}


def cases_of(names: list[str], patterns: list[str]) -> list[str]:
    """The limits first, then whole steps, then the ops; a step's name without its mode."""
    steps = list(dict.fromkeys(n.rpartition("/")[0] for n in names if n.endswith(("/queued", "/graph"))))
    ops = [n for n in names if not n.endswith(("/queued", "/graph")) and n not in LIMITS]
    wanted = [n for n in steps + ops if any(fnmatch.fnmatch(n, p) for p in patterns)]
    return LIMITS + wanted


def is_step(case: str) -> bool:
    return case.startswith(("training_step/", "inference/"))


def measure(case: str, ours: Served, peers: dict[str, Served], args: argparse.Namespace) -> dict:
    if is_step(case):
        contenders = {f"milkit, {mode}": Work(ours, f"{case}/{mode}") for mode in ("queued", "graph")}
    else:
        contenders = {"milkit": Work(ours, case)}
    for variant, process in peers.items():
        if is_step(case) or variant in ("eager", "compiled"):
            contenders[VARIANTS[variant]] = Work(process, case)
    steps = args.steps or (STEPS.get(case.split("/")[1], 20) if is_step(case) else 10 if case in LIMITS else 30)
    prepare(list(contenders.values()))
    in_turns(contenders, args.rounds if is_step(case) else min(args.rounds, 3), steps)
    for process in (ours, *peers.values()):
        process.ask()
    return {name: {**each.last, "seconds": each.seconds} for name, each in contenders.items()
            if "absent" not in each.last}


class Limits:
    def __init__(self, results: dict):
        def rate(case: str, key: str) -> float:
            found = results.get(case, {}).get("milkit", {})
            return found[key] / median(found) if found.get("seconds") else float("nan")
        self.copy, self.copy_as_adam = rate("copy/large", "bytes"), rate("copy/as adam", "bytes")
        self.products = {r: rate(f"matmul/square/{r}", "flops") for r in ("float32", "tf32", "bf16")}

    def product(self, case: str) -> float:
        return next((rate for name, rate in self.products.items() if name in case), self.products["float32"])

    def seconds(self, case: str, found: dict) -> float:
        return max(found["bytes"] / self.copy, found["flops"] / self.product(case))


def good(found: dict) -> bool:
    return bool(found.get("seconds"))


def best(found: dict, prefix: str) -> float | None:
    times = [median(f) for name, f in found.items() if name.startswith(prefix) and good(f)]
    return min(times) if times else None


def number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def figures(results: dict, limits: Limits) -> str:
    """What must be reached, row by row."""
    lines = ["| what | wanted | reached | |", "|---|---|---|---|"]

    def row(what: str, wanted: float, reached: float | None, unit: str, at_most: bool = False) -> None:
        start = f"| {what} | {'at most' if at_most else 'at least'} {wanted:g}{unit} | "
        if reached is None:
            lines.append(start + "not measured | |")
            return
        met = reached <= wanted if at_most else reached >= wanted
        lines.append(start + f"{reached:.2f}{unit} | {'met' if met else 'MISSED'} |")

    for instances, eager, compiled in (("1000", 5, 2), ("10000", 2, 1.3)):
        for rounding, words in (("float32", "TF32 off"), ("tf32", "TF32 on")):
            found = results.get(f"training_step/{instances}/{rounding}", {})
            for mode in ("queued", "graph"):
                own = best(found, f"milkit, {mode}")
                what = f"training step, N = {int(instances):,}, {words}, {mode}"
                plain = found.get("PyTorch eager", {})
                for name, wanted, other in (("PyTorch eager", eager, median(plain) if good(plain) else None),
                                            ("fastest compiled", compiled, best(found, "PyTorch compiled"))):
                    row(f"{what}: {name} takes", wanted, other / own if own and other else None, " times as long")
                if instances == "10000":
                    limit = own and limits.seconds(rounding, found[f"milkit, {mode}"])
                    row(f"{what}: time over the limit", 1.5, own and own / limit, "", at_most=True)
    for rule in ("sgd", "adam", "adamw"):
        found = results.get(rule, {}).get("milkit", {})
        share = found["bytes"] / median(found) / limits.copy * 100 if good(found) else None
        row(f"{rule} over 3 M parameters: of the copy bandwidth", 80, share, " %")
    found = results.get("training_step/10000/float32", {}).get("milkit, queued", {})
    row("memory beside bag, weights, moments at N = 10,000", 64, found["memory"] / 1e6 if good(found) else None, " MB",
        at_most=True)
    return "\n".join(lines) + "\n"


def step_table(case: str, found: dict, limits: Limits) -> str:
    kind, instances, rounding = case.split("/")
    title = f"{kind.replace('_', ' ')}, {int(instances):,} instances, TF32 {'on' if rounding == 'tf32' else 'off'}"
    lines = [f"### {title}\n",
             "| | ms, median | minimum | PyTorch eager / this | fastest compiled / this | over the limit | memory MB |",
             "|---|---|---|---|---|---|---|"]
    eager = median(found["PyTorch eager"]) if good(found.get("PyTorch eager", {})) else None
    compiled = best(found, "PyTorch compiled")
    work = next((f for n, f in found.items() if n.startswith("milkit") and good(f)), None)
    for name, f in found.items():
        if not good(f):
            lines.append(f"| {name} | failed: {f.get('failed', '')} | | | | | |")
            continue
        middle = median(f)
        by_graph = name in (VARIANTS["reduce-overhead"], VARIANTS["captured"])  # whose memory PyTorch does not count
        memory = f["memory"] / 1e6 if "memory" in f and not by_graph else None
        lines.append(f"| {name} | {middle * 1e3:.3f} | {least(f) * 1e3:.3f} | {number(eager and eager / middle)} | "
                     f"{number(compiled and compiled / middle)} | "
                     f"{number(work and middle / limits.seconds(case, work))} | {number(memory, 1)} |")
    return "\n".join(lines) + "\n"


def op_table(results: dict, limits: Limits) -> str:
    lines = ["| op | milkit us | GB/s | of copy | TFLOP/s | of product | over the limit | PyTorch eager / milkit "
             "| compiled / milkit | workspace MB |", "|---|---|---|---|---|---|---|---|---|---|"]
    for case, found in results.items():
        own = found.get("milkit")
        if is_step(case) or not own:
            continue
        if not good(own):
            lines.append(f"| {case} | failed: {own.get('failed', '')} | | | | | | | | |")
            continue
        middle = median(own)
        products = [f"{own['flops'] / middle / 1e12:.1f}", f"{own['flops'] / middle / limits.product(case):.0%}"]
        ratios = [number(median(found[n]) / middle) if good(found.get(n, {})) else ""
                  for n in ("PyTorch eager", "PyTorch compiled")]
        speed = own["bytes"] / middle
        lines.append(f"| {case} | {middle * 1e6:.1f} | {speed / 1e9:.0f} | {speed / limits.copy:.0%} | "
                     f"{' | '.join(products if own['flops'] else ['', ''])} | {middle / limits.seconds(case, own):.2f} | "
                     f"{' | '.join(ratios)} | {own['workspace'] / 1e6:.1f} |")
    return "\n".join(lines) + "\n"


def print_tables(about: dict, results: dict, left_out: list[str], tiny: bool) -> None:
    limits = Limits(results)
    if tiny:
        print("Toy sizes: the figures mean nothing.")
    print(", ".join(f"{key} {value}" for key, value in about.items() if value))
    print(f"\nCopy {limits.copy / 1e9:.0f} GB/s (of as many bytes as an Adam step moves: {limits.copy_as_adam / 1e9:.0f}), "
          "square products in TFLOP/s: " + ", ".join(f"{n} {rate / 1e12:.0f}" for n, rate in limits.products.items()) + "\n")
    print("## Figures to reach\n\n" + figures(results, limits))
    for case, found in results.items():
        if is_step(case):
            print(step_table(case, found, limits))
    print("### Ops\n\n" + op_table(results, limits))
    if left_out:
        print("Left out: " + ", ".join(left_out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="milkit's cuda_bench, or the JSON of an earlier run")
    parser.add_argument("--torch", help="a Python that has PyTorch with CUDA")
    parser.add_argument("--out", type=pathlib.Path, help="write every time, with card, driver and commit, as JSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="steps of each side a round, instead of 10 to 200")
    parser.add_argument("--seconds", type=float, default=480, help="begin no case after so many")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, to see that everything runs on an emulated card")
    parser.add_argument("--cases", nargs="+", default=["*"], metavar="PATTERN", help="such as 'training_step/*'")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    args = parser.parse_args()
    if args.program.endswith(".json"):
        found = json.loads(pathlib.Path(args.program).read_text())
        print_tables(found["about"], found["results"], [], False)
        return
    end = time.monotonic() + args.seconds
    ours = Served([args.program] + (["--tiny"] if args.tiny else []))
    peers = {variant: Served([args.torch, str(HERE / "serve.py"), variant, "--device", "cuda"])
             for variant in args.variants if args.torch}
    about = machine() | {"torch": next((p.about["torch"] for p in peers.values() if "torch" in p.about), None),
                         "rounds": args.rounds}
    if "names" not in ours.about:
        raise SystemExit(ours.about["failed"])
    results, left_out = {}, []
    for case in cases_of(ours.about["names"], args.cases):
        if time.monotonic() > end:
            left_out.append(case)
            continue
        results[case] = measure(case, ours, peers, args)
        print(f"{case}: " + ", ".join(f"{n} {median(f) * 1e6:.1f} us" if good(f) else f"{n} {f.get('failed')}"
                                      for n, f in results[case].items()), file=sys.stderr, flush=True)
        if args.out:  # after each case, so that nothing is lost when a later one is stopped
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps({"about": about, "results": results}))
    for process in (ours, *peers.values()):
        process.stop()
    print_tables(about, results, left_out, args.tiny)
    failed = [f"{case}: {name}: {f['failed']}" for case, found in results.items() for name, f in found.items()
              if "failed" in f and name.startswith("milkit")]
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
