import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from ser_graph.analysis import format_report, graph_report, mixing, mixing_table, report_json, score_clips
from ser_graph.errors import InputError

PARTS = [
    "settings",
    "card",
    "statistics",
    "degrees",
    "subgraphs",
    "mixing",
    "homophily",
    "bridge_pairs",
    "bridge_clips",
]
PARTS += ["communities", "near_duplicates", "leakage", "scores"]


def test_a_report_is_what_the_functions_say(toy_graph):
    report = graph_report(toy_graph, "speaker", n_permutations=50, n_neighbors=4, seed=3)
    assert list(report) == PARTS
    pd.testing.assert_frame_equal(report["mixing"], mixing_table(toy_graph, "speaker", n_permutations=50, seed=3))
    pd.testing.assert_frame_equal(report["scores"], score_clips(toy_graph, "speaker", n_neighbors=4))
    assert report["homophily"].index.unique("column").tolist() == ["speaker", "emotion", "gender"]
    with pytest.raises(InputError, match="Bad column 'accent'"):
        graph_report(toy_graph, "accent")


def test_as_json_it_holds_everything(toy_graph):
    report = graph_report(toy_graph, n_permutations=20)
    content = json.loads(json.dumps(report_json(report), allow_nan=False))
    assert list(content) == PARTS
    assert content["statistics"] == report["statistics"].to_dict()
    assert pd.DataFrame(content["scores"])["file"].tolist() == report["scores"].index.tolist()
    cells = {(row["emotion"], row["neighbour"]): row["edges"] for row in content["mixing"]}
    assert cells == report["mixing"]["edges"].to_dict()
    assert content["leakage"][0]["shared_sentences"] is None
    assert content["settings"]["betweenness_sources"] == 32


@pytest.mark.parametrize("by", ["emotion", "speaker", "file_name"])
def test_as_text_it_fits_the_screen(toy_graph, by):
    toy_graph.table["file_name"] = [f"recorded/in/the/studio/of/{file}" for file in toy_graph.table.index]
    report = graph_report(toy_graph, by, n_permutations=20)
    text = format_report(report)
    assert max(map(len, text.splitlines())) <= 110
    assert "nan" not in text.lower().replace("nant", "")
    assert f"{report['statistics']['n_edges']:,}" in text
    assert "betweenness sampled from 32 of 75 clips" in text
    assert report["scores"].index[0] in text


NONE = torch.empty(2, 0, dtype=torch.int64)


def without_edges(data):
    data.edge_index, data.edge_weight = NONE, torch.empty(0)


def without_labels(data):
    table, data.meta = data.table, data.meta.replace(names={})
    data.table = table.assign(emotion=np.nan, speaker=np.nan, gender=np.nan)


def with_one_class(data):
    table, data.meta = data.table, data.meta.replace(names={})
    data.table = table.assign(emotion="joy")


def without_a_split(data):
    data.table = data.table.assign(split=np.nan)
    data.meta = data.meta.replace(settings=data.meta.settings.replace(scope="all"))


def with_empty_columns(data):
    data.table = data.table.assign(sentence=np.nan, speaker=np.nan)


@pytest.mark.parametrize(
    "change", [without_edges, without_labels, with_one_class, without_a_split, with_empty_columns]
)
def test_where_there_is_nothing_to_count_it_says_so(toy_graph, change):
    change(toy_graph)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = graph_report(toy_graph, n_permutations=20)
        assert format_report(report)
    assert json.dumps(report_json(report), allow_nan=False)
    assert len(report["scores"]) == 120


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("label", ["a", "_"])
def test_graphs_of_few_clips(make_graph, n, label):
    data = make_graph([(1, 0)] if n > 1 else [], label * n, speaker="s" * n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = graph_report(data, n_permutations=20)
        assert format_report(report)
    assert json.dumps(report_json(report), allow_nan=False)
    assert report["statistics"]["n_clips"] == n


def test_too_many_values_for_pairs_leave_the_rest(toy_graph, monkeypatch):
    monkeypatch.setattr("ser_graph.analysis.report.MOST_VALUES", 7)
    report = graph_report(toy_graph, "speaker", n_permutations=20)
    assert report["mixing"].empty and report["bridge_pairs"].empty
    assert len(report["subgraphs"]) == 8
    assert format_report(report)
    assert mixing.MOST_VALUES > 100
