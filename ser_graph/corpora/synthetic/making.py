"""Built-in speech: a synthetic corpus for the demo, the tests and the benchmarks of scale.

Speakers of an artificial language say sentences of vowels and consonants with the voice of
`ser_graph.corpora.synthetic.voice`. The corpus needs no download and no licence, and can have any number of clips.
It is **not** data about people: call every result on it synthetic.

Two presets, `PRESETS`, mirror a transfer between corpora. They share no speaker, no speech sound and no sentence,
and each expresses its emotions a little differently.

Files are 16 kHz, mono, 16 bit; the adapter ``synthetic`` reads their names. Each clip depends only on
its name, the preset, the difficulty and the seed. So a larger corpus contains the smaller corpus. To resume after
an interruption, make the corpus again.

`ser_graph.corpora.synthetic.languages` defines the effects of emotions on a voice, and names their sources.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.signal import lfilter

from ser_graph.common.files import atomic_file
from ser_graph.common.processes import safe_imports
from ser_graph.common.progress import progress_bar
from ser_graph.common.stages import Stage
from ser_graph.corpora.loading import load_corpus
from ser_graph.corpora.synthetic.languages import DIALECT, EFFECTS, HABIT, PRESETS, SPREAD, Preset
from ser_graph.corpora.synthetic.voice import HOP, RATE, Floats, Phone, Voice, smooth, speak
from ser_graph.errors import InputError, bad_value

VERSION = 1
"""Increase it when the sound of a clip changes: folders of an older version are then refused."""

_LONG = 300  # clips: from this number on, show a progress bar
_MANY = 1000  # clips: from this number on, more processes save more time than their start takes (2 s)

_GENDERS = ("female", "male")
"""Index: the number of the speaker modulo 2."""


@dataclass(frozen=True)
class Speaker:
    """A speaker: `pitch` in Hz, `tract` relative to 17.5 cm, `strength` of the effects of emotions.

    `habits` are [C] constant deviations in the cues of `SPREAD`.
    """

    pitch: float
    tract: float
    strength: float
    habits: Floats


@dataclass(frozen=True)
class Sentence:
    """Phones, and whether each phone has an accent."""

    phones: list[Phone]
    accents: NDArray[np.bool_]


class Clip(NamedTuple):
    """The numbers that name a clip. The speaker counts from 1, the others from 0."""

    emotion: str
    speaker: int
    sentence: int
    take: int


def make_corpus(
    root: str | Path,
    preset: str = "target",
    n_clips: int | None = None,
    n_speakers: int | None = None,
    difficulty: float = 0.5,
    seed: int = 0,
) -> pd.DataFrame:
    """Make a corpus of built-in speech in a folder, or complete an interrupted one.

    The function does not make existing clips again. The folder stores its parameters; a call with other parameters
    is refused.

    Args:
        root: the folder; created if it is missing.
        preset: ``"source"`` or ``"target"``.
        n_clips: number of clips, balanced over emotions, speakers and genders; None means the number of the preset.
        n_speakers: number of speakers, half of them women, at least 3; None means the number of the preset.
        difficulty: 0 (emotions far apart, quiet room) to 1 (overlapping emotions, noisy room).
        seed: random seed of the corpus.

    Returns:
        The clip table, as ``load_corpus("synthetic", root)`` returns it.

    Raises:
        InputError: a parameter is out of range, or the folder contains clips made with other parameters, or
            other things, or another process holds it.

    Examples:
        >>> import tempfile
        >>> table = make_corpus(tempfile.mkdtemp(), n_clips=42, n_speakers=6)
        >>> table.groupby("gender").size().to_dict()
        {'female': 21, 'male': 21}
    """
    language = _preset(preset)
    _check_difficulty(difficulty)
    n_clips = language.n_clips if n_clips is None else n_clips
    n_speakers = language.n_speakers if n_speakers is None else n_speakers
    _check_counts(n_clips, n_speakers, language)
    clips = list(corpus_clips(preset, n_clips, n_speakers))
    made_with = {
        "preset": preset,
        "n_clips": n_clips,
        "n_speakers": n_speakers,
        "difficulty": difficulty,
        "seed": seed,
        "version": VERSION,
    }
    stage = Stage(root, made_with, way_out="give another folder")
    if not stage.is_finished():
        with stage.work() as work:
            made = work / "clips"
            missing = [clip for clip in clips if not (made / _file(preset, clip)).exists()]
            _write_clips(made, missing, preset, difficulty, seed)
            with stage.write() as part:
                for path in made.iterdir():
                    path.rename(part / path.name)
    return load_corpus("synthetic", stage.folder)


def _write_clips(folder: Path, clips: list[Clip], preset: str, difficulty: float, seed: int) -> None:
    """Make clips; for many clips, use several processes."""
    make = delayed(_write_clip)
    pool = Parallel(n_jobs=1 if len(clips) < _MANY else -1, return_as="generator_unordered")
    few = len(clips) < _LONG
    with safe_imports():
        made = pool(make(folder, clip, preset, difficulty, seed) for clip in clips)
        for _ in progress_bar(made, desc="Built-in speech", unit="clip", total=len(clips), disable=few):
            pass


def _write_clip(folder: Path, clip: Clip, preset: str, difficulty: float, seed: int) -> None:
    wave = synthesise(*clip, preset=preset, difficulty=difficulty, seed=seed)
    with atomic_file(folder / _file(preset, clip)) as part:
        soundfile.write(part, wave, RATE, subtype="PCM_16", format="WAV")


def corpus_clips(preset: str, n_clips: int, n_speakers: int) -> Iterator[Clip]:
    """The clips of a corpus, in the order in which a growing corpus gets them.

    First every emotion of the first speaker, then of the second speaker, and so on. Then the next round begins, in
    which each speaker says the next sentence.

    Examples:
        >>> [tuple(clip) for clip in corpus_clips("source", 9, 2)][::4]
        [('neutral', 1, 0, 0), ('anger', 1, 0, 0), ('neutral', 2, 1, 0)]
    """
    language = _preset(preset)
    for k in range(n_clips):
        turn, emotion = divmod(k, len(language.emotions))
        round_, speaker = divmod(turn, n_speakers)
        take = round_ // language.n_sentences
        yield Clip(language.emotions[emotion], speaker + 1, (speaker + round_) % language.n_sentences, take)


def synthesise(
    emotion: str,
    speaker: int = 1,
    sentence: int = 0,
    take: int = 0,
    *,
    preset: str = "target",
    difficulty: float = 0.5,
    seed: int = 0,
) -> NDArray[np.float32]:
    """One clip of built-in speech: [T] waveform at 16 kHz with a peak of at most 0.95, 1 to 2.6 s long.

    Speakers count from 1 (odd numbers are men), sentences and takes from 0; each take sounds different. The other
    arguments are those of `make_corpus`.

    Raises:
        InputError: the emotion or preset does not exist, or the difficulty is outside 0 to 1.

    Examples:
        >>> wave = synthesise("anger", speaker=3)
        >>> wave.dtype, 1.0 < len(wave) / RATE < 2.6
        (dtype('float32'), True)
    """
    language = _preset(preset)
    if emotion not in language.emotions:
        raise bad_value(f"emotion of preset {preset!r}", emotion, language.emotions)
    _check_difficulty(difficulty)
    if speaker < 1:
        raise InputError(f"Bad speaker {speaker!r}, expected a number from 1")
    who = _speaker(seed, preset, speaker)
    rng = _rng("clip", seed, preset, speaker, emotion, sentence, take)
    manner = _manner(seed, preset, speaker, emotion, difficulty, rng)
    speech = _say(_sentence(seed, preset, sentence), who, manner, rng)
    return _record(speech, manner["energy"], difficulty, rng)


def _manner(
    seed: int, preset: str, speaker: int, emotion: str, difficulty: float, rng: np.random.Generator
) -> dict[str, float]:
    """Every cue of one clip, in the units of `SPREAD`.

    A cue is the effect of the emotion plus the habit of the speaker, plus two random deviations: one of this
    speaker in this emotion, one of this clip. The deviations grow with the difficulty. With these sizes, a logistic
    regression on mean spectra and pitch, tested on other speakers, recognises about 90 % of the clips at difficulty
    0, 65 % at 0.5 and 30 % at 1.
    """
    who = _speaker(seed, preset, speaker)
    spread = np.array(list(SPREAD.values()))
    intensity = rng.choice([0.85, 1.15])
    effect = _effect(preset, emotion) * who.strength * intensity * (1.1 - 0.5 * difficulty)
    deviation = _rng("own way", seed, preset, speaker, emotion).standard_normal(len(spread))
    stray = 0.8 * deviation + rng.standard_normal(len(spread))
    cues = effect + who.habits * (0.5 + difficulty) + spread * stray * (0.02 + difficulty)
    return dict(zip(SPREAD, cues.tolist(), strict=True))


@cache
def _effect(preset: str, emotion: str) -> Floats:
    """[C] the effect of an emotion in the language of a preset."""
    common = np.array([EFFECTS[emotion].get(cue, 0.0) for cue in SPREAD])
    dialect = _rng("dialect", preset, emotion).standard_normal(len(SPREAD))
    return common + DIALECT * dialect * np.array(list(SPREAD.values()))


@cache
def _speaker(seed: int, preset: str, speaker: int) -> Speaker:
    """A man with a pitch of about 120 Hz, or a woman with about 205 Hz and a shorter tract."""
    rng = _rng("speaker", seed, preset, speaker)
    male = _GENDERS[speaker % 2] == "male"
    return Speaker(
        pitch=(120 if male else 205) * float(np.exp(0.12 * rng.standard_normal())),
        tract=(1.0 if male else 0.86) * float(np.exp(0.04 * rng.standard_normal())),
        strength=float(np.exp(0.15 * rng.standard_normal())),
        habits=HABIT * np.array(list(SPREAD.values())) * rng.standard_normal(len(SPREAD)),
    )


@cache
def _sentence(seed: int, preset: str, sentence: int) -> Sentence:
    """Seven or eight syllables of a consonant and a vowel; about every third syllable has an accent."""
    rng = _rng("sentence", seed, preset, sentence)
    language = PRESETS[preset]
    vowels, consonants = list(language.vowels.values()), list(language.consonants.values())
    phones, accents = [], []
    offset = int(rng.integers(3))
    for k in range(int(rng.integers(7, 9))):
        phones += [consonants[rng.integers(len(consonants))], vowels[rng.integers(len(vowels))]]
        accents += [False, k % 3 == offset]
    return Sentence(phones, np.array(accents))


def _say(sentence: Sentence, who: Speaker, manner: dict[str, float], rng: np.random.Generator) -> Floats:
    """[T] a sentence in a speaker's voice and a manner of speaking, level near 1."""
    seconds = np.array([phone.seconds for phone in sentence.phones])
    seconds = seconds * np.exp(0.1 * rng.standard_normal(len(seconds))) * (1 + 0.25 * sentence.accents)
    seconds[-1] *= 1.4  # the last syllable of a sentence is longer
    frames = np.maximum(np.rint(seconds * 2 ** -manner["rate"] * RATE / HOP), 2).astype(int)
    centres = (np.cumsum(frames) - frames / 2)[sentence.accents]
    semitones = _contour(int(frames.sum()), centres, manner, rng)
    loudness = 10 ** (sentence.accents * (1.0 + 2.0 ** manner["range"]) / 20)
    return speak(
        sentence.phones,
        frames.tolist(),
        who.pitch * 2 ** (semitones / 12),
        _voice(who, manner),
        rng,
        loudness,
    )


def _contour(length: int, centres: Floats, manner: dict[str, float], rng: np.random.Generator) -> Floats:
    """[length] pitch per control frame, in semitones above the speaker's pitch."""
    place = np.linspace(0, 1, length)
    frame = np.arange(length)
    semitones = manner["pitch"] + (manner["slope"] - 3) * (place - 0.5)
    for centre in centres:
        height = 3 * 2 ** manner["range"] * np.exp(0.25 * rng.standard_normal())
        semitones += height * np.exp(-0.5 * ((frame - centre) / 9) ** 2)
    semitones += (manner["final"] - 1) * np.clip((place - 0.8) / 0.2, 0, 1) ** 2
    wobble = np.sin(2 * np.pi * (6 * frame * HOP / RATE + rng.uniform()))
    return semitones + max(manner["tremor"], 0) * wobble + smooth(0.6 * rng.standard_normal(length), 9)


def _voice(who: Speaker, manner: dict[str, float]) -> Voice:
    """The glottis and tract of a speaker in a manner of speaking."""
    rough = 2 ** manner["rough"]
    return Voice(
        tract=who.tract / 2 ** manner["smile"],
        # A lax glottis is open longer, and its pulses are softer (Klatt & Klatt 1990).
        open_quotient=float(np.clip(0.6 + 0.02 * manner["tilt"], 0.4, 0.85)),
        tilt=float(np.clip(8 + manner["tilt"], 0, 25)),
        breath=float(np.clip(-26 + manner["breath"], -40, -8)),
        jitter=min(0.008 * rough, 0.06),
        shimmer=min(0.05 * rough, 0.3),
        slur=float(np.clip(0.1 + manner["slur"], 0, 0.7)),
        # Louder speech opens the jaw: higher F1 in anger, lower in sadness (Juslin & Laukka 2003).
        opening=2 ** (manner["energy"] / 60),
    )


def _record(speech: Floats, energy: float, difficulty: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Speech [T] in a room, through a microphone.

    The level changes as in real recordings, so that loudness alone says little about the emotion: about half of the
    energy of the emotion remains.
    """
    before, after = (0.05 + 0.1 * rng.uniform(size=2)) * RATE
    wave = np.pad(speech, (int(before), int(after)))
    decibels = 35 - 28 * difficulty + 4 * rng.standard_normal()  # from a quiet to a loud room
    colour = rng.uniform(0.3, 0.95)
    noise = lfilter([1.0], [1.0, -colour], rng.standard_normal(len(wave)))
    wave = wave + noise * 10 ** (-decibels / 20) / np.sqrt(np.mean(noise**2))
    wave = lfilter([1.0, difficulty * rng.uniform(-0.4, 0.4)], [1.0], wave)
    # Every microphone removes frequencies below speech, and a constant offset too.
    wave = lfilter([1.0, -1.0], [1.0, -0.98], wave)
    wave *= 10 ** ((-26 + (1 - difficulty) * energy + 6 * difficulty * rng.standard_normal()) / 20) / np.sqrt(
        np.mean(wave**2)
    )
    wave *= min(1.0, 0.95 / np.abs(wave).max())
    return wave.astype(np.float32)


def _rng(*key: object) -> np.random.Generator:
    """A random generator that depends only on `key`: it is the same in every process."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise bad_value("preset", name, PRESETS)
    return PRESETS[name]


def _check_difficulty(difficulty: float) -> None:
    if not 0 <= difficulty <= 1:
        raise InputError(f"Bad difficulty {difficulty!r}, expected a number from 0 to 1")


def _check_counts(n_clips: int, n_speakers: int, language: Preset) -> None:
    """Refuse a corpus too small for a speaker-independent split into train, dev and test."""
    least = {"n_speakers": 3, "n_clips": 2 * len(language.emotions) + 1}
    for name, number in {"n_speakers": n_speakers, "n_clips": n_clips}.items():
        if number < least[name]:
            raise InputError(
                f"Bad {name} {number!r}, expected at least {least[name]}: three splits need three speakers"
            )


def _file(preset: str, clip: Clip) -> str:
    """The path of a clip, as the adapter ``synthetic`` reads it, e.g. ``t07/t07_m_anger_03_00.wav``."""
    speaker, gender = f"{PRESETS[preset].prefix}{clip.speaker:02d}", _GENDERS[clip.speaker % 2][0]
    return f"{speaker}/{speaker}_{gender}_{clip.emotion}_{clip.sentence:02d}_{clip.take:02d}.wav"
