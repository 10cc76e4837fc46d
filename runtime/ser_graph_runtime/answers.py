"""`Answer`: what a model recognises in one window or in one recording."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Near = tuple[str, str, float]  # file, emotion and cosine similarity of a labelled clip


def near_text(near: Near) -> str:
    """A similar clip in words; its number is not a probability.

    Examples:
        >>> near_text(("a.wav", "fear", 0.97))
        'a.wav (fear, similarity 0.97)'
    """
    file, emotion, similarity = near
    return f"{file} ({emotion}, similarity {similarity:.2f})"


@dataclass(frozen=True)
class Answer:
    """The answer of a model for one window, or for a whole sound.

    Attributes:
        start: in seconds.
        end: in seconds.
        emotion: the most probable emotion.
        probabilities: of each emotion, in the order of the model; they sum to 1.
        sure: whether the confidence reaches the threshold of the model; False for silence.
        nearest: the most similar labelled clips, if they were given; the nearest first.
        silent: whether no sample is louder than -80 dB of full scale; the probabilities then mean nothing.

    Examples:
        >>> print(Answer(0.0, 5.984, "fear", {"anger": 0.2, "fear": 0.8}, nearest=[("a.wav", "fear", 0.97)]))
        0.00-5.98 s: fear 80 %, anger 20 % | nearest: a.wav (fear, similarity 0.97)
        >>> print(Answer(0.0, 5.984, "fear", {"anger": 0.42, "fear": 0.58}, sure=False))
        0.00-5.98 s: unsure (fear 58 %, anger 42 %)
        >>> print(Answer(0.0, 5.984, "fear", {"anger": 0.42, "fear": 0.58}, sure=False, silent=True))
        0.00-5.98 s: silence
    """

    start: float
    end: float
    emotion: str
    probabilities: dict[str, float]
    sure: bool = True
    nearest: list[Near] = field(default_factory=list)
    silent: bool = False

    @property
    def confidence(self) -> float:
        """The probability of the most probable emotion."""
        return self.probabilities[self.emotion]

    def __str__(self) -> str:
        if self.silent:
            return f"{self.start:.2f}-{self.end:.2f} s: silence"
        order = sorted(self.probabilities.items(), key=lambda item: -item[1])
        emotions = ", ".join(f"{emotion} {probability:.0%}".replace("%", " %") for emotion, probability in order)
        near = ", ".join(map(near_text, self.nearest))
        shown = emotions if self.sure else f"unsure ({emotions})"
        return f"{self.start:.2f}-{self.end:.2f} s: {shown}{f' | nearest: {near}' if near else ''}"


def make_answer(
    start: float,
    end: float,
    emotions: Sequence[str],
    probabilities: np.ndarray,
    sure_from: float,
    nearest: list[Near],
    silent: bool,
) -> Answer:
    """An answer from [K] probabilities; sure if its confidence is at least `sure_from`; never for silence."""
    best = int(probabilities.argmax())
    named = dict(zip(emotions, probabilities.astype(float).tolist(), strict=True))
    sure = bool(probabilities[best] >= sure_from) and not silent
    return Answer(start, end, emotions[best], named, sure, nearest, silent)


def mean_answer(answers: Sequence[Answer], threshold: float) -> Answer:
    """One answer for all windows of a sound: the mean of their probabilities, and their nearest clips.

    Examples:
        >>> one = Answer(0, 1, "fear", {"joy": 0.1, "fear": 0.9})
        >>> other = Answer(1, 2, "joy", {"joy": 0.6, "fear": 0.4})
        >>> print(mean_answer([one, other], threshold=0.7))
        0.00-2.00 s: unsure (fear 65 %, joy 35 %)
    """
    if len(answers) == 1:
        return answers[0]
    emotions = list(answers[0].probabilities)
    mean = np.mean([list(answer.probabilities.values()) for answer in answers], axis=0)
    similarity: dict[tuple[str, str], float] = {}
    for file, emotion, found in (near for answer in answers for near in answer.nearest):
        similarity[file, emotion] = max(found, similarity.get((file, emotion), -1.0))
    nearest = sorted(((*clip, found) for clip, found in similarity.items()), key=lambda near: -near[2])
    is_heard = any(answer.sure for answer in answers)  # a mean above the threshold has a window above it
    sure_from = threshold if is_heard else np.inf
    n_nearest = len(answers[0].nearest)
    silent = all(answer.silent for answer in answers)
    return make_answer(answers[0].start, answers[-1].end, emotions, mean, sure_from, nearest[:n_nearest], silent)
