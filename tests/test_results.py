"""docs/results.md says what the counts beside it say: every UAR and difference of its tables, made again."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

DOCS = Path(__file__).parents[1] / "docs"
HEADING = re.compile(
    r"^### (?P<corpus>EMOVO|nEMO)(?:, (?P<backbone>CNN-6))?, (?P<labels>all labels|a tenth of the labels)$"
)
SHARES = {"all labels": 1.0, "a tenth of the labels": 0.1}


def stated():
    """Of each line of the tables: corpus, backbone, labels, arm, seeds, and the words for dev, test, difference."""
    key = None
    for line in (DOCS / "results.md").read_text("utf-8").splitlines():
        if line.startswith("#"):
            found = HEADING.match(line)
            key = found and (
                found["corpus"].lower(),
                "cnn6" if found["backbone"] else "resnet9",
                SHARES[found["labels"]],
            )
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if key and line.startswith("|") and cells[1].isdigit() and cells[0] != "chosen on dev":
            yield *key, *cells[:5]


def uars(counts):
    """UAR in % of each seed."""
    right = counts["clips"].where(counts["emotion"] == counts["predicted"], 0)
    sums = counts.assign(right=right).groupby(["seed", "emotion"])[["right", "clips"]].sum()
    return 100 * (sums["right"] / sums["clips"]).groupby("seed").mean()


@pytest.fixture(scope="module")
def counts():
    files = sorted((DOCS / "confusions").glob("*.csv.xz"))
    return {file.name.removesuffix(".csv.xz"): pd.read_csv(file) for file in files}


def test_the_tables_are_found():
    rows = list(stated())
    assert len(rows) > 40
    assert {row[0] for row in rows} == {"emovo", "nemo"}


@pytest.mark.parametrize(("corpus", "backbone", "labels", "arm", "seeds", "dev", "test", "difference"), stated())
def test_a_line_follows_from_the_counts(counts, corpus, backbone, labels, arm, seeds, dev, test, difference):
    own = counts[corpus].query("backbone == @backbone and labels == @labels and split == 'test'")
    mine, base = (uars(own[own["arm"] == name]) for name in (arm, "baseline"))
    both = mine.index.intersection(base.index)
    assert len(both) == int(seeds)
    mine, base = mine[both], base[both]
    sd = f" ± {mine.std():.1f}" if len(mine) > 1 else ""
    assert test == f"{mine.mean():.1f}{sd}"
    if arm != "baseline":
        assert float(difference.split()[0]) == pytest.approx((mine - base).mean(), abs=0.0501)
    said_of_dev = counts[corpus].query(
        "backbone == @backbone and labels == @labels and split == 'dev' and arm == @arm"
    )
    by_fold = [uars(fold).loc[both].mean() for _, fold in said_of_dev.groupby("fold")]
    assert float(dev) == pytest.approx(np.mean(by_fold), abs=0.0501)
