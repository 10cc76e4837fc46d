"""docs/results.md says what the counts beside it say: every UAR and difference of its tables, made again."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser_graph.evaluation.significance import bootstrap_difference

DOCS = Path(__file__).parents[1] / "docs"
SHARES = {"all labels": 1.0, "a tenth of the labels": 0.1, "2 % of the labels": 0.02, "no labels": 0.0}
CORPORA = {
    "EMOVO": "emovo",
    "RAVDESS": "ravdess",
    "nEMO": "nemo",
    "ASED": "ased",
    "ASED without shortcuts": "ased-strict",
    "ASED at an eighth of the width": "ased-eighth",
    "ASED at full width": "ased-full",
    "ASED with CNN-6 at half width": "ased-cnn6",
}
HEADING = re.compile(rf"^### (?P<corpus>{'|'.join(CORPORA)}), (?P<labels>{'|'.join(SHARES)})$")


def stated():
    """Of each line of the tables: corpus, labels, arm, seeds, and the words for dev, test, difference."""
    key = None
    for line in (DOCS / "results.md").read_text("utf-8").splitlines():
        if line.startswith("#"):
            found = HEADING.match(line)
            key = found and (CORPORA[found["corpus"]], SHARES[found["labels"]])
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if key and line.startswith("|") and cells[1].isdigit() and cells[0] != "chosen on dev":
            yield *key, *cells[:5]


def uars(counts):
    """UAR in % of each seed."""
    right = counts["clips"].where(counts["emotion"] == counts["predicted"], 0)
    sums = counts.assign(right=right).groupby(["seed", "emotion"])[["right", "clips"]].sum()
    return 100 * (sums["right"] / sums["clips"]).groupby("seed").mean()


def clips(counts, seed):
    """A row a clip; clips of one speaker and emotion are not told apart, which no interval needs."""
    own = counts[counts["seed"] == seed].sort_values(["speaker", "emotion"])
    return own.loc[own.index.repeat(own["clips"]), ["speaker", "emotion", "predicted"]].reset_index(drop=True)


@pytest.fixture(scope="module")
def counts():
    files = sorted((DOCS / "confusions").glob("*.csv.xz"))
    return {file.name.removesuffix(".csv.xz"): pd.read_csv(file) for file in files}


def test_the_tables_are_found():
    assert len(list(stated())) >= 12
    assert {corpus for corpus, *_ in stated()} == set(CORPORA.values())
    assert {labels for _, labels, *_ in stated()} == set(SHARES.values())


@pytest.mark.parametrize(("corpus", "labels", "arm", "seeds", "dev", "test", "difference"), list(stated()))
def test_a_line_follows_from_the_counts(counts, corpus, labels, arm, seeds, dev, test, difference):
    everything = counts[corpus].query("labels == @labels")
    own = everything[everything["split"] == "test"]
    own_arm, own_base = (own[own["arm"] == name] for name in (arm, "baseline"))
    both = sorted({*own_arm["seed"]} & {*own_base["seed"]})
    assert len(both) == int(seeds)
    mine = uars(own_arm)[both]
    sd = f" ± {mine.std():.1f}" if len(mine) > 1 else ""
    assert test == f"{mine.mean():.1f}{sd}"
    if arm != "baseline":
        found = bootstrap_difference(*([clips(one, seed) for seed in both] for one in (own_base, own_arm)))
        assert difference == "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * np.array(found[:3])))
        assert 100 * found.difference == pytest.approx((mine - uars(own_base)[both]).mean())
    said_of_dev = everything[(everything["split"] == "dev") & (everything["arm"] == arm)]
    by_fold = [uars(fold).loc[both].mean() for _, fold in said_of_dev.groupby("fold")]
    assert float(dev) == pytest.approx(np.mean(by_fold), abs=0.0501)
