"""The artificial languages of the built-in speech: their sounds, and the effects of emotions on a voice.

The effects of an emotion follow the tables of Murray & Arnott (1993, JASA 93: 1097-1108) for anger,
happiness, sadness, fear and disgust, of Juslin & Laukka (2003, Psychological Bulletin 129: 770-814) for
vocal effort and regularity and for calm (their tenderness), and of Banse & Scherer (1996, Journal of
Personality and Social Psychology 70: 614-636) for guilt (their shame: soft, near sadness). Surprise is a
high, wide pitch that ends in a rise. The directions come from these papers; we chose the sizes.
"""

from dataclasses import dataclass

from ser_graph.corpora.synthetic.voice import Phone

# The cues that an emotion changes. The number is the spread of the clips of one emotion at difficulty 1, in the
# unit of the comment; `EFFECTS` has the same units.
SPREAD = {
    "pitch": 2.0,  # semitones
    "range": 0.4,  # octaves of the height of pitch accents: 1 doubles the height
    "slope": 1.5,  # semitones gained from start to end
    "final": 1.5,  # semitones gained in the last fifth
    "rate": 0.15,  # octaves of speed: 1 doubles the speed
    "energy": 3.0,  # dB
    "tilt": 2.5,  # dB of attenuation at 3 kHz: a softer voice has more
    "breath": 2.5,  # dB of breath noise
    "rough": 0.4,  # octaves of jitter and shimmer
    "tremor": 0.1,  # semitones of vibration at 6 Hz
    "slur": 0.08,  # share of the way from a vowel to the neutral one
    "smile": 0.015,  # octaves by which all formants rise when the lips spread
}

# The changes of a neutral voice by each emotion.
EFFECTS: dict[str, dict[str, float]] = {
    "neutral": {},
    "calm": dict(pitch=-1, range=-0.5, rate=-0.15, energy=-3, tilt=3, breath=3, rough=-0.5),
    "happiness": dict(
        pitch=4, range=0.8, slope=1, final=1, rate=0.1, energy=3, tilt=-1, breath=2, rough=-0.5, smile=0.06
    ),
    "sadness": dict(pitch=-1.5, range=-0.9, slope=-1.5, final=-1, rate=-0.3, energy=-6, tilt=5, breath=4, slur=0.3),
    "anger": dict(
        pitch=4, range=0.7, slope=1, final=-1, rate=0.2, energy=8, tilt=-5, breath=-3, rough=1, slur=-0.1
    ),
    "fear": dict(pitch=6, range=-0.2, slope=1, rate=0.35, tilt=-1, breath=4, rough=0.8, tremor=0.5),
    "disgust": dict(
        pitch=-3,
        range=0.3,
        slope=-2,
        final=-3,
        rate=-0.35,
        energy=-1,
        tilt=-1,
        breath=-3,
        rough=1.2,
        smile=-0.03,
    ),
    "surprise": dict(pitch=5, range=1.2, slope=2, final=6, energy=3, tilt=-1, breath=2),
    "guilt": dict(
        pitch=-0.5,
        range=-0.6,
        slope=-0.5,
        rate=-0.15,
        energy=-5,
        tilt=3,
        breath=4,
        rough=0.4,
        tremor=0.2,
        slur=0.15,
    ),
}

DIALECT = 0.4
"""Deviation of the emotions of a preset from `EFFECTS`, in units of `SPREAD`."""

HABIT = 0.35
"""Deviation of the neutral voice of a speaker, in units of `SPREAD`."""


@dataclass(frozen=True)
class Preset:
    """An artificial language and its speakers.

    Attributes:
        prefix: first letter of its speakers' names.
        emotions: its emotions, in the order in which clips are made.
        vowels: its vowels.
        consonants: its consonants.
        n_speakers: default number of speakers of a corpus.
        n_clips: default number of clips of a corpus.
        n_sentences: number of different sentences.
    """

    prefix: str
    emotions: tuple[str, ...]
    vowels: dict[str, Phone]
    consonants: dict[str, Phone]
    n_speakers: int
    n_clips: int
    n_sentences: int


def _vowel(*formants: float) -> Phone:
    return Phone((formants[0], formants[1], formants[2]), seconds=0.09)


def _sonorant(*formants: float) -> Phone:
    return Phone((formants[0], formants[1], formants[2]), seconds=0.065, voicing=0.4)


def _fricative(centre: float, width: float, level: float, voicing: float = 0.0) -> Phone:
    return Phone((350, 1600, 2500), 0.09, voicing, level, (centre, width))


def _stop(centre: float, f2: float, voicing: float = 0.0) -> Phone:
    return Phone((300, f2, 2500), 0.075, voicing, 0.6, (centre, 1500), burst=True)


# Source vowels: men's means of American English (Peterson & Barney 1952, JASA 24: 175-184). Target vowels:
# a triangle of five vowels, and two front rounded vowels. Consonants: round numbers that we chose.
PRESETS = {
    "source": Preset(
        prefix="s",
        emotions=("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise"),
        vowels={
            "IY": _vowel(270, 2290, 3010),
            "IH": _vowel(390, 1990, 2550),
            "EH": _vowel(530, 1840, 2480),
            "AE": _vowel(660, 1720, 2410),
            "AA": _vowel(730, 1090, 2440),
            "AO": _vowel(570, 840, 2410),
            "UH": _vowel(440, 1020, 2240),
        },
        consonants={
            "M": _sonorant(250, 1000, 2200),
            "L": _sonorant(330, 1050, 2800),
            "W": _sonorant(290, 650, 2150),
            "S": _fricative(5500, 1500, 0.35),
            "F": _fricative(4500, 4000, 0.15),
            "B": _stop(900, 900, voicing=0.15),
            "K": _stop(2000, 1900),
        },
        n_speakers=24,
        n_clips=576,
        n_sentences=8,
    ),
    "target": Preset(
        prefix="t",
        emotions=("anger", "disgust", "fear", "guilt", "happiness", "sadness", "surprise"),
        vowels={
            "i": _vowel(300, 2150, 2850),
            "e": _vowel(420, 2050, 2650),
            "a": _vowel(780, 1350, 2500),
            "o": _vowel(470, 900, 2500),
            "u": _vowel(330, 750, 2350),
            "y": _vowel(290, 1800, 2150),
            "oe": _vowel(440, 1550, 2300),
        },
        consonants={
            "n": _sonorant(270, 1500, 2500),
            "j": _sonorant(280, 2100, 2900),
            "r": _sonorant(420, 1300, 1800),
            "sh": _fricative(3200, 1500, 0.35),
            "z": _fricative(6000, 1500, 0.2, voicing=0.2),
            "d": _stop(4000, 1700, voicing=0.15),
            "p": _stop(700, 900),
        },
        n_speakers=18,
        n_clips=630,
        n_sentences=10,
    ),
}
