"""Sound files with damaged headers, and cut files."""

import random

import numpy as np
import pytest
import soundfile

from ser_graph_runtime.sound import read_mono

MOST = 2**26  # bytes: a block of decoded samples takes 2**22, and a low rate makes 16 samples of one
FORMATS = {"wav": {}, "flac": {}, "ogg": {}, "mp3": {}, "float.wav": {"subtype": "FLOAT"}, "w64": {}, "aiff": {}}


@pytest.mark.parametrize("kind", FORMATS)
def test_sound_files(tmp_path, trials, damaged, kind):
    rng, path = random.Random(kind), tmp_path / f"clip.{kind}"
    noise = np.random.default_rng(0).normal(0, 0.1, 3_200)
    soundfile.write(path, noise, 16_000, **FORMATS[kind])
    whole = path.read_bytes()
    read_mono(path, 8_000)  # imports do not count
    for number in range(200):
        head = rng.choice([64, 64, 256, len(whole)])
        content = damaged(rng, whole[:head]) + whole[head:] if number else whole
        path.write_bytes(content)
        samples = trials(
            f"{number} {content[:48]!r}", lambda: read_mono(path, 16_000), most_bytes=MOST, naming=str(path)
        )
        if samples is not None:
            trials.expect(number, samples.dtype == np.float32 and samples.ndim == 1 and np.isfinite(samples).all())
            trials.expect(number, 0 < len(samples) <= 16 * len(whole) * 8)
