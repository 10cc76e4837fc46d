import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from ser_graph.audio import LogMelSettings
from ser_graph.audio.torchaudio_import import torchaudio
from ser_graph.common.colors import EMOTION_COLORS
from ser_graph.evaluation.figures import new_axes
from ser_graph.inspection.spectrograms import mel_places, plot_neighbours, plot_spectrogram

pytestmark = pytest.mark.filterwarnings("error")


def shown(ax):
    return np.asarray(ax.images[0].get_array())


def decibels(data, node):
    return 10 * np.log10(np.exp(data.x[node].double().numpy())).T


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_places_are_where_the_filters_peak(scale):
    settings = LogMelSettings(mel_scale=scale, f_min=50, f_max=7000, n_mels=40)
    n_freqs = 200_001
    filters = torchaudio.functional.melscale_fbanks(n_freqs, 50, 7000, 40, 16_000, mel_scale=scale)
    peaks = filters.argmax(0).numpy() * 8000 / (n_freqs - 1)
    np.testing.assert_allclose(mel_places(peaks, settings), np.arange(40), atol=2e-3)


def test_spectrogram(toy_graph):
    ax = plot_spectrogram(toy_graph, "s0/003.wav")
    ax.figure.canvas.draw()
    np.testing.assert_allclose(shown(ax), decibels(toy_graph, 3), rtol=1e-4, atol=1e-3)
    image = ax.images[0]
    # 31 frames of 256 samples; the first window's 512 samples have their middle at 256.
    np.testing.assert_allclose(image.get_extent()[:2], [128 / 16_000, (128 + 31 * 256) / 16_000])
    assert image.origin == "lower"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["500", "1000", "2000", "4000"]
    np.testing.assert_allclose(ax.get_yticks(), mel_places(np.array([500, 1000, 2000, 4000]), LogMelSettings()))
    assert ax.get_title("left") == "anger, s0, 003.wav"
    assert to_hex(ax.spines["left"].get_edgecolor()).upper() == EMOTION_COLORS["anger"]


def test_where_a_clip_is_repeated(toy_graph):
    toy_graph.table.loc["s0/003.wav", "duration"] = 0.2
    (line,) = plot_spectrogram(toy_graph, 3).lines
    assert line.get_xdata() == [0.2, 0.2]
    toy_graph.table.loc["s0/003.wav", "duration"] = 3.0
    assert not plot_spectrogram(toy_graph, 3).lines


def test_silence_and_loudness_do_not_use_up_the_colours(toy_graph):
    toy_graph.x[3, 0, 0] = -200
    image = plot_spectrogram(toy_graph, 3).images[0]
    low, high = image.get_clim()
    assert high == pytest.approx(decibels(toy_graph, 3).max(), abs=0.01)
    assert high - low == pytest.approx(80)
    toy_graph.x[3] = 0
    plot_spectrogram(toy_graph, 3).figure.canvas.draw()


def test_neighbours_below_nearest_first(four_clips):
    four_clips.edge_weight = torch.tensor([0.97, 0.99, 0.98, 0.98, 0.5, 0.96])
    axes = plot_neighbours(four_clips, 0)
    axes[0].figure.canvas.draw()
    assert [ax.get_title("left") for ax in axes] == [
        "anger, s0, 000.wav",
        "fear, s0, similarity 0.990, 002.wav",
        "fear, s0, similarity 0.980, 003.wav",
        "anger, s0, similarity 0.970, 001.wav",
    ]
    for ax, node in zip(axes, (0, 2, 3, 1), strict=True):
        np.testing.assert_allclose(shown(ax), decibels(four_clips, node), rtol=1e-4, atol=1e-3)
    assert len({ax.images[0].get_clim() for ax in axes}) == 1
    assert axes[0].images[0].get_clim()[1] == pytest.approx(
        max(decibels(four_clips, n).max() for n in range(4)), abs=0.01
    )
    below = axes[1].spines["left"].get_edgecolor()
    assert to_hex(below).upper() == EMOTION_COLORS["fear"]


def test_a_clip_without_neighbours_says_why(toy_graph):
    (ax,) = plot_neighbours(toy_graph, 119)
    ax.figure.canvas.draw()
    assert ax.get_title("right").startswith("no neighbours: only train clips have edges")


def test_odd_names_and_axes_of_ones_own(toy_graph):
    toy_graph.table = toy_graph.table.assign(speaker="$x^$")
    ax = new_axes(4, 2)
    assert plot_spectrogram(toy_graph, 0, ax) is ax
    ax.figure.canvas.draw()
    assert "$x^$" in ax.get_title("left")
    plot_neighbours(toy_graph, 0)[0].figure.canvas.draw()
