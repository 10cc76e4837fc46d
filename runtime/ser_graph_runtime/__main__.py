"""The command line: `ser-graph-runtime talk.wav`, or `python -m ser_graph_runtime`."""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import BinaryIO

from ser_graph_runtime.errors import InputError, one_line, visible
from ser_graph_runtime.ready import DEFAULT, READY, terms
from ser_graph_runtime.recogniser import Recogniser
from ser_graph_runtime.recordings import files_by_name
from ser_graph_runtime.streams import MICROPHONE


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line for each window; a user error gives one line on standard error and exit code 1."""
    warnings.showwarning = lambda message, *_, **__: print(f"Warning: {one_line(message)}", file=sys.stderr)
    try:
        is_whole = _recognise(_parser().parse_args(arguments))
    except InputError as error:
        print(f"Error: {one_line(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        print(f"Error: {one_line(f'{error.filename}: {error.strerror}')}", file=sys.stderr)
        raise SystemExit(1) from None
    if not is_whole:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ser-graph-runtime", description="Recognise emotions in speech, window by window."
    )
    parser.add_argument(
        "sources", nargs="*", metavar="source", help="sound files, folders of them, or - for raw PCM or WAV"
    )
    parser.add_argument(
        "--model",
        default=DEFAULT,
        help=f"ONNX file of 'ser-graph export', or the name of a model of this package (default: {DEFAULT})",
    )
    parser.add_argument("--microphone", action="store_true", help="listen to the microphone until Ctrl-C")
    parser.add_argument("--rate", type=int, help="sampling rate of raw PCM in Hz (16 bit, mono)")
    parser.add_argument("--window", type=float, help="length of a window in seconds; default: that of the model")
    parser.add_argument("--hop", type=float, help="seconds from the start of one window to the next")
    parser.add_argument("--nearest", metavar="FILE", help="NAME.nearest.npz: name the most similar labelled clips")
    parser.add_argument("--n-nearest", type=int, default=3, help="number of these clips (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    return parser


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise InputError("Standard input is closed; pipe the sound of a program into it")
    return sys.stdin.buffer


def _recognise(asked: argparse.Namespace) -> bool:
    """Print the answers; whether every file could be read."""
    sources: list[str] = asked.sources
    if bool(sources) == asked.microphone or ("-" in sources and len(sources) > 1):
        raise InputError("Give either files, folders or -, or --microphone")
    recogniser = Recogniser(asked.model, nearest=asked.nearest, n_nearest=asked.n_nearest, threads=asked.threads)
    if asked.model.startswith(READY):
        print(visible(terms(asked.model, recogniser.model)), file=sys.stderr)
    how = {"window": asked.window, "hop": asked.hop}
    if asked.microphone or sources == ["-"]:
        with contextlib.suppress(KeyboardInterrupt):
            source = MICROPHONE if asked.microphone else _standard_input()
            for answer in recogniser.stream(source, asked.rate, **how):
                print(one_line(answer), flush=True)
        return True
    if asked.rate is not None:
        raise InputError("--rate is for raw PCM on standard input; a sound file contains its rate. Leave it out")
    is_whole = True
    for name, path in files_by_name(sources).items():
        try:
            for answer in recogniser.file(path, **how):
                print(one_line(f"{name}: {answer}"), flush=True)
        except InputError as error:
            is_whole = False
            print(f"Error: {one_line(error)}", file=sys.stderr)
    return is_whole


if __name__ == "__main__":
    main()
