"""Log-mels of a corpus: how many times faster than real time, and than a plain loop over the files.

    python benchmarks/log_mels.py [FOLDER OF A CORPUS] [--name NAME] [--clips 300]

Without a folder, built-in speech is written as the 48 kHz stereo WAV that corpora are handed out as.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

import ser_graph as sg
from ser_graph.audio import fit_length, load_waveform
from ser_graph.corpora.synthetic.making import corpus_clips, synthesise


def written_corpus(folder: Path, n_clips: int) -> pd.DataFrame:
    """Built-in speech as 48 kHz stereo WAV."""
    files = []
    for number, clip in enumerate(corpus_clips("target", n_clips, 6)):
        wave = np.repeat(synthesise(*clip), 3)
        soundfile.write(folder / f"{number}.wav", np.stack([wave, wave], 1), 48_000)
        files.append(f"{number}.wav")
    table = pd.DataFrame(index=pd.Index(files, name="file"))
    table["duration"] = [soundfile.info(folder / file).duration for file in files]
    table.attrs["root"] = str(folder)
    return table


def plain_loop(table: pd.DataFrame) -> None:
    """One clip after the other, as the tutorials do."""
    log_mel = sg.audio.LogMel()
    with torch.inference_mode():
        for file in table.index:
            log_mel(fit_length(load_waveform(Path(table.attrs["root"]) / file), 95_744)).half()


def seconds(function, *arguments) -> float:
    function(*arguments)  # files into the page cache, kernels compiled
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--name", default="ravdess")
    parser.add_argument("--clips", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.folder is None:
            table = written_corpus(Path(temporary), arguments.clips)
        else:
            table = sg.load_corpus(arguments.name, arguments.folder, split=None)
        ours = seconds(lambda: sg.audio.log_mels(table, progress=False))
        loop = seconds(plain_loop, table)
    audio = table["duration"].sum()
    print(f"{len(table)} clips, {audio / 60:.1f} min of audio, {torch.get_num_threads()} threads")
    print(f"log_mels     {ours:6.2f} s  {audio / ours:6.0f} x real time  1.00")
    print(f"plain loop   {loop:6.2f} s  {audio / loop:6.0f} x real time  {loop / ours:.2f} times as long")


if __name__ == "__main__":
    main()
