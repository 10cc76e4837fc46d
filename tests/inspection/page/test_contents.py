import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from ser_graph.common.colors import EMOTION_COLORS
from ser_graph.errors import InputError
from ser_graph.inspection.page import contents
from ser_graph.inspection.page.contents import (
    check_color_column,
    gradient,
    page_columns,
    page_edges,
    page_rows,
    prediction_columns,
)

ALL = np.arange(120)


def columns_of(data, rows=ALL, extra=None):
    columns = page_columns(data, rows, pd.DataFrame(index=data.table.index) if extra is None else extra)
    return {column.pop("name"): column for column in columns}


def values_of(column):
    """What the page makes of a column, None where nothing is known."""
    if "numbers" in column:
        return column["numbers"]
    return [None if code < 0 else column["values"][code] for code in column["codes"]]


# Which clips


def test_all_clips_by_default(toy_graph):
    assert page_rows(toy_graph, None, 2, None, 0).tolist() == ALL.tolist()


@pytest.mark.parametrize("hops", [0, 1, 2, 3, 50])
def test_around_a_clip_is_the_ego_graph_of_networkx(toy_graph, hops):
    graph = nx.Graph(toy_graph.edge_index.T.tolist())
    graph.add_nodes_from(range(120))
    sizes = set()
    for node in (0, 3, 40, 119):
        rows = page_rows(toy_graph, toy_graph.table.index[node], hops, None, 0)
        assert rows.tolist() == sorted(nx.ego_graph(graph, node, radius=hops))
        sizes.add(len(rows))
    assert 1 in sizes and (hops == 0 or max(sizes) > 1)


def test_a_sample_is_sorted_and_the_same_again(toy_graph):
    rows = page_rows(toy_graph, None, 2, 30, 5)
    assert len(set(rows)) == 30 and (np.diff(rows) > 0).all() and set(rows) <= set(range(120))
    assert (rows == page_rows(toy_graph, None, 2, 30, 5)).all()
    assert (rows != page_rows(toy_graph, None, 2, 30, 6)).any()
    assert page_rows(toy_graph, None, 2, 500, 5).tolist() == ALL.tolist()


@pytest.mark.parametrize(
    ("ego", "hops", "sample", "message"),
    [
        ("s0/000.wav", 2, 10, "Both ego and sample"),
        ("s0/00.wav", 2, None, r"No clip 's0/00.wav' in the graph; similar names are .*'s0/0..\.wav'"),
        ("s0/000.wav", -1, None, "Bad hops -1"),
        (None, 2, 0, "Bad sample 0"),
    ],
)
def test_what_cannot_be_shown_is_refused(toy_graph, ego, hops, sample, message):
    with pytest.raises(InputError, match=message):
        page_rows(toy_graph, ego, hops, sample, 0)


def test_more_clips_than_a_page_can_show_are_refused(toy_graph, monkeypatch):
    near = len(page_rows(toy_graph, "s0/000.wav", 1, None, 0))
    assert 1 < near < 20
    monkeypatch.setattr(contents, "MOST_CLIPS", near)
    assert len(page_rows(toy_graph, "s0/000.wav", 1, None, 0)) == near
    assert len(page_rows(toy_graph, None, 1, near, 0)) == near
    for ego, hops, sample, n in (
        (None, 2, None, 120),
        (None, 2, near + 1, near + 1),
        ("s0/000.wav", 50, None, None),
    ):
        with pytest.raises(InputError, match=f"at most {near} clips, here are {n or ''}"):
            page_rows(toy_graph, ego, hops, sample, 0)


# Columns


@pytest.fixture
def wide_graph(toy_graph):
    """Columns of every kind, with gaps."""
    table = toy_graph.table.copy()
    rng = np.random.default_rng(0)
    table["speaker"] = [f"{clip % 12:02d}" for clip in range(120)]
    table["take"] = [str(clip) for clip in range(120)]
    table["age"] = rng.integers(18, 90, 120)
    table["year"] = pd.array([20_210_315 + clip for clip in range(120)], dtype="Int64")
    table["arousal"] = rng.normal(size=120)
    table["acted"] = rng.integers(2, size=120).astype(bool)
    table["checked"] = pd.array([True, False, None] * 40, dtype="boolean")
    table["language"] = pd.Categorical(["it", "de", None, "de"] * 30)
    table["mixed"] = [1, "a", None, 2.5] * 30
    table.loc[table.index[[0, 7]], ["emotion", "gender"]] = None
    table.loc[table.index[5:7], "arousal"] = [np.inf, np.nan]
    table.loc[table.index[8], "year"] = pd.NA
    toy_graph.table = table
    return toy_graph


@pytest.mark.parametrize("rows", [ALL, np.array([0, 5, 6, 7, 8, 9, 60])], ids=["all", "some"])
def test_columns_say_what_the_table_says(wide_graph, rows):
    shown = columns_of(wide_graph, rows)
    table = wide_graph.table.iloc[rows]
    assert list(shown) == [*table, "neighbours", "neighbour of"]
    for name in ("emotion", "speaker", "take", "gender", "split", "acted", "checked", "language", "mixed"):
        wanted = [None if pd.isna(value) else str(value) for value in table[name]]
        assert values_of(shown[name]) == wanted, name
        assert shown[name]["values"] == sorted({value for value in wanted if value is not None}), name
    for name in ("duration", "age", "year", "arousal"):
        numbers = table[name].astype(float)
        wanted = [value if np.isfinite(value) else None for value in numbers]
        assert values_of(shown[name]) == [None if v is None else pytest.approx(v, rel=5e-4) for v in wanted], name
    for name in ("age", "year"):  # whole numbers to the last digit
        known = table[name].notna().to_numpy()
        assert np.array(shown[name]["numbers"])[known].tolist() == table[name][known].tolist()


def test_degrees_are_those_of_the_whole_graph(toy_graph):
    rows = np.array([0, 3, 50, 119])
    edges = toy_graph.edge_index.T.tolist()
    shown = columns_of(toy_graph, rows)
    assert shown["neighbours"]["numbers"] == [sum(target == row for _, target in edges) for row in rows]
    assert shown["neighbour of"]["numbers"] == [sum(source == row for source, _ in edges) for row in rows]


def test_too_many_values_are_not_coloured(wide_graph):
    shown = columns_of(wide_graph)
    assert shown["take"]["colors"] is None and len(shown["take"]["values"]) == 120
    assert columns_of(wide_graph, ALL[:100])["take"]["colors"] is not None
    check_color_column(page_columns(wide_graph, ALL, pd.DataFrame(index=wide_graph.table.index)), "speaker")
    for by in ("take", "nothing"):
        with pytest.raises(InputError, match=f"Bad column '{by}', expected one of .*'age'.*'emotion'"):
            check_color_column(page_columns(wide_graph, ALL, pd.DataFrame(index=wide_graph.table.index)), by)


def test_colours_do_not_depend_on_the_clips_shown(wide_graph):
    def colors(rows):
        shown = columns_of(wide_graph, rows)
        return {
            (name, value): color
            for name in ("emotion", "speaker", "language")
            for value, color in zip(shown[name]["values"], shown[name]["colors"], strict=True)
        }

    whole, some = colors(ALL), colors(np.array([1, 5, 10, 11]))
    assert len(some) < len(whole) and some.items() <= whole.items()
    assert whole["emotion", "anger"] == EMOTION_COLORS["anger"]


def test_an_emotion_has_one_colour_in_every_column(toy_graph):
    toy_graph.table = toy_graph.table.assign(emotion=np.array(["contempt", "relief", "zeal"])[ALL % 3])
    extra = pd.DataFrame({"predicted": ["zeal"] * 120, "suggested": ["relief"] * 120}, index=toy_graph.table.index)
    shown = columns_of(toy_graph, extra=extra)
    colors = dict(zip(shown["emotion"]["values"], shown["emotion"]["colors"], strict=True))
    assert len(set(colors.values())) == 3
    assert shown["predicted"]["colors"] == [colors["zeal"]]
    assert shown["suggested"]["colors"] == [colors["relief"]]


def test_what_is_computed_replaces_a_column_of_that_name(toy_graph):
    toy_graph.table["neighbours"] = "old"
    toy_graph.table["outcome"] = "old"
    shown = columns_of(toy_graph, extra=pd.DataFrame({"outcome": "new"}, index=toy_graph.table.index))
    assert shown["outcome"]["values"] == ["new"]
    assert shown["neighbours"]["numbers"] == toy_graph.degrees().tolist()


def test_a_column_of_nothing(toy_graph):
    toy_graph.table = toy_graph.table.assign(emotion=None, age=np.nan)
    shown = columns_of(toy_graph)
    assert shown["emotion"] == {"values": [], "codes": [-1] * 120, "colors": []}
    assert shown["age"] == {"numbers": [None] * 120}


# Edges


@pytest.mark.parametrize("rows", [ALL, np.array([0, 3, 6, 9, 12, 15, 18, 30, 33, 70]), np.array([119])])
def test_edges_among_the_clips_shown(toy_graph, rows):
    place = {row: at for at, row in enumerate(rows.tolist())}
    wanted = {
        (place[source], place[target]): weight
        for (source, target), weight in zip(
            toy_graph.edge_index.T.tolist(), toy_graph.edge_weight.tolist(), strict=True
        )
        if source in place and target in place
    }
    edges = page_edges(toy_graph, rows)
    pairs = list(zip(edges["source"], edges["target"], strict=True))
    assert dict(zip(pairs, edges["similarity"], strict=True)) == pytest.approx(wanted, abs=1e-4)
    assert len(pairs) == len(wanted) and (len(rows) == 1) == (not pairs)


# Predictions


@pytest.fixture
def predictions(toy_graph):
    """A student that is right but for every fifth clip, as `predict` returns it."""
    said = toy_graph.table["emotion"].to_numpy(copy=True)
    said[::5] = np.array(["fear", "sadness", "anger"])[ALL[::5] % 3]
    table = toy_graph.table[["emotion", "speaker"]].assign(predicted=said)
    rng = np.random.default_rng(0)
    for emotion in toy_graph.emotions:
        table[f"p_{emotion}"] = np.where(said == emotion, rng.uniform(0.4, 1, 120), rng.uniform(0, 0.4, 120))
    return table


def test_predictions_are_matched_by_file(toy_graph, predictions):
    columns = prediction_columns(toy_graph, predictions)
    assert columns.index.equals(toy_graph.table.index)
    for file, row in columns.iterrows():
        given = predictions.loc[file]
        assert row["predicted"] == given["predicted"]
        assert row["outcome"] == ("right" if given["predicted"] == toy_graph.table["emotion"][file] else "wrong")
        assert row["p(predicted)"] == given[["p_anger", "p_fear", "p_sadness"]].max()
    assert (columns["outcome"] == "wrong").sum() == 24
    shuffled = predictions.sample(frac=1, random_state=0)
    assert prediction_columns(toy_graph, shuffled).equals(columns)


def test_predictions_of_some_clips_and_of_others(toy_graph, predictions, relabel):
    relabel(toy_graph, 1, -1)
    some = predictions.iloc[:10].rename(index={"s0/005.wav": "elsewhere.wav"})
    columns = prediction_columns(toy_graph, some)
    judged = [place for place in range(10) if place != 5]
    assert np.flatnonzero(columns["predicted"].notna()).tolist() == judged
    assert np.flatnonzero(columns["p(predicted)"].notna()).tolist() == judged
    assert np.flatnonzero(columns["outcome"].notna()).tolist() == [place for place in judged if place != 1]


def test_predictions_without_probabilities(toy_graph, predictions):
    columns = prediction_columns(toy_graph, predictions[["predicted"]].assign(p_value=0.99))
    assert list(columns) == ["predicted", "outcome"]


def test_predictions_as_categories(toy_graph, predictions):
    wanted = prediction_columns(toy_graph, predictions)
    predictions["predicted"] = predictions["predicted"].astype("category")
    toy_graph.table["emotion"] = pd.Categorical(toy_graph.table["emotion"], [*toy_graph.emotions, "zeal"])
    assert prediction_columns(toy_graph, predictions).equals(wanted)


def test_predictions_that_are_none_are_refused(toy_graph, predictions):
    with pytest.raises(InputError, match="no column 'predicted'"):
        prediction_columns(toy_graph, predictions.drop(columns="predicted"))
    with pytest.raises(InputError, match=r"None of the 120 predictions .*first is for x-s0/000.wav"):
        prediction_columns(toy_graph, predictions.rename(index=lambda file: f"x-{file}"))
    with pytest.raises(InputError, match="None of the 0 predictions"):
        prediction_columns(toy_graph, predictions.iloc[:0])
    with pytest.raises(InputError, match=r"contain s0/003.wav twice"):
        prediction_columns(toy_graph, predictions.iloc[[1, 3, 2, 3]])


def test_the_gradient_goes_from_dark_to_light():
    colors = [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in gradient()]
    lightness = torch.tensor(colors).double() @ torch.tensor([0.2126, 0.7152, 0.0722]).double()
    assert len(colors) == 256 and (lightness.diff() >= -1).all() and lightness[-1] - lightness[0] > 150
