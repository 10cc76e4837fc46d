import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.audio import Standardise, standardise
from ser_graph.audio.standardise import NORMALISATIONS, Voices, joined, speaker_voices, update_voice
from ser_graph.common.distributed import Processes
from ser_graph.errors import InputError


def spectrograms(n: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    scales, levels = rng.uniform(0.5, 4, 6), rng.uniform(-13, 5, 6)
    return torch.from_numpy(levels + scales * rng.normal(size=(n, 9, 6))).float()


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.integers(0, 29), min_size=1, max_size=30, unique=True), half=st.booleans())
def test_mean_and_deviation_of_the_chosen_clips_alone(rows, half):
    x = spectrograms(30)
    others = [row for row in range(30) if row not in rows]
    x[others] += 1000  # seen by the mean at once
    x = x.half() if half else x
    layer = Standardise.fit(x, torch.tensor(rows), normalise="corpus")
    chosen = x.numpy().astype(np.float64)[rows].reshape(-1, 6)
    np.testing.assert_allclose(layer.mean, chosen.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.std, chosen.std(0), rtol=1e-6)


def test_a_fitted_layer_gives_mean_0_and_deviation_1():
    x = spectrograms(50, seed=1).half()
    z = Standardise.fit(x, normalise="corpus")(x)
    assert z.dtype == torch.float32
    np.testing.assert_allclose(z.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std((0, 1), correction=0), 1, atol=1e-5)


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_a_mask_chooses_the_same_clips_as_their_indices(normalise):
    x, mask, speaker = spectrograms(30), torch.arange(30) % 3 == 0, torch.arange(30) // 10
    by_mask, by_index = (
        Standardise.fit(x, rows, normalise=normalise, speaker=speaker) for rows in (mask, mask.nonzero()[:, 0])
    )
    assert torch.equal(by_mask.mean, by_index.mean)
    assert torch.equal(by_mask.std, by_index.std)


def test_a_large_offset_costs_no_digits():
    x = spectrograms(40).double() + 1e6
    layer = Standardise.fit(x, normalise="corpus")
    np.testing.assert_allclose(layer.std, x.numpy().reshape(-1, 6).std(0), rtol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 30, 1000])
@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_the_size_of_the_blocks_does_not_matter(monkeypatch, size, normalise):
    x, speaker, blocks = spectrograms(30), torch.arange(30) % 4 - 1, standardise._blocks
    whole = Standardise.fit(x, None, normalise=normalise, speaker=speaker)
    monkeypatch.setattr(standardise, "_blocks", lambda *given: blocks(*given, size))
    layer = Standardise.fit(x, None, normalise=normalise, speaker=speaker)
    torch.testing.assert_close(layer.mean, whole.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(layer.std, whole.std, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [0.0, -13.8155, 0.1, 1e4])
@pytest.mark.parametrize("n", [1, 3, 300])
def test_a_bin_that_never_changes_becomes_0(value, n):
    x = spectrograms(n)
    x[:, :, 2] = value
    z = Standardise.fit(x, normalise="corpus")(x)
    assert torch.isfinite(z).all()
    assert not z[:, :, 2].any()
    assert z[:, :, 1].any()


@pytest.mark.parametrize("rows", [torch.zeros(0, dtype=torch.int64), torch.zeros(30, dtype=torch.bool)])
def test_no_training_clip(rows):
    with pytest.raises(InputError, match="No training clip"):
        Standardise.fit(spectrograms(30), rows, normalise="corpus")


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_the_layer_is_stored_with_the_model(normalise):
    layer = Standardise.fit(spectrograms(5), normalise=normalise)
    other = Standardise(6, normalise)
    other.load_state_dict(layer.state_dict())
    x = spectrograms(3, seed=2)
    assert torch.equal(other(x), layer(x))
    assert not torch.equal(Standardise(6, normalise)(x), layer(x))
    assert list(layer.parameters()) == []


tilts = st.lists(st.floats(-8, 8), min_size=6, max_size=6)


@given(tilt=tilts, n_frames=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_normalised_per_utterance_a_spectral_tilt_leaves_no_trace(tilt, n_frames):
    """A filter, as of a microphone, adds a constant spectrum to a clip's log-mels."""
    layer = Standardise.fit(spectrograms(30), normalise="utterance")
    x = spectrograms(5, seed=3)[:, :1].expand(5, n_frames, 6) + torch.randn(5, n_frames, 6)
    torch.testing.assert_close(layer(x + torch.tensor(tilt)), layer(x), rtol=1e-3, atol=1e-3)


def test_per_corpus_as_numpy_does_it():
    x, rows = spectrograms(300).half(), torch.arange(0, 290, 3)
    own = x.double().numpy()
    heard = own[rows].reshape(-1, 6)
    np.testing.assert_allclose(
        Standardise.fit(x, rows, normalise="corpus")(x), (own - heard.mean(0)) / heard.std(0), atol=1e-4
    )


def test_per_utterance_as_numpy_does_it():
    x, rows = spectrograms(300).half(), torch.arange(0, 290, 3)
    own = x.double().numpy()
    centred = own - own.mean(1, keepdims=True)
    layer = Standardise.fit(x, rows, normalise="utterance")
    std = centred[rows].reshape(-1, 6).std(0)
    np.testing.assert_allclose(layer.mean, 0, atol=1e-6)
    np.testing.assert_allclose(layer.std, std, rtol=1e-5)
    np.testing.assert_allclose(layer(x), centred / std, atol=1e-4)
    one = x[0].double().numpy()  # without a batch axis, and of another length
    np.testing.assert_allclose(layer(x[0, :4]), (one[:4] - one[:4].mean(0)) / std, atol=1e-4)


def test_the_deviation_within_speakers_as_pandas_does_it():
    """Those of unknown speaker (-1) are taken for one more."""
    x, rows = spectrograms(40), torch.arange(0, 40, 3)
    speaker = torch.randint(-1, 4, (40,), generator=torch.Generator().manual_seed(0))
    x += 5 * torch.randn(5, 1, 6, generator=torch.Generator().manual_seed(1))[speaker]  # voices lie far apart
    frames = pd.DataFrame(x[rows].double().flatten(0, 1).numpy())
    own = frames.groupby(speaker[rows].repeat_interleave(9).numpy())
    within = ((frames - own.transform("mean")) ** 2).mean() ** 0.5
    layer = Standardise.fit(x, rows, normalise="speaker", speaker=speaker)
    np.testing.assert_allclose(layer.std, within, rtol=1e-5)
    assert not layer.mean.any()
    np.testing.assert_allclose(Standardise.fit(x, rows, normalise="speaker").std, frames.std(ddof=0), rtol=1e-5)


def by_speaker(frames, before, std):
    """The formula of `Standardise` in float64: the clip's frames, and all that were heard before."""
    heard = np.concatenate([before, frames])
    n, prior = len(heard), len(frames)
    variance = (n * heard.var(0) + prior * std**2) / (n + prior)
    return (frames - heard.mean(0)) / np.sqrt(variance)


def test_per_speaker_as_numpy_does_it():
    x, speaker = spectrograms(12), torch.arange(12) % 3
    layer = Standardise.fit(x, normalise="speaker", speaker=speaker)
    own, std = x.double().numpy(), layer.std.double().numpy()
    nothing = np.zeros((0, 6))
    np.testing.assert_allclose(layer(x), [by_speaker(clip, nothing, std) for clip in own], atol=1e-4)
    voices = Voices(speaker_voices(x, speaker), speaker)
    new = spectrograms(3, seed=5)
    expected = [
        by_speaker(clip.double().numpy(), own[code::3].reshape(-1, 6), std) for code, clip in enumerate(new)
    ]
    np.testing.assert_allclose(layer(new, voices.of(torch.arange(3))), expected, atol=1e-4)
    one = new[1, :4].double().numpy()  # without a batch axis, and of another length
    expected = by_speaker(one, own[1::3].reshape(-1, 6), std)
    np.testing.assert_allclose(layer(new[1, :4], voices.of(1)), expected, atol=1e-4)


@pytest.mark.parametrize("normalise", ["corpus", "utterance"])
def test_others_do_not_look_at_the_voice(normalise):
    x = spectrograms(5)
    layer = Standardise.fit(x, normalise=normalise)
    assert torch.equal(layer(x, torch.full((5, 3, 6), torch.nan)), layer(x))


def test_a_speaker_heard_clip_by_clip_is_as_one_heard_at_once():
    """Causal: what a clip becomes depends on those before it alone, whoever adds them up."""
    x = spectrograms(8)
    layer = Standardise.fit(spectrograms(30, seed=1), normalise="speaker")
    own, std, voice = x.double().numpy(), layer.std.double().numpy(), torch.zeros(3, 6)
    for number, clip in enumerate(x):
        before = own[:number].reshape(-1, 6)
        found = layer(clip, voice)
        np.testing.assert_allclose(found, by_speaker(own[number], before, std), atol=1e-4)
        at_once = speaker_voices(x, torch.zeros(8, dtype=torch.int64), torch.arange(number))[0]
        torch.testing.assert_close(layer(clip, at_once), found, rtol=1e-4, atol=1e-5)
        voice = update_voice(clip, voice)
    torch.testing.assert_close(voice, speaker_voices(x, torch.zeros(8, dtype=torch.int64))[0])


frames_in_parts = st.lists(
    st.lists(st.lists(st.floats(-20, 10, width=32), min_size=2, max_size=2), min_size=1, max_size=7),
    min_size=1,
    max_size=6,
)


def of_all(parts):
    """[3, n_mels] of all frames together, in float64."""
    frames = np.concatenate([np.array(part, np.float64) for part in parts])
    return np.stack([np.full(2, len(frames)), frames.mean(0), frames.var(0)])


@given(parts=frames_in_parts)
@settings(max_examples=100, deadline=None)
def test_hearing_in_any_parts_is_hearing_all_at_once(parts):
    voice = None
    for part in parts:
        voice = update_voice(torch.tensor(part), voice)
    np.testing.assert_allclose(voice, of_all(parts), rtol=1e-4, atol=1e-4)
    assert (voice[2] >= 0).all()


@given(parts=frames_in_parts, at=st.integers(0, 6))
@settings(max_examples=50, deadline=None)
def test_parts_may_be_joined_in_any_order(parts, at):
    def of(some):
        return torch.from_numpy(of_all(some)).float() if some else torch.zeros(3, 2)

    one, other = of(parts[:at]), of(parts[at:])
    for both in (joined(one, other), joined(other, one)):
        np.testing.assert_allclose(both, of_all(parts), rtol=1e-4, atol=1e-4)


def test_nothing_joined_is_nothing():
    voice, nothing = update_voice(spectrograms(1)[0]), torch.zeros(3, 6)
    assert torch.equal(joined(nothing, nothing), nothing)
    for both in (joined(nothing, voice), joined(voice, nothing)):
        torch.testing.assert_close(both, voice)


@pytest.mark.parametrize("centred", [False, True])
def test_voices_as_pandas_groups_them(centred):
    x, rows = spectrograms(40).half(), torch.arange(1, 40, 2)
    speaker = torch.randint(-1, 6, (40,), generator=torch.Generator().manual_seed(0))
    speaker[speaker == 2] = 3
    speaker[0], speaker[1] = 6, -1  # the last speaker has no clip that is heard, the first clip no speaker
    own = x[rows].double()
    own = own - own.mean(1, keepdim=True) if centred else own
    groups = pd.DataFrame(own.flatten(0, 1).numpy()).groupby(speaker[rows].repeat_interleave(9).numpy())
    voices = speaker_voices(x, speaker, rows, centred=centred)
    assert voices.shape == (8, 3, 6)
    assert voices.dtype == torch.float32
    for code in range(7):
        if code not in groups.groups:
            assert not voices[code].any()
            continue
        heard = groups.get_group(code)
        expected = [np.full(6, len(heard)), heard.mean(), heard.var(ddof=0)]
        np.testing.assert_allclose(voices[code], expected, rtol=1e-5, atol=1e-6)
    assert {2, 6} <= set(range(7)) - set(groups.groups)
    assert not voices[-1].any()


def test_a_speaker_who_is_unknown_has_not_been_heard():
    x, speaker = spectrograms(6), torch.tensor([0, 0, 1, -1, -1, 1])
    voices = Voices(speaker_voices(x, speaker), speaker)
    assert not voices.of(torch.tensor([3, 4])).any()
    assert torch.equal(voices.of(torch.tensor([5, 0])), voices.table[[1, 0]])
    layer = Standardise.fit(x, normalise="speaker", speaker=speaker)
    assert torch.equal(layer(x[3:5], voices.of(torch.tensor([3, 4]))), layer(x[3:5]))
    nobody = speaker_voices(x, torch.full((6,), -1))
    assert nobody.shape == (1, 3, 6)
    assert not nobody.any()


class Half(Processes):
    """One of two processes; what both add up is kept by each."""

    def add(self, tensor):
        self.__dict__["mine"] = tensor.clone()
        return tensor + self.__dict__.get("theirs", 0)


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_shares_add_up_to_the_whole(normalise):
    x, speaker, rows = spectrograms(21), torch.arange(21) % 4 - 1, torch.arange(1, 20)
    first, second = Half(0, 2), Half(1, 2)
    Standardise.fit(x, rows, normalise=normalise, speaker=speaker, group=first)
    second.__dict__["theirs"] = first.__dict__["mine"]
    layer = Standardise.fit(x, rows, normalise=normalise, speaker=speaker, group=second)
    whole = Standardise.fit(x, rows, normalise=normalise, speaker=speaker)
    torch.testing.assert_close(layer.mean, whole.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(layer.std, whole.std, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [0.0, -13.8155, 0.1])
def test_per_utterance_a_bin_that_never_changes_becomes_nearly_0(value):
    x = spectrograms(30).repeat(1, 50, 1)
    x[:, :, 2] = value + torch.arange(30)[:, None] % 3  # another value in every clip
    z = Standardise.fit(x, normalise="utterance")(x)
    assert z[:, :, 2].abs().max() < 1e-3
    assert z[:, :, 1].std() > 0.5


@pytest.mark.parametrize("value", [0.0, -13.8155, 0.1])
def test_per_speaker_a_bin_that_never_changes_becomes_nearly_0(value):
    x, speaker = spectrograms(30).repeat(1, 50, 1), torch.arange(30) % 3
    x[:, :, 2] = value + speaker[:, None]  # another value of every speaker
    layer = Standardise.fit(x, normalise="speaker", speaker=speaker)
    voices = Voices(speaker_voices(x, speaker), speaker)
    for voice in (None, voices.of(torch.arange(30))):
        z = layer(x, voice)
        assert z[:, :, 2].abs().max() < 1e-3
        assert z[:, :, 1].std() > 0.5


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_silence_stays_finite(normalise):
    """Clips of nothing but the floor, in training and in use."""
    loud, silent = spectrograms(4), torch.full((4, 9, 6), -13.8155)
    for seen in (loud, silent, torch.cat([loud, silent])):
        layer = Standardise.fit(seen, normalise=normalise)
        for x in (loud, silent, silent.half()):
            for voice in (None, torch.zeros(4, 3, 6), update_voice(silent), update_voice(loud)):
                assert layer(x, voice).isfinite().all()


def test_an_unknown_normalisation():
    with pytest.raises(
        InputError, match=r"Bad normalise 'clip', expected one of \['corpus', 'speaker', 'utterance'\]"
    ):
        Standardise(6, "clip")
