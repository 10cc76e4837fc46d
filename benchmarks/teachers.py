"""What does a teacher's space know of a corpus's emotions, and does adapting source and target help? No students.

    python benchmarks/teachers.py benchmarks/studies/nemo.toml --out runs/teachers-nemo [--set KEY=VALUE ...] \
        [--layers 3 4 6 projector] [--adapt "4, centred" "projector, centred"]

Each layer is looked at as it is and centred by speaker: do neighbours of a training clip (of those without a label,
if any) share its emotion, and what does a linear probe find on unheard speakers? In the spaces of `--adapt` the
source's labels come in too, as they are and adapted in three ways. Dev speakers choose every setting, also where no
label of the target is learnt from. The recipe says how speakers are left out. What is finished stays in `--out`.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch_geometric.nn import CorrectAndSmooth, LabelPropagation
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import to_undirected

import ser_graph as sg
from ser_graph.common.files import atomic_file
from ser_graph.common.hashing import content_hash
from ser_graph.common.settings import parse_changes
from ser_graph.corpora import join_corpora, leave_speakers_out
from ser_graph.evaluation import bootstrap, bootstrap_difference, uar
from ser_graph.evaluation.tables import markdown_table
from ser_graph.experiment.clips import prepare_corpus, prepare_source
from ser_graph.experiment.graph import prepare_upstream
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import load_recipe
from ser_graph.graph import alignment
from ser_graph.graph.building import assemble
from ser_graph.graph.centring import centred
from ser_graph.graph.neighbours import nearest_neighbours

LABELS = (1.0, 0.1, 0.02, 0.0)  # shares of the target's labels
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the probe
SOURCE_SHARES = (0.1, 0.5)  # what the source's clips weigh together, where the target has labels too
REACH = (0.5, 0.9)  # how far labels spread along the graph
TURNED = (0.1, 1.0)  # how strongly the adversary's gradient counts
STEPS, BATCH, WIDTH = 200, 256, 128  # of the learnt map


class Fold(NamedTuple):
    """N clips with masks [N] of the source, and of the target's train, dev and test (where those have an emotion).

    `y` are codes of emotions, -1 unknown; a method may look at those `known`, which count by `weight`.
    """

    emb: np.ndarray
    y: np.ndarray
    speaker: np.ndarray
    source: np.ndarray
    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray
    known: np.ndarray
    weight: np.ndarray


def inputs(recipe: Recipe, out: Path, layers: list[str]) -> tuple[pd.DataFrame, dict[str, Tensor]]:
    """One table of target and source, the target's emotions in it, and the embeddings of each layer."""
    learnt = prepare_source(recipe, out)
    source = prepare_corpus(recipe.sources[0], out / "source") if learnt is None else learnt
    target, upstream = prepare_corpus(recipe.targets[0], out / "target"), prepare_upstream(recipe, learnt, out)
    source = source.assign(emotion=source["emotion"].where(source["emotion"].isin(target["emotion"])))
    source.attrs["corpus"] = "source"
    table = join_corpora([target, source], labelled=[target.attrs["corpus"], "source"])
    how = {**recipe.embedding.model_dump(), "cache": out / "embeddings"}
    how["seconds"] = None if how["seconds"] == "own" else how["seconds"]
    made = {one: upstream.embed(table, **{**how, "layer": int(one) if one.isdigit() else one}) for one in layers}
    return table.assign(source=table["corpus"] == "source"), made


def folds(table: pd.DataFrame, emb: np.ndarray, labels: float, speakers: tuple[Any, ...]) -> Iterator[Fold]:
    """Each fold with this share of its training clips' labels, those that a student would know."""
    y, source = pd.Categorical(table["emotion"]).codes.astype("int64"), table["source"].to_numpy(bool)
    y = y if labels else np.where(np.isin(y, y[source]), y, -1)  # the source cannot say what it does not know
    target, source, who = table[~source], source & (y >= 0), pd.factorize(table["speaker"])[0]
    for _, part in leave_speakers_out(target, speakers[0], dev=True, n_dev=speakers[1]):
        known, split = source.copy(), part["split"].reindex(table.index)
        if labels:
            none = torch.zeros(len(part), 1)
            data = assemble(part, none, none, torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0))
            known |= table.index.isin(part.index[sg.downstream.labelled_nodes(data, label_fraction=labels).numpy()])
        masks = [(split == name).to_numpy() & ((y >= 0) | (name == "train")) for name in ("train", "dev", "test")]
        yield Fold(emb, y, who, source, *masks, known, np.ones(len(y), np.float32))


def probe(fold: Fold) -> tuple[float, np.ndarray]:
    """UAR on dev of the linear probe that is best there, and what it makes of all clips, [N, K]."""
    known, theirs, best = fold.known, fold.source[fold.known], (-1.0, np.empty(0))
    for share in SOURCE_SHARES if len(set(theirs)) == 2 else (theirs.mean(),):
        weight = fold.weight[known].copy()
        for part, total in ((theirs, share), (~theirs, 1 - share)):
            weight[part] *= total * len(weight) / max(weight[part].sum(), 1e-9)
        rows = StandardScaler().fit(fold.emb[known], sample_weight=weight).transform(fold.emb).astype("float32")
        model = LogisticRegression(max_iter=300, tol=1e-3, warm_start=True)
        for strength in STRENGTHS:
            model.set_params(C=strength).fit(rows[known], fold.y[known], weight)
            found = np.zeros((len(rows), fold.y.max() + 1), np.float32)
            found[:, model.classes_] = model.predict_proba(rows)
            best = max(best, (uar(fold.y[fold.dev], found[fold.dev].argmax(1)), found), key=lambda one: one[0])
    return best


def coral(fold: Fold) -> Fold:
    """Give the source mean and covariance of the target's training clips; see `alignment.coral`."""
    emb = fold.emb.copy()
    emb[fold.source] = alignment.coral(fold.emb[fold.source], fold.emb[fold.train])
    return fold._replace(emb=emb)


def adversarial(fold: Fold, against: str) -> Iterator[Fold]:
    """A learnt linear map of the embeddings that tells emotions, and not the corpus or the speaker."""
    group = fold.speaker if against == "speaker" else fold.source.astype("int64")
    for strength in TURNED if against != "nothing" else (0.0,):
        yield fold._replace(emb=mapped(fold, torch.from_numpy(group), strength))


def mapped(fold: Fold, group: Tensor, strength: float) -> np.ndarray:
    """[N, WIDTH] after Ganin et al. 2016: the gradient of what tells groups apart is reversed, more and more."""
    torch.manual_seed(0)
    theirs, everyone, y = fold.source, fold.source | fold.train, torch.from_numpy(fold.y)
    x = torch.from_numpy(StandardScaler().fit(fold.emb[everyone]).transform(fold.emb).astype("float32"))
    space, emotion = nn.Linear(x.shape[1], WIDTH), nn.Linear(WIDTH, int(y.max()) + 1)
    adversary = nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, int(group.max()) + 1))
    optimiser = torch.optim.AdamW(nn.ModuleList([space, emotion, adversary]).parameters())
    parts = [(mask & theirs, mask & ~theirs) for mask in (fold.known, everyone)]
    odds = [sum(torch.from_numpy(part / max(part.sum(), 1)) for part in both) for both in parts]
    for step in range(STEPS):
        now = strength * (2 / (1 + np.exp(-10 * step / STEPS)) - 1)
        learnt, heard = (torch.multinomial(one, BATCH, replacement=True) for one in odds)
        hidden = space(x[heard])
        turned = hidden * -now + (hidden * (1 + now)).detach()
        losses = (emotion(space(x[learnt])), y[learnt]), (adversary(turned), group[heard])
        optimiser.zero_grad()
        sum(nn.functional.cross_entropy(*both) for both in losses).backward()
        optimiser.step()
    with torch.no_grad():
        return space(x).numpy()


def self_training(fold: Fold, by: str) -> Iterator[Fold]:
    """Unlabelled training clips learn the likeliest emotion that probe or graph say of them, by its probability."""
    new, inside = fold.train & ~fold.known, fold.train | fold.known
    if new.any() and fold.known.any():
        said, graph = probe(fold)[1], edges(fold.emb[inside])
        known, y = torch.from_numpy(fold.known[inside]), torch.from_numpy(fold.y[inside])
        for reach in REACH if by != PROBE else (0.0,):
            found = said.copy()
            found[inside] = spread(by, torch.from_numpy(said[inside]), y, known, graph, reach)
            weight = np.where(new, found.max(1) / np.maximum(found.sum(1), 1e-9), fold.weight).astype("float32")
            yield fold._replace(y=np.where(new, found.argmax(1), fold.y), known=fold.known | new, weight=weight)


def edges(emb: np.ndarray) -> tuple[Tensor, Tensor]:
    """Edges both ways between clips of which one is among the ten nearest of the other; cosines, normalised."""
    ids, values = nearest_neighbours(torch.from_numpy(emb), 10, method="exact")
    pairs = torch.stack([ids, torch.arange(len(ids))[:, None].expand_as(ids)]).flatten(1)
    both = to_undirected(pairs, values.clamp_min(0).flatten(), reduce="max")
    return gcn_norm(*both, len(ids), add_self_loops=False)


def spread(by: str, said: Tensor, y: Tensor, known: Tensor, graph: tuple[Tensor, Tensor], reach: float) -> Tensor:
    """[n, K]: what was said, what the known labels say along the graph, or the one corrected by the other."""
    if by == PROPAGATION:
        truth = nn.functional.one_hot(y.clamp_min(0), said.shape[1]).float()
        return LabelPropagation(50, reach)(truth, graph[0], known, graph[1])
    asked = y[known], known, *graph
    model = CorrectAndSmooth(50, reach, 50, reach)
    return model.smooth(model.correct(said, *asked), *asked) if by == SMOOTH else said


SELF_TRAINED = PROBE, PROPAGATION, SMOOTH = "self-training", "propagation", "correct and smooth"
ALONE, TOGETHER, CHOSEN = "target alone", "source and target", "chosen on dev"
METHODS: dict[str, Callable[[Fold], Any]] = {
    ALONE: lambda fold: [fold._replace(known=fold.known & ~fold.source)],
    f"{ALONE}, {SMOOTH}": lambda fold: self_training(fold._replace(known=fold.known & ~fold.source), SMOOTH),
    f"{ALONE}, {PROBE}": lambda fold: self_training(fold._replace(known=fold.known & ~fold.source), PROBE),
    TOGETHER: lambda fold: [fold],
    "CORAL": lambda fold: [coral(fold)],
    **{f"map against {what}": partial(adversarial, against=what) for what in ("nothing", "corpus", "speaker")},
    **{by: partial(self_training, by=by) for by in SELF_TRAINED},
    f"CORAL, {SMOOTH}": lambda fold: self_training(coral(fold), SMOOTH),
}


def agreement(fold: Fold, seeds: np.ndarray) -> dict[str, float]:
    """What share of each seed's six nearest training and known source clips is like it; chance: of all pairs."""
    inside, numbers = fold.train | (fold.known & fold.source), {}
    ids = nearest_neighbours(torch.from_numpy(fold.emb[inside]), 6, method="exact")[0].numpy()
    rows = np.flatnonzero(seeds[inside])[:, None]
    for name, every in {"emotion": fold.y, "speaker": fold.speaker, "corpus": fold.source}.items():
        codes = every[inside]
        for words, others in (("same", ids[rows[:, 0]]), ("chance", np.arange(len(codes))[None])):
            counted = (others != rows) & (codes[others] >= 0) & (codes[rows] >= 0)
            numbers[f"{words}_{name}"] = (codes[others] == codes[rows])[counted].mean()
    return numbers


def measure(table: pd.DataFrame, method: str, parts: Iterator[Fold]) -> pd.DataFrame:
    """Test clips as the variant says that is best on dev, and the numbers of their fold; may be empty."""
    said, names = [table.loc[[], ["emotion", "speaker"]]], pd.Categorical(table["emotion"]).categories
    for number, fold in enumerate(parts):
        found = [(*probe(variant), variant) for variant in METHODS[method](fold) if variant.known.any()]
        for dev, values, best in sorted(found, key=lambda one: -one[0])[:1]:
            new = fold.train & ~fold.known & (fold.y >= 0)
            seen = fold._replace(emb=best.emb, known=best.known)  # with the true labels
            numbers = {"dev": dev, **agreement(seen, new if new.any() else fold.train)}
            numbers["pseudo"] = uar(fold.y[new], best.y[new]) if best.known[new].any() else np.nan
            rows = table.loc[fold.test, ["emotion", "speaker"]].assign(fold=number, **numbers)
            said.append(rows.assign(predicted=names[values[fold.test].argmax(1)]))
    return pd.concat(said[1:] or said)


def chosen(cells: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Each fold as the method says that is best on its dev."""
    whole = pd.concat(cells, names=["method"])
    best = whole.groupby(["fold", "method"], sort=False)["dev"].first().groupby("fold").idxmax()
    return pd.concat(cells[method][cells[method]["fold"] == fold] for fold, method in best)


def row_of(said: pd.DataFrame, before: pd.DataFrame, **words: Any) -> dict[str, Any]:
    """UAR with its interval over speakers; where another is before it, the difference with that interval."""
    row = {**words, "uar": uar(said["emotion"], said["predicted"]), **bootstrap(said)["uar"]}
    row |= said.groupby("fold").mean(numeric_only=True).mean().to_dict()
    row |= {} if said is before else bootstrap_difference(before, said)._asdict()
    shown = ("uar", "uar_low", "uar_high") if said is before else ("difference", "low", "high")
    text = "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * row[name] for name in shown))
    return row | {"text": text if said is before else f"{100 * row['uar']:.1f} ({text})"}


def wide(rows: pd.DataFrame, index: str, at: float) -> str:
    """A column for each share of labels; of the share `at` whom neighbours are like (chance), and pseudo-labels."""
    texts = rows.pivot_table("text", index, "labels", aggfunc="first", sort=False)[[*dict.fromkeys(rows["labels"])]]
    texts.columns = [f"{share:.0%} of the labels" for share in texts]
    numbers = 100 * rows[rows["labels"] == at].set_index(index).select_dtypes("number")
    numbers = numbers.map("{:.1f}".format, na_action="ignore")
    for name in ("emotion", "speaker", "corpus") if index == "method" else ("emotion", "speaker"):
        texts[f"same {name}, {at:.0%}"] = numbers[f"same_{name}"] + " (" + numbers[f"chance_{name}"] + ")"
    texts[f"pseudo-labels, {at:.0%}"] = numbers["pseudo"]
    return markdown_table(texts.dropna(axis=1, how="all").fillna("").reset_index())


def study(table: pd.DataFrame, made: dict[str, Tensor], out: Path, adapt: list[str], *speakers: Any) -> str:
    """Measure what is missing; tables as Markdown. `speakers` is how many folds and dev speakers there are."""
    rows = []
    for (layer, emb), center in product(made.items(), ("none", "speaker")):
        name = layer if center == "none" else f"{layer}, centred"
        emb = centred(emb, table, center).numpy()
        asked = content_hash(table[["emotion", "speaker", "source"]].astype(str).to_csv(), speakers, emb.tobytes())
        for labels in LABELS:
            cells = {}
            for method in METHODS if name in adapt else (ALONE, TOGETHER):
                file = out / "cells" / asked / f"{name}-{method}-{labels:g}.csv".replace(", ", "-")
                if not file.exists():
                    with atomic_file(file) as part:
                        measure(table, method, folds(table, emb, labels, speakers)).to_csv(part)
                if len(said := pd.read_csv(file, index_col="file", dtype={"speaker": str})):
                    cells[method] = said
            cells |= {CHOSEN: chosen(cells)} if name in adapt else {}
            before = cells[ALONE if labels else TOGETHER]
            rows += [row_of(said, before, space=name, labels=labels, method=key) for key, said in cells.items()]
    rows = pd.DataFrame(sorted(rows, key=lambda row: [*METHODS, CHOSEN].index(row["method"])))
    rows.to_csv(out / "teachers.csv", index=False)
    parts = [f"{name}:\n\n{wide(rows[rows['method'] == name], 'space', LABELS[0])}" for name in (ALONE, TOGETHER)]
    parts += [f"{name}:\n\n{wide(rows[rows['space'] == name], 'method', LABELS[1])}" for name in adapt]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--layers", nargs="+", default=["3", "4", "6", "projector"])
    parser.add_argument("--adapt", nargs="*", default=["4, centred", "projector, centred"], metavar="SPACE")
    asked = parser.parse_args()
    recipe = load_recipe(asked.recipe, parse_changes(asked.changes))
    speakers = None if recipe.folds == "speakers" else recipe.folds, recipe.dev_speakers
    said = study(*inputs(recipe, asked.out, asked.layers), asked.out, asked.adapt, *speakers)
    (asked.out / "teachers.md").write_text(f"# {recipe.name}\n\n{said}\n", "utf-8")
    print(said)


if __name__ == "__main__":
    main()
