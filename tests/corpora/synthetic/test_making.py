import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser_graph.corpora import ADAPTERS, load_corpus
from ser_graph.corpora.synthetic import making
from ser_graph.corpora.synthetic.languages import EFFECTS
from ser_graph.corpora.synthetic.making import PRESETS, Clip, corpus_clips, make_corpus, synthesise
from ser_graph.corpora.vocabulary import EMOTIONS
from ser_graph.errors import InputError

RATE = 16_000


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.wav"))}


def spectrogram(wave):
    frames = np.lib.stride_tricks.sliding_window_view(wave, 512)[::160]
    return np.abs(np.fft.rfft(frames * np.hanning(512))) ** 2


def pitch(wave):
    """[F] pitch of the voiced frames, in semitones above 1 Hz, from the autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, 640)[::320] * np.hanning(640)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)
    lags = correlation[:, 32:270].argmax(1) + 32
    strength = correlation[np.arange(len(lags)), lags] / (correlation[:, 0] + 1e-9)
    return 12 * np.log2(RATE / lags[strength > 0.4])


def features(wave):
    """What a simple classifier sees: log spectrum in 32 bands, how it moves, pitch and duration."""
    power = spectrogram(wave)[:, 1:257].reshape(-1, 64, 4).mean(2)
    log = np.log(power + 1e-6)
    semitones = pitch(wave)
    voice = [np.median(semitones), semitones.std(), semitones[-10:].mean() - semitones.mean()]
    return np.r_[log.mean(0), log.std(0), np.diff(log, axis=0).std(0), voice, len(wave)]


@cache
def simple_corpus(preset, difficulty):
    clips = list(corpus_clips(preset, 36 * len(PRESETS[preset].emotions), 18))
    waves = [synthesise(*clip, preset=preset, difficulty=difficulty) for clip in clips]
    table = pd.DataFrame(clips, columns=Clip._fields)
    return np.array([features(wave) for wave in waves]), table


def classifier():
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=300))


def accuracy(preset, difficulty):
    """Speaker-independent accuracy of the simple classifier."""
    X, table = simple_corpus(preset, difficulty)
    folds = GroupKFold(4)
    return cross_val_score(classifier(), X, table["emotion"], groups=table["speaker"], cv=folds).mean()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    return root, make_corpus(root, n_clips=28, n_speakers=4)


def test_the_table_is_what_load_corpus_returns(small):
    root, table = small
    pd.testing.assert_frame_equal(table, load_corpus("synthetic", root))
    assert table.attrs["corpus"] == "synthetic"
    assert table.attrs["unparsed"] == []
    assert list(table.columns[:5]) == ["emotion", "speaker", "gender", "duration", "split"]
    assert sorted(table.index) == sorted(contents(root))


def test_file_names_know_the_emotions_that_voices_have():
    assert sorted(EFFECTS) == list(ADAPTERS["synthetic"].emotions)


def test_files_are_16_khz_mono_16_bit(small):
    root, table = small
    for file in table.index:
        info = soundfile.info(root / file)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
        assert info.frames / RATE == pytest.approx(table.loc[file, "duration"])


def test_balanced_in_emotion_speaker_and_gender(small):
    _, table = small
    assert set(table.groupby("emotion").size()) == {4}
    assert set(table.groupby("speaker").size()) == {7}
    assert set(table.groupby("gender").size()) == {14}
    assert set(table.groupby(["emotion", "gender"]).size()) == {2}


@pytest.mark.parametrize("preset", PRESETS)
def test_default_counts_are_balanced(preset):
    language = PRESETS[preset]
    clips = list(corpus_clips(preset, language.n_clips, language.n_speakers))
    assert len(set(clips)) == language.n_clips
    table = pd.DataFrame(clips, columns=Clip._fields)
    assert len(set(table.groupby(["emotion", "speaker"]).size())) == 1
    assert set(language.emotions) <= set(EMOTIONS)


def test_the_same_bytes_again_and_in_a_larger_corpus(small, tmp_path):
    root, _ = small
    make_corpus(tmp_path / "again", n_clips=28, n_speakers=4)
    assert contents(tmp_path / "again") == contents(root)
    make_corpus(tmp_path / "larger", n_clips=35, n_speakers=4)
    larger = contents(tmp_path / "larger")
    assert len(larger) == 35
    assert contents(root).items() <= larger.items()


def test_clips_do_not_depend_on_the_order_in_which_they_are_made():
    clips = list(corpus_clips("target", 10, 2))
    forwards = [synthesise(*clip) for clip in clips]
    backwards = [synthesise(*clip) for clip in reversed(clips)]
    for one, other in zip(forwards, reversed(backwards), strict=True):
        np.testing.assert_array_equal(one, other)


def test_everything_named_changes_the_clip():
    reference = synthesise("anger", 1, 0, 0)
    others = [
        synthesise("fear", 1, 0, 0),
        synthesise("anger", 3, 0, 0),
        synthesise("anger", 1, 1, 0),
        synthesise("anger", 1, 0, 1),
        synthesise("anger", 1, 0, 0, preset="source"),
        synthesise("anger", 1, 0, 0, seed=1),
        synthesise("anger", 1, 0, 0, difficulty=0.6),
    ]
    assert not any(np.array_equal(reference, other) for other in others)


def test_an_interrupted_corpus_is_completed_with_the_same_bytes(small, tmp_path, monkeypatch):
    root, _ = small
    made, write = [], making._write_clip

    def killed_at_the_tenth(*arguments):
        made.append(arguments)
        if len(made) == 10:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(making, "_write_clip", killed_at_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        make_corpus(tmp_path / "new", n_clips=28, n_speakers=4)
    assert not (tmp_path / "new").exists()
    make_corpus(tmp_path / "new", n_clips=28, n_speakers=4)
    assert len(made) == 10 + 28 - 9
    assert contents(tmp_path / "new") == contents(root)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    make_corpus(tmp_path / "new", n_clips=28, n_speakers=4)
    assert len(made) == 10 + 28 - 9


def test_several_processes_make_the_same_bytes(small, tmp_path, monkeypatch):
    root, _ = small
    monkeypatch.setattr("ser_graph.corpora.synthetic.making._MANY", 1)
    make_corpus(tmp_path, n_clips=28, n_speakers=4)
    assert contents(tmp_path) == contents(root)


def test_the_smallest_corpus_has_all_three_splits(tmp_path):
    table = make_corpus(tmp_path, n_clips=15, n_speakers=3)
    assert set(table["split"]) == {"train", "dev", "test"}


def test_a_killed_run_does_not_look_finished_nor_mix_with_another(tmp_path, monkeypatch):
    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ser_graph.corpora.synthetic.making.soundfile.write", killed)
        with pytest.raises(KeyboardInterrupt):
            make_corpus(tmp_path / "a", n_clips=21, n_speakers=3)
    assert not list(tmp_path.rglob("*.wav"))
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "a").exists()
    make_corpus(tmp_path / "a", n_clips=21, n_speakers=3, seed=1)
    make_corpus(tmp_path / "b", n_clips=21, n_speakers=3, seed=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("other", [{"difficulty": 0.6}, {"seed": 3}, {"preset": "source"}, {"n_clips": 29}])
def test_other_parameters_in_the_same_folder_are_refused(small, other):
    root, _ = small
    before = contents(root)
    [(name, value)] = other.items()
    with pytest.raises(InputError, match=re.escape(f"({name}: ") + f".* before, {value!r} now") as caught:
        make_corpus(root, **{"n_clips": 28, "n_speakers": 4, **other})
    assert "\n" not in str(caught.value)
    assert contents(root) == before


@pytest.mark.parametrize(
    "bad",
    [
        {"difficulty": 2},
        {"difficulty": float("nan")},
        {"n_clips": 0},
        {"n_clips": 14},
        {"n_speakers": 2},
        {"preset": "x"},
    ],
)
def test_bad_parameters_are_refused_before_anything_is_written(tmp_path, bad):
    [name] = bad
    with pytest.raises(InputError, match=f"Bad {name}"):
        make_corpus(tmp_path / "corpus", **bad)
    assert not (tmp_path / "corpus").exists()


def test_bad_clips_are_refused():
    with pytest.raises(InputError, match="Bad emotion of preset 'target' 'calm'"):
        synthesise("calm")
    with pytest.raises(InputError, match="Bad speaker 0"):
        synthesise("anger", speaker=0)


def test_presets_share_no_speaker_and_no_sound():
    source, target = PRESETS["source"], PRESETS["target"]
    assert source.prefix != target.prefix
    for kind in ("vowels", "consonants"):
        theirs, ours = getattr(source, kind), getattr(target, kind)
        assert not set(theirs) & set(ours)
        assert not set(theirs.values()) & set(ours.values())


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_waves_are_sound(difficulty):
    for clip in corpus_clips("target", 70, 10):
        wave = synthesise(*clip, difficulty=difficulty)
        assert wave.dtype == np.float32
        assert np.isfinite(wave).all()
        assert 0.01 < np.abs(wave).max() <= 0.9501
        assert abs(wave.mean()) < 1e-3 * np.abs(wave).max()
        assert 0.9 < len(wave) / RATE < 2.8


def test_men_and_women_differ_in_pitch():
    medians = {
        speaker: np.median(np.concatenate([pitch(synthesise("sadness", speaker, k)) for k in range(3)]))
        for speaker in range(1, 9)
    }
    men = [medians[speaker] for speaker in (1, 3, 5, 7)]
    women = [medians[speaker] for speaker in (2, 4, 6, 8)]
    assert np.mean(women) - np.mean(men) > 6


def test_emotions_act_on_the_voice_as_the_literature_says():
    def cues(emotion):
        waves = [synthesise(emotion, speaker, speaker, difficulty=0.2) for speaker in range(1, 13)]
        power = [spectrogram(wave).mean(0) for wave in waves]
        return {
            "level": np.mean([10 * np.log10(np.square(wave).mean()) for wave in waves]),
            "pitch": np.mean([np.median(pitch(wave)) for wave in waves]),
            "end": np.mean([pitch(wave)[-8:].mean() - np.median(pitch(wave)) for wave in waves]),
            "seconds": np.mean([len(wave) / RATE for wave in waves]),
            # 300 to 900 Hz against 1.5 to 3 kHz: high where the spectrum falls steeply
            "tilt": np.mean([10 * np.log10(p[10:29].sum() / p[48:96].sum()) for p in power]),
        }

    anger, sadness, fear, surprise = map(cues, ("anger", "sadness", "fear", "surprise"))
    assert anger["level"] > sadness["level"] + 5
    assert anger["pitch"] > sadness["pitch"] + 2
    assert anger["tilt"] < sadness["tilt"] - 3
    assert sadness["seconds"] > 1.2 * anger["seconds"]
    assert fear["seconds"] < anger["seconds"]
    assert surprise["end"] > anger["end"] + 1.5


def test_difficulty_makes_emotions_harder_to_tell_apart():
    easy, usual, hard = (accuracy("target", difficulty) for difficulty in (0.0, 0.5, 1.0))
    assert easy > usual + 0.1 > hard + 0.2
    assert easy > 0.7
    assert 0.4 < usual < 0.8
    assert hard > 1 / 7 + 0.03


def test_what_is_learned_on_the_source_carries_to_the_target():
    X, source = simple_corpus("source", 0.5)
    Y, target = simple_corpus("target", 0.5)
    shared = sorted(set(source["emotion"]) & set(target["emotion"]))
    taught, asked = source["emotion"].isin(shared).to_numpy(), target["emotion"].isin(shared).to_numpy()
    model = classifier().fit(X[taught], source["emotion"][taught])
    assert 0.35 < model.score(Y[asked], target["emotion"][asked]) < 0.8
