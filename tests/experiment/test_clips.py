"""The clips of a run: checked, joined, refused."""

import os
import re
import shutil

import numpy as np
import pytest
import soundfile

from ser_graph.corpora import speaker_overlap
from ser_graph.errors import InputError
from ser_graph.experiment import run, running
from ser_graph.experiment.clips import prepare_corpus, prepare_source, prepare_target
from ser_graph.experiment.graph import prepare_upstream
from ser_graph.upstream import Upstream

pytestmark = pytest.mark.slow


def test_bad_clips_stop_a_run_before_the_long_work(corpora, toy_recipe, tmp_path, monkeypatch):
    shutil.copytree(corpora, tmp_path / "corpora")
    clip = sorted((tmp_path / "corpora" / "target").rglob("*.wav"))[5]
    soundfile.write(clip, np.zeros(16_000), 16_000)
    called = []
    monkeypatch.setattr(Upstream, "finetune", lambda *_, **__: called.append(1))
    with pytest.raises(InputError, match=rf"{clip.name}.*silent.*--skip-bad"):
        run(toy_recipe(tmp_path / "corpora"), tmp_path / "run", progress=False)
    assert not called
    corpus = toy_recipe(tmp_path / "corpora").target
    table = prepare_corpus(corpus, tmp_path / "kept", skip_bad=True)
    assert len(table) == 62
    assert clip.name in (tmp_path / "kept" / "problems.csv").read_text()


def test_a_changed_corpus_is_noticed(corpora, toy_recipe, a_copy, tmp_path):
    shutil.copytree(corpora, tmp_path / "corpora")
    moved = toy_recipe(tmp_path / "corpora")
    assert len(prepare_corpus(moved.target, a_copy / "target")) == 63  # elsewhere, but the same
    next((tmp_path / "corpora" / "target").rglob("*.wav")).unlink()
    with pytest.raises(
        InputError, match=r"target holds the result of other .*clips\..*\.wav: .* before, missing now"
    ):
        run(moved, a_copy, progress=False)


def test_another_sound_is_noticed(corpora, toy_recipe, tmp_path):
    """Of the same size and, as after `rsync --times`, of the same time; the same sound at another time is not."""
    shutil.copytree(corpora, tmp_path / "corpora")
    corpus = toy_recipe(tmp_path / "corpora").target
    prepare_corpus(corpus, tmp_path / "kept")
    clip = sorted((tmp_path / "corpora" / "target").rglob("*.wav"))[5]
    clip.touch()
    assert len(prepare_corpus(corpus, tmp_path / "kept")) == 63
    stat, (samples, rate) = clip.stat(), soundfile.read(clip)
    soundfile.write(clip, -samples, rate, subtype="PCM_16")
    os.utime(clip, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (clip.stat().st_size, clip.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    with pytest.raises(InputError, match=rf"kept holds .*clips\..*{clip.name}\.content: '\w+' before, '\w+' now"):
        prepare_corpus(corpus, tmp_path / "kept")


def test_changed_labels_are_noticed(corpora, toy_recipe, tmp_path):
    """The same clips, of which a table says something else."""
    shutil.copytree(corpora / "target", tmp_path / "clips")
    labels = tmp_path / "clips" / "labels.csv"
    table = prepare_corpus(toy_recipe().target, tmp_path / "first")
    table.drop(columns="duration").to_csv(labels)
    corpus = toy_recipe(target={"corpus": "table", "root": str(labels)}).target
    before = prepare_corpus(corpus, tmp_path / "kept")
    assert prepare_corpus(corpus, tmp_path / "kept").equals(before)
    fear = table.index[table["emotion"] == "fear"][0]
    table.loc[fear, "emotion"] = "anger"
    table.drop(columns="duration").to_csv(labels)
    words = rf"kept holds .*\(clips\.{fear}\.emotion: 'fear' before, 'anger' now\); choose another folder"
    with pytest.raises(InputError, match=words):
        prepare_corpus(corpus, tmp_path / "kept")
    table.drop(columns=["duration", "gender"]).to_csv(labels)
    with pytest.raises(InputError, match=r"kept holds .*\.(emotion|gender): "):
        prepare_corpus(corpus, tmp_path / "kept")


def test_nothing_is_tested_that_the_upstream_has_learnt(corpora, toy_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "prepare_upstream", lambda *_, **__: pytest.fail("the long work began"))
    same = {"corpus": "synthetic", "root": str(corpora / "target")}
    recipe = toy_recipe(source=same, folds=3)
    with pytest.raises(InputError, match=r"The upstream is fine-tuned on \d+ of the test clips \("):
        running.run(recipe, tmp_path / "run", progress=False)
    with pytest.raises(pytest.fail.Exception, match="the long work began"):  # its own test split it has not learnt
        running.run(toy_recipe(source=same), tmp_path / "split", progress=False)
    with pytest.raises(pytest.fail.Exception, match="the long work began"):
        running.run(
            toy_recipe(source=same, folds=3, target__shared_speakers=True), tmp_path / "meant", progress=False
        )


def test_nothing_to_test_is_found_before_the_long_work(corpora, toy_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "prepare_upstream", lambda *_, **__: pytest.fail("the long work began"))
    with pytest.raises(InputError, match="Bad number of folds 50, expected 3 to 9"):
        running.run(toy_recipe(folds=50), tmp_path / "many", progress=False)
    table = prepare_corpus(toy_recipe().target, tmp_path / "first")
    shutil.copytree(corpora / "target", tmp_path / "clips")
    table[table["split"] != "test"].to_csv(tmp_path / "clips" / "labels.csv")
    recipe = toy_recipe(target={"corpus": "table", "root": str(tmp_path / "clips" / "labels.csv")})
    with pytest.raises(InputError, match=r"No labelled clip of table is in the split 'test'"):
        running.run(recipe, tmp_path / "none", progress=False)


def test_several_sources_teach_together(corpora, toy_recipe, tmp_path):
    """Their clips are joined with their labels; of a label that the first has not, a map is asked for."""
    sources = [{"corpus": "synthetic", "root": str(corpora / name)} for name in ("source", "target")]
    with pytest.raises(InputError, match="synthetic-2 has emotions that the first corpus lacks: guilt; load it"):
        prepare_source(toy_recipe(source=sources), tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()  # refused before the clips are checked
    sources[1]["labels"] = {"guilt": "sadness"}
    recipe = toy_recipe(source=sources)
    source = prepare_source(recipe, tmp_path / "run")
    assert source.groupby("corpus").size().to_dict() == {"synthetic": 48, "synthetic-2": 63}
    assert source["emotion"].notna().all()
    upstream = prepare_upstream(recipe, source, tmp_path / "run", progress=False)
    assert upstream.info["corpus"] == "synthetic+synthetic-2"
    assert upstream.info["n_train"] == (source["split"] == "train").sum()
    with pytest.raises(InputError, match=r"upstream.finetune = true needs a \[source\] corpus"):
        toy_recipe(source=[])


def test_several_targets_are_learnt_and_tested_together(corpora, toy_recipe, tmp_path):
    """All keep labels and splits; clips of an unlabelled corpus lose theirs."""
    targets = [{"corpus": "synthetic", "root": str(corpora / name)} for name in ("target", "source")]
    targets[1]["labels"] = {"calm": "sadness", "neutral": "sadness"}
    shutil.copytree(corpora / "source", tmp_path / "more")
    lent = [{"corpus": "synthetic", "root": str(tmp_path / "more")}]
    table = prepare_target(toy_recipe(target=targets, other=lent), tmp_path / "run")
    assert table.groupby("corpus").size().to_dict() == {"synthetic": 63, "synthetic-2": 48, "synthetic-3": 48}
    labelled = table[table["emotion"].notna()]
    assert labelled.groupby("corpus").size().to_dict() == {"synthetic": 63, "synthetic-2": 48}
    assert (labelled[labelled["split"] == "test"].groupby("corpus").size() > 0).all()
    assert not speaker_overlap(table).any().any()
    with pytest.raises(InputError, match="target"):
        toy_recipe(target=[])


def test_an_alignment_that_cannot_be_is_found_before_the_long_work(corpora, toy_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "prepare_upstream", lambda *_, **__: pytest.fail("the long work began"))
    students = {"method": ["regress"], "training": {"align": "synthetic"}}
    alone = toy_recipe(students=students)
    with pytest.raises(InputError, match="Bad align 'synthetic': it needs clips of several corpora"):
        running.run(alone, tmp_path / "alone", progress=False)
    shutil.copytree(corpora / "source", tmp_path / "more")
    lent = [{"corpus": "synthetic", "root": str(tmp_path / "more")}]
    with pytest.raises(pytest.fail.Exception, match="the long work began"):
        running.run(toy_recipe(students=students, other=lent), tmp_path / "two", progress=False)
    wrong = {**students, "training": {"align": "emovo"}}
    with pytest.raises(InputError, match=r"Bad align 'emovo', expected one of \['synthetic', 'synthetic-2'\]"):
        running.run(toy_recipe(students=wrong, other=lent), tmp_path / "wrong", progress=False)


def test_a_source_without_an_emotion_of_the_target_is_refused(toy_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "prepare_upstream", lambda *_, **__: pytest.fail("the long work began"))
    recipe = toy_recipe(source__emotions=["anger", "fear"], target__emotions=["happiness", "sadness"])
    with pytest.raises(
        InputError,
        match=r"source's emotions \['anger', 'fear'\] have nothing in common with the target's \['happiness', 'sa",
    ):
        run(recipe, tmp_path / "run", progress=False)


def test_copies_are_not_tested_and_not_counted(corpora, toy_recipe, tmp_path, monkeypatch):
    """Neither among the clips that the upstream has learnt, nor among the speakers to leave out."""
    monkeypatch.setattr(running, "prepare_upstream", lambda *_, **__: pytest.fail("the long work began"))
    same = {"corpus": "synthetic", "root": str(corpora / "target")}
    said = []
    for copies in (0, 2):
        with pytest.raises(InputError, match=r"^The upstream is fine-tuned on \d+ of the test clips") as caught:
            running.run(toy_recipe(source=same, folds=3, copies=copies), tmp_path / f"run{copies}", progress=False)
        said.append(str(caught.value))
        with pytest.raises(InputError, match="Bad number of folds 50, expected 3 to 9"):
            running.run(toy_recipe(folds=50, copies=copies), tmp_path / f"many{copies}", progress=False)
    assert said[0] == said[1]
    assert int(re.search(r"on (\d+) of", said[1])[1]) <= 63
    with pytest.raises(pytest.fail.Exception, match="the long work began"):  # its own test split it has not learnt
        running.run(toy_recipe(source=same, copies=1), tmp_path / "split", progress=False)
    table = prepare_corpus(toy_recipe().target, tmp_path / "first")
    shutil.copytree(corpora / "target", tmp_path / "clips")
    table[table["split"] != "test"].to_csv(tmp_path / "clips" / "labels.csv")
    recipe = toy_recipe(target={"corpus": "table", "root": str(tmp_path / "clips" / "labels.csv")}, copies=1)
    with pytest.raises(InputError, match=r"No labelled clip of table is in the split 'test'"):
        running.run(recipe, tmp_path / "none", progress=False)
