import pandas as pd
import pytest

from ser_graph.corpora import SPLITS
from ser_graph.corpora.adapter import clip_table, scan_names
from ser_graph.corpora.adapters.demos import _SPEAKERS, ADAPTER, demos_deviation, demos_split
from ser_graph.errors import InputError


def test_demos_split_ships_with_the_speakers_of_the_paper():
    speakers = pd.read_csv(_SPEAKERS, dtype=str)
    counts = pd.crosstab(speakers["gender"], speakers["split"])[list(SPLITS)]
    assert counts.loc["female"].tolist() == [9, 7, 7]
    assert counts.loc["male"].tolist() == [18, 18, 9]
    with pytest.raises(InputError, match="No split for the speakers 35"):
        demos_split(pd.DataFrame({"speaker": ["35"]}))


def test_demos_split_has_every_count_of_table_2(real_corpus):
    names = real_corpus("demos_names.txt").read_text().split()
    table = demos_split(clip_table(ADAPTER, scan_names(ADAPTER, names), "."))
    deviation = demos_deviation(table)
    assert int(deviation.abs().to_numpy().sum()) == 0, f"clips more than Table 2:\n{deviation}"
    emotional = table[table["emotion"] != "neutral"]
    assert emotional["split"].value_counts().to_dict() == {"train": 3729, "dev": 3310, "test": 2326}
    genders = pd.read_csv(_SPEAKERS, dtype=str).set_index("speaker")["gender"]
    assert (table["gender"] == table["speaker"].map(genders)).all()
