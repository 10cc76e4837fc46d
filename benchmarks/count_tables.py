"""The tables of docs/results.md, made from the counts in docs/confusions; graph_gain.py makes its tables here too.

    python benchmarks/count_tables.py docs/confusions/ased.csv.xz --labels 0.1 [--backbone resnet9:0.25] \
        [--probe 83.5] [--base "baseline, 60 epochs"]

`--probe` is the UAR of the best probe of the teacher, in %, for the column "gap closed". `graph_gain.py` adds new
students to the counts (`--confusions`), beside those whose predictions are gone.
"""

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cells import table_uar

from ser_graph.evaluation import bootstrap_difference, gap_closed
from ser_graph.evaluation.significance import holm
from ser_graph.evaluation.tables import markdown_table

BASELINE, CHOSEN = "baseline", "chosen on dev"
HEADS = {
    "dev": "UAR, dev",
    "uar": "UAR, test",
    "difference": "difference [95 %]",
    "p_holm": "p, Holm",
    "gap": "gap closed",
}
PERCENT = ["dev", "uar", "sd", "difference", "low", "high", "gap", "homophily", "same_speaker", "coverage"]


def clips(counts: pd.DataFrame) -> pd.DataFrame:
    """A row for each clip. Clips of one speaker and emotion are interchangeable; no interval needs more."""
    ordered = counts.sort_values(["speaker", "emotion"])
    rows = ordered.loc[ordered.index.repeat(ordered["clips"]), ["speaker", "emotion", "predicted"]]
    return rows.reset_index(drop=True)


def tests(counts: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The test clips of each seed."""
    return {seed: clips(part) for seed, part in counts[counts["split"] == "test"].groupby("seed")}


def dev_uar(counts: pd.DataFrame, seeds: Collection[int]) -> float:
    """UAR on the dev clips of each fold, in the mean over folds and seeds; NaN without dev clips."""
    dev = counts[(counts["split"] == "dev") & counts["seed"].isin(seeds)]
    return float(np.mean([table_uar(clips(part)) for _, part in dev.groupby(["seed", "fold"])] or [np.nan]))


def chosen_on_dev(
    counts: pd.DataFrame, arms: Collection[str], base: str = BASELINE
) -> tuple[pd.DataFrame, list[str]]:
    """Of each fold, the test counts of the arm that is best on this fold's dev, in the mean over the base's seeds.

    The counts have the arm `CHOSEN`. Only those of `arms` are compared that have all of the base's seeds. The
    second result is the names of the chosen arms.
    """
    seeds = set(counts.loc[counts["arm"] == base, "seed"])
    able = [arm for arm in dict.fromkeys(counts["arm"]) if seeds <= set(counts.loc[counts["arm"] == arm, "seed"])]
    found, names = [], []
    for _, fold in counts[counts["seed"].isin(seeds)].groupby("fold"):
        own = {arm: fold[fold["arm"] == arm] for arm in able if arm in arms}
        names.append(max(own, key=lambda arm: dev_uar(own[arm], seeds)))
        found.append(own[names[-1]])
    chosen = pd.concat(found)
    return chosen[chosen["split"] == "test"].assign(arm=CHOSEN), names


def row(arm: str, own: pd.DataFrame, base: pd.DataFrame, probe: float | None) -> dict[str, Any] | None:
    """The numbers of an arm, with the seeds that it shares with the base; None if it shares none."""
    test, base_test = tests(own), tests(base)
    seeds = sorted(set(test) & set(base_test))
    if not seeds:
        return None
    values, before = ([table_uar(one[seed]) for seed in seeds] for one in (test, base_test))
    found: dict[str, Any] = {"arm": arm, "seeds": len(seeds), "dev": dev_uar(own, seeds), "uar": np.mean(values)}
    found["sd"] = np.std(values, ddof=1) if len(values) > 1 else np.nan
    if own is not base:
        change = bootstrap_difference([base_test[seed] for seed in seeds], [test[seed] for seed in seeds])
        found |= {"difference": change.difference, "low": change.low, "high": change.high, "p": change.p_value}
        if probe is not None:
            found["gap"] = gap_closed(np.mean(values), np.mean(before), probe)
    return found


def numbers(counts: pd.DataFrame, probe: float | None = None, base: str = BASELINE) -> pd.DataFrame:
    """A row for each arm, the base first, the others in the order of the counts.

    Args:
        counts: of one backbone and share of labels, as docs/confusions has them.
        probe: UAR of the best probe of the teacher, from 0 to 1.
        base: the arm with which the others are compared; seeds that it lacks do not count.
    """
    parts = {arm: counts[counts["arm"] == arm] for arm in dict.fromkeys([base, *counts["arm"]])}
    rows = [row(arm, own, parts[base], probe) for arm, own in parts.items()]
    found = pd.DataFrame([one for one in rows if one is not None])
    if "p" in found:  # what dev chose is one comparison, not one of many
        compared = found["arm"] != CHOSEN
        found.loc[compared, "p_holm"] = holm(found.loc[compared, "p"])
    return found


def words_of(table: pd.DataFrame) -> pd.DataFrame:
    """The numbers as text, in %."""
    percent = {
        name: ["" if pd.isna(value) else f"{100 * value:.1f}" for value in table[name]]
        for name in PERCENT
        if name in table
    }
    words = pd.DataFrame({"arm": table["arm"], **percent})
    words["seeds"] = ["" if pd.isna(value) else f"{value:.0f}" for value in table["seeds"]]
    words["uar"] = [f"{one} ± {sd}" if sd else one for one, sd in zip(words["uar"], words["sd"], strict=True)]
    if "p" in table:
        spans = zip(words["difference"], words["low"], words["high"], strict=True)
        words["difference"] = [f"{one} [{low}, {high}]" if one else "" for one, low, high in spans]
        for name in ("p", "p_holm"):
            words[name] = ["" if pd.isna(value) else f"{value:.3f}" for value in table[name]]
    order = ["arm", "seeds", "dev", "uar", "difference", "p", "p_holm", "gap"]
    order += ["homophily", "same_speaker", "coverage"]
    return words[[name for name in order if name in words]].rename(columns=HEADS)


def choices(names: list[str]) -> str:
    """How many folds chose which arm."""
    picked = [f"{name} in {names.count(name)} of {len(names)} folds" for name in dict.fromkeys(names)]
    return f"Chosen on dev: {', '.join(picked)}."


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
    chosen, names = chosen_on_dev(own, set(own["arm"]), asked.base)
    both = pd.concat([own, chosen])
    probe = None if asked.probe is None else asked.probe / 100
    print(f"{markdown_table(words_of(numbers(both, probe, asked.base)))}\n\n{choices(names)}")


if __name__ == "__main__":
    main()
