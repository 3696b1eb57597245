"""PyTorch's side of the benchmarks as one process that answers lines: run.py and card.py let it take turns with milkit.

    python serve.py {eager,compiled,reduce-overhead,captured} [--device cpu] [--threads 2]

"NAME STEPS" is answered with the seconds of so many steps of that work, {"absent": true} where this variant has none; an
empty line forgets what has been made. Names are those of ops.py, and on a card training_step/INSTANCES/ROUNDING and
inference/INSTANCES/ROUNDING of gated_attention.py.
"""
from __future__ import annotations

import argparse
import gc
import json
import sys

import torch

from gated_attention import allow_tf32, make_step, timed
from ops import Maker, Step, make_card_op, make_cpu_op

FLUSHED = 2**28  # bytes; more than the second-level cache of any card holds


def cold_times(step: Step, steps: int, flushed: torch.Tensor) -> list[float]:
    """Seconds of each step on a card, begun with a cold cache and after the host has queued it."""
    for _ in range(3):
        step()
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(steps)]
    for start, end in pairs:
        flushed.zero_()
        start.record()
        step()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) / 1e3 for start, end in pairs]


class Server:
    def __init__(self, device: str, variant: str):
        self.device, self.variant, self.made = device, variant, {}
        self.flushed = torch.empty(FLUSHED, dtype=torch.uint8, device=device) if device == "cuda" else None

    def make(self, name: str) -> tuple[Step | None, dict]:
        kind, *rest = name.split("/")
        torch.manual_seed(0)
        if kind in ("training_step", "inference"):
            step = make_step(kind, int(rest[0]), self.variant, self.device)
            step(), step()
            if self.device == "cuda":
                before = torch.cuda.memory_allocated()
                torch.cuda.reset_peak_memory_stats()
            if not torch.isfinite(step()).all():
                raise ValueError(f"the result of {name} is not finite")
            return step, {"memory": torch.cuda.max_memory_allocated() - before} if self.device == "cuda" else {}
        if self.variant not in ("eager", "compiled"):
            return None, {}
        maker = Maker(self.device, self.variant)
        step = make_card_op(name, maker) if self.device == "cuda" else make_cpu_op(name, maker)
        for _ in range(3 if step else 0):
            step()
        return step, {}

    def measured(self, name: str, steps: int) -> dict:
        step_case = name.startswith(("training_step", "inference"))
        allow_tf32("tf32" in name)
        if name not in self.made:
            self.made[name] = self.make(name)
        step, about = self.made[name]
        if step is None:
            return {"absent": True}
        seconds = (cold_times(step, steps, self.flushed) if self.device == "cuda" and not step_case
                   else timed(step, steps, self.device))
        return {"seconds": seconds, **about}

    def forget(self) -> dict:
        self.made.clear()
        if self.variant != "eager":
            torch._dynamo.reset()
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
        return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=["eager", "compiled", "reduce-overhead", "captured"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    server = Server(args.device, args.variant)
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        name, _, steps = line.strip().rpartition(" ")
        try:
            answer = server.measured(name, int(steps)) if name else server.forget()
        except Exception as error:  # the other works go on
            sentence = f"{type(error).__name__}: {error}".replace("|", "/")  # it ends in a cell of a table
            answer = {"failed": " ".join(sentence.split())[:200]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
