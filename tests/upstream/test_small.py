"""The small wav2vec 2.0: its first layer hears frequencies, and it is of the large one's class."""

import torch
from transformers import Wav2Vec2ForSequenceClassification

from ser_graph.upstream.small import gabor_filters, small_wav2vec2


def test_filters_answer_to_their_own_frequency():
    filters = gabor_filters(32, 400)
    assert filters.shape == (32, 400)
    torch.testing.assert_close(filters.norm(dim=1), torch.ones(32))
    peaks = torch.fft.rfft(filters, 16_000).abs().argmax(1)  # 1 Hz a bin
    assert (peaks[:16] - peaks[16:]).abs().max() <= 40  # cosine and sine of one frequency
    assert abs(int(peaks[0]) - 60) <= 60 and abs(int(peaks[15]) - 7000) <= 2
    steps = (2595 * torch.log10(1 + peaks[2:16] / 700)).diff()
    assert steps.max() / steps.min() < 1.1  # even on the mel scale


def test_it_is_a_small_wav2vec2():
    model, extractor = small_wav2vec2()
    assert isinstance(model, Wav2Vec2ForSequenceClassification)
    assert model.projector.out_features == 256
    assert sum(parameter.numel() for parameter in model.parameters()) < 500_000
    assert extractor.return_attention_mask and extractor.sampling_rate == 16_000
    assert int(model._get_feat_extract_output_lengths(torch.tensor(16_000))) == 23
