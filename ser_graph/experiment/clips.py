"""The first stages of a run: the clips of its corpora, checked."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ser_graph.audio.clips import clip_paths
from ser_graph.common.csv_files import write_csv
from ser_graph.common.files import read_json, write_json
from ser_graph.common.hashing import file_contents, known_contents, remember_contents
from ser_graph.common.stages import Stage
from ser_graph.corpora import (
    check_split,
    join_corpora,
    leave_speakers_out,
    load_corpus,
    originals,
    read_table,
    speaker_split,
    with_copies,
    write_table,
)
from ser_graph.corpora.adapter import as_clip_table
from ser_graph.corpora.checking import check_clips, usable_clips
from ser_graph.errors import InputError, shorten
from ser_graph.experiment.recipe import Corpus, Recipe
from ser_graph.graph.alignment import check_align

logger = logging.getLogger(__name__)

_CONTENTS = "contents.json"  # what the clips' files looked like when they were hashed


def prepare_corpus(corpus: Corpus, folder: Path, *, skip_bad: bool = False) -> pd.DataFrame:
    """Load, split and check a corpus; `folder` keeps its clip table and `problems.csv`."""
    return _checked(corpus, _load(corpus, folder), folder, skip_bad=skip_bad)


def _checked(corpus: Corpus, table: pd.DataFrame, folder: Path, *, skip_bad: bool) -> pd.DataFrame:
    if (folder / _CONTENTS).exists():
        remember_contents(read_json(folder / _CONTENTS))
    asked = {
        "corpus": corpus.model_dump(mode="json", exclude={"root"}),
        "skip_bad": skip_bad,
        "clips": _clips(table),
    }
    stage = Stage(folder, asked)
    if stage.is_finished():
        checked = read_table(folder / "clips.csv")
        checked.attrs.update(table.attrs)
        return checked
    logger.info("Checking the %d clips of %s", len(table), table.attrs["corpus"])
    problems = check_clips(table)
    usable = usable_clips(table, problems, skip_bad=skip_bad)
    left_out = table.index.difference(usable.index).tolist()
    if left_out:
        logger.warning("Leaving out %d clips, listed in %s", len(left_out), folder / "problems.csv")
    check_split(usable, shared_speakers=corpus.shared_speakers)
    with stage.write() as part:
        write_table(usable, part / "clips.csv")
        write_json(part / _CONTENTS, known_contents(clip_paths(table)))
        write_csv(problems, part / "problems.csv", index=False)
    return usable


def _clips(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Each clip by its file: its row in the clip table, and the hash of its samples."""
    said = as_clip_table(table).astype(object)
    rows = said.where(said.notna(), None).to_dict("records")
    contents = file_contents(clip_paths(table))
    return {
        str(file): {**{str(column): value for column, value in row.items()}, "content": content}
        for file, row, content in zip(table.index, rows, contents, strict=True)
    }


def prepare_source(recipe: Recipe, out: Path, *, skip_bad: bool = False) -> pd.DataFrame | None:
    """The clips for fine-tuning the upstream, from all source corpora; None if the recipe does not fine-tune."""
    if not recipe.upstream.finetune:
        return None
    return _joined(_tables(recipe.sources, out, "source", labelled=True, skip_bad=skip_bad))


class Target(NamedTuple):
    """The clip tables of the targets, and of the other corpora."""

    labelled: list[pd.DataFrame]
    other: list[pd.DataFrame]

    def joined(self, copies: int) -> pd.DataFrame:
        """The nodes of the graph as one clip table, with copies of each clip."""
        table = _joined(self.labelled, self.other)
        return with_copies(table, copies) if copies else table


def prepare_target(recipe: Recipe, out: Path, *, skip_bad: bool = False) -> pd.DataFrame:
    """The nodes of the graph: the clips of the targets, and those of the other corpora (without shards)."""
    return target_tables(recipe, out, skip_bad=skip_bad).joined(recipe.copies)


def target_tables(recipe: Recipe, out: Path, *, skip_bad: bool = False) -> Target:
    """The clip tables of `prepare_target`, before they are joined."""
    return Target(
        _tables(recipe.targets, out, "target", labelled=True, skip_bad=skip_bad),
        _tables(recipe.other_files, out, "other", labelled=False, skip_bad=skip_bad),
    )


def check_labels(source: pd.DataFrame, target: pd.DataFrame) -> None:
    """Refuse a source whose emotions do not occur in the target.

    Raises:
        InputError: the source has none of the target's emotions.
    """
    known, asked = (set(table["emotion"].dropna()) for table in (source, target))
    if not known & asked:
        raise InputError(
            f"The source's emotions {sorted(known)} have nothing in common with the target's {sorted(asked)}; "
            "choose another source, or give its emotions the target's names: source.labels = {calm = 'neutral'}"
        )


def check_aligned(recipe: Recipe, target: pd.DataFrame) -> None:
    """Refuse students who align a corpus that is not in the clip table; clips of shards come later."""
    for cell in recipe.training_settings():
        if cell.align is not None and not recipe.shards:
            check_align(target, cell.align)


def check_tested(recipe: Recipe, source: pd.DataFrame | None, target: pd.DataFrame) -> None:
    """Refuse a run that tests no clip, or clips that the upstream is fine-tuned on; before the long work.

    Raises:
        InputError: no labelled test clip; folds that cannot be made; or the same clips in source and test, unless
            the recipe allows `shared_speakers`.
    """
    tested = target["emotion"].notna() & originals(target)
    if recipe.folds is None:
        tested &= target["split"] == "test"
        if not tested.any():
            raise InputError(
                f"No labelled clip of {target.attrs['corpus']} is in the split 'test'; give the target a split, or "
                "test on every speaker with folds = 'speakers'"
            )
    else:
        n_folds = None if recipe.folds == "speakers" else int(recipe.folds)
        list(leave_speakers_out(target, n_folds, dev=recipe.protocol == "clean"))
    if source is None or recipe.shared_speakers:
        return
    learnt = source[(source["split"] == "train") & source["emotion"].notna()]
    known = {path.resolve() for path in clip_paths(learnt)}
    both = [
        file
        for file, path in zip(target.index[tested], clip_paths(target[tested]), strict=True)
        if path.resolve() in known
    ]
    if both:
        raise InputError(
            f"The upstream is fine-tuned on {len(both)} of the test clips ({shorten(both)}); choose another "
            "source, or set shared_speakers = true in the target to allow this"
        )


def _tables(corpora: list[Corpus], out: Path, name: str, *, labelled: bool, skip_bad: bool) -> list[pd.DataFrame]:
    """The checked clip table of each corpus; the stages are called `name`, `name-2`, `name-3`, ..."""
    folders = [out / name, *(out / f"{name}-{number}" for number in range(2, len(corpora) + 1))]
    loaded = [(corpus, _load(corpus, folder), folder) for corpus, folder in zip(corpora, folders, strict=False)]
    if labelled and loaded:
        _joined([table for _, table, _ in loaded])  # before the clips are read: refuses emotions that do not fit
    return [_checked(*one, skip_bad=skip_bad) for one in loaded]


def _joined(labelled: list[pd.DataFrame], other: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """One clip table. Two parts of one corpus get different names, because both may have a speaker 01."""
    tables = [*labelled, *other]
    if len(tables) == 1:
        return tables[0]
    seen: Counter[str] = Counter()
    for number, table in enumerate(tables):
        name = table.attrs["corpus"]
        seen[name] += 1
        tables[number] = table.copy()
        tables[number].attrs["corpus"] = name if seen[name] == 1 else f"{name}-{seen[name]}"
    labelled = tables[: len(labelled)]
    return join_corpora(tables, labelled=[table.attrs["corpus"] for table in labelled])


def _load(corpus: Corpus, folder: Path) -> pd.DataFrame:
    root = Path(corpus.root) if corpus.root else folder.parent / "corpora" / folder.name
    if corpus.corpus == "synthetic" and (corpus.make or not corpus.root):
        from ser_graph.corpora.synthetic.making import make_corpus

        make_corpus(root, **corpus.make)  # type: ignore[arg-type]
    split: Any = "default"
    if corpus.split == "speaker-independent":

        def split(table: pd.DataFrame) -> pd.DataFrame:
            return speaker_split(table, corpus.fractions, corpus.seed)

    return load_corpus(corpus.corpus, root, split=split, emotions=corpus.emotions, labels=corpus.labels or "strict")
