from .features import log_mels as log_mels, map_array as map_array
from .log_mel import LogMel as LogMel
from .reading import fit_length as fit_length, load_waveform as load_waveform
from .settings import LogMelSettings as LogMelSettings
from .standardise import Standardise as Standardise
