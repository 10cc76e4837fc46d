"""ASED without its shortcuts: the clips of the two sentences that all emotions share, all cut to one length.

    python benchmarks/ased_common.py data/ased/labels.csv data/ased-common
    ser-graph build table data/ased-common/labels.csv --upstream small --epsilon none \
        --set n_samples=48000 --set seconds=3 --out graphs/ased-common

Five of ASED's seven sentences belong to one emotion each, so that the words tell the emotion. So do the lengths:
all happy clips last 2.9 s. The shortest of the 624 clips of the other two sentences lasts 2.4 s; every clip is cut
to its first 2.4 s. Speakers and splits stay as they are.
"""

import sys
from pathlib import Path

import soundfile

import ser_graph as sg
from ser_graph.audio import load_waveform
from ser_graph.common.progress import progress_bar

_RATE, _SECONDS = 16_000, 2.4


def main(labels: str, out: str) -> None:
    table = sg.load_corpus("table", labels)
    sentence = table["sentence"].astype(str).str[-2:]
    table = table[sentence.isin(["01", "02"])]
    root = Path(table.attrs["root"])
    for file in progress_bar(list(table.index), "cutting", unit="clip"):
        path = Path(out, file).with_suffix(".flac")
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, load_waveform(root / file, _RATE)[: round(_SECONDS * _RATE)].numpy(), _RATE)
    table.index = table.index.str.replace(r"\.[^.]*$", ".flac", regex=True)
    table.drop(columns="duration", errors="ignore").to_csv(Path(out, "labels.csv"))


if __name__ == "__main__":
    main(*sys.argv[1:])
