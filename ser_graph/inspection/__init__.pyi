from .agreement import (
    matrix_correlation as matrix_correlation,
    plot_confusions_beside_mixing as plot_confusions_beside_mixing,
)
from .audit_result import Audit as Audit, format_audit as format_audit
from .corpus_audit import audit as audit
from .ego import plot_ego as plot_ego
from .layout import graph_layout as graph_layout
from .map import plot_map as plot_map
from .page import write_page as write_page
from .plots import plot_degrees as plot_degrees, plot_mixing as plot_mixing, plot_similarities as plot_similarities
from .spectrograms import plot_neighbours as plot_neighbours, plot_spectrogram as plot_spectrogram
from .view import inspect as inspect
