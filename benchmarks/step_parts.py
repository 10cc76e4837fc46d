"""What each part of the training step saves: processor time of a step without it, as a ratio to the package's.

    python benchmarks/step_parts.py [--backbones resnet9 cnn6] [--repeats 5] [--profile] [--compile]

The baseline's step with Adam, as in the paper (16 clips of 373 x 64, no reading), on one thread, in the machine's
own precision. The variants take turns after two steps each that do not count; the least processor time counts, so
that other work on the machine adds nothing. What keeping freed memory saves is measured first, alone in the
process, as it holds for the rest of it. `--profile` also lists where the time goes, in the step as it was first
written and in today's; `--compile` adds `torch.compile`, and what compiling costs.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable

import pandas as pd
import torch
from torch.nn import functional

from ser_graph.common.devices import autocast, uses_bfloat16
from ser_graph.common.memory import keep_freed_memory
from ser_graph.downstream.backbones import make_backbone
from ser_graph.downstream.convolutions import MatmulConv2d
from ser_graph.evaluation.tables import markdown_table

CPU = torch.device("cpu")
PARTS = ("channels_last", "matmul", "own_precision")
VARIANTS = {
    "the package's step": PARTS,
    "narrow convolutions as oneDNN makes them": ("channels_last", "own_precision"),
    "Adam fused": (*PARTS, "fused_adam"),
    "contiguous": ("matmul", "own_precision"),
    "float32": ("channels_last", "matmul"),
}


def new_step(backbone: str, parts: tuple[str, ...], *, compiled: bool = False) -> Callable[[], None]:
    """A training step on the same random batch, with some of the parts."""
    torch.manual_seed(0)
    x, y = torch.randn(16, 373, 64), torch.randint(7, (16,))
    model = make_backbone(backbone, 7)
    if "matmul" not in parts:
        for module in model.modules():
            if isinstance(module, MatmulConv2d):
                module.__class__ = torch.nn.Conv2d
    if "channels_last" in parts:
        model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3, fused="fused_adam" in parts)
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        with autocast(CPU, "auto" if "own_precision" in parts else "float32"):
            logits = forward(x).logits
        loss = functional.cross_entropy(logits.float(), y)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def processor_seconds() -> float:
    """Of this process and of the compilers that it has started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def timed(step: Callable[[], None]) -> float:
    start = processor_seconds()
    step()
    return processor_seconds() - start


def least_of_turns(steps: dict[str, Callable[[], None]], repeats: int) -> pd.Series:
    """The least seconds of each; the first turn does not count."""
    turns = [{name: timed(step) for name, step in steps.items()} for _ in range(repeats + 1)]
    return pd.DataFrame(turns[1:]).min()


def alone(backbones: list[str], repeats: int) -> dict[str, float]:
    """Least milliseconds of the package's step of each backbone, one after the other."""
    return {
        backbone: round(1000 * least_of_turns({"step": new_step(backbone, PARTS)}, repeats)["step"])
        for backbone in backbones
    }


def where(step: Callable[[], None], steps: int = 3) -> pd.Series:
    """Share of the step in each of torch's operations."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(steps):
            step()
    seconds = pd.Series({row.key: row.self_cpu_time_total for row in profile.key_averages()})
    return seconds / seconds.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["resnet9", "cnn6"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # in this process, where its time can be read
    print(f"Own precision: {'bfloat16' if uses_bfloat16(CPU, 'auto') else 'float32'}\n")
    rows, profiles = [], {}
    memory = {"freed memory given back": alone(arguments.backbones, arguments.repeats)}
    print(f"Freed memory can be kept: {keep_freed_memory()}\n")
    memory["kept"] = alone(arguments.backbones, arguments.repeats)
    table = pd.DataFrame(memory).assign(x=lambda ms: ms["kept"] / ms["freed memory given back"])
    print(f"{markdown_table(table.round(2).reset_index(names='ms of a step'))}\n")
    for backbone in arguments.backbones:
        steps = {name: new_step(backbone, parts) for name, parts in VARIANTS.items()}
        if arguments.compile:
            steps["compiled"] = new_step(backbone, PARTS, compiled=True)
        first = {name: timed(step) for name, step in steps.items()}
        least = least_of_turns(steps, arguments.repeats)
        whole = least["the package's step"]
        rows += [
            {
                "backbone": backbone,
                "step": name,
                "ms": f"{1000 * least[name]:.0f}",
                "x": f"{least[name] / whole:.2f}",
            }
            for name in steps
        ]
        if arguments.compile:
            print(f"{backbone}: the first compiled step took {first['compiled']:.0f} s of processor time.\n")
        if arguments.profile:
            names = list(VARIANTS)[1::-1]
            shares = pd.DataFrame({name: where(steps[name]) for name in names}).fillna(0)
            profiles[backbone] = shares.sort_values(names[0], ascending=False).head(12)
    print(markdown_table(pd.DataFrame(rows)))
    for backbone, shares in profiles.items():
        table = shares.map("{:.1%}".format).reset_index(names=f"{backbone}, operation")
        print(f"\n{markdown_table(table)}")


if __name__ == "__main__":
    main()
