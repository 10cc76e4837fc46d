"""The tables of docs/results.md, made again from the counts in docs/confusions.

    python benchmarks/count_tables.py docs/confusions/ased.csv.xz --labels 0.1 [--backbone resnet9:0.25] \
        [--probe 83.5] [--base "baseline, 60 epochs"]

`--probe` is the UAR of the best probe of the teacher, in %, for the column "gap closed". `graph_gain.py` adds new
students to the counts (`--confusions`), beside those whose predictions are gone.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cells import table_uar

from ser_graph.evaluation import bootstrap_difference, gap_closed
from ser_graph.evaluation.significance import holm
from ser_graph.evaluation.tables import markdown_table

BASELINE = "baseline"


def clips(counts: pd.DataFrame) -> pd.DataFrame:
    """A row for each clip. Clips of one speaker and emotion are interchangeable; no interval needs more."""
    ordered = counts.sort_values(["speaker", "emotion"])
    rows = ordered.loc[ordered.index.repeat(ordered["clips"]), ["speaker", "emotion", "predicted"]]
    return rows.reset_index(drop=True)


def row(arm: str, own: pd.DataFrame, base: pd.DataFrame, probe: float | None) -> dict[str, Any] | None:
    """The numbers of an arm, with the seeds that it shares with the baseline; None if it shares none."""
    test, base_test = (one[one["split"] == "test"] for one in (own, base))
    seeds = sorted({*test["seed"]} & {*base_test["seed"]})
    if not seeds:
        return None
    mine, theirs = ([clips(one[one["seed"] == seed]) for seed in seeds] for one in (test, base_test))
    values = [100 * table_uar(table) for table in mine]
    dev = [
        table_uar(clips(part))
        for (seed, _), part in own[own["split"] == "dev"].groupby(["seed", "fold"])
        if seed in seeds
    ]
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(seeds) > 1 else ""
    found: dict[str, Any] = {"arm": arm, "seeds": str(len(seeds)), "UAR, dev": f"{100 * np.mean(dev):.1f}"}
    found["UAR, test"] = f"{np.mean(values):.1f}{spread}"
    found |= {"difference [95 %]": "", "p": np.nan, "gap closed": ""}
    if own is not base:
        change = bootstrap_difference(theirs, mine)
        found["difference [95 %]"] = "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * one for one in change[:3]))
        found["p"] = change.p_value
        if probe is not None:
            before = 100 * np.mean([table_uar(table) for table in theirs])
            found["gap closed"] = f"{100 * float(gap_closed(np.mean(values), before, probe)):.1f}"
    return found


def table(counts: pd.DataFrame, probe: float | None = None, base: str = BASELINE) -> str:
    """The table of one backbone and share of labels, as Markdown; the arms in the order of the counts."""
    parts = {arm: counts[counts["arm"] == arm] for arm in dict.fromkeys([base, *counts["arm"]])}
    rows = [row(arm, own, parts[base], probe) for arm, own in parts.items()]
    found = pd.DataFrame([one for one in rows if one is not None])
    found.insert(list(found).index("p") + 1, "p, Holm", holm(found["p"]))
    for name in ("p", "p, Holm"):
        found[name] = ["" if np.isnan(value) else f"{value:.3f}" for value in found[name]]
    return markdown_table(found.drop(columns=[] if probe is not None else "gap closed"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=Path)
    parser.add_argument("--labels", type=float, required=True)
    parser.add_argument("--backbone", default="resnet9:0.25")
    parser.add_argument("--probe", type=float)
    parser.add_argument("--base", default=BASELINE)
    asked = parser.parse_args()
    counts = pd.read_csv(asked.counts, dtype={"speaker": str})
    own = counts[(counts["labels"] == asked.labels) & (counts["backbone"] == asked.backbone)]
    if asked.base not in set(own["arm"]):
        raise SystemExit(f"{asked.counts} has no counts of {asked.base}, {asked.backbone}, labels {asked.labels:g}")
    print(table(own, asked.probe, asked.base))


if __name__ == "__main__":
    main()
