"""File -> waveform -> log-mel spectrogram."""

from ser_graph.audio.features import log_mels, map_array
from ser_graph.audio.log_mel import LogMel, LogMelSettings
from ser_graph.audio.reading import fit_length, load_waveform
from ser_graph.audio.standardise import Standardise
from ser_graph.sound import read_audio

__all__ = [
    "LogMel",
    "LogMelSettings",
    "Standardise",
    "fit_length",
    "load_waveform",
    "log_mels",
    "map_array",
    "read_audio",
]
