"""The reader: formats, headers that say nothing or too much, and files that are no sound."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_graph.audio import load_waveform
from ser_graph.corpora.checking import check_clips
from ser_graph_runtime import sound
from ser_graph_runtime.recordings import recording_blocks
from ser_graph_runtime.sound import SoundError, mono_blocks, open_sound, read_mono
from ser_graph_runtime.streams import mono_stream

RATE = 16_000


def noise(n: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (n, channels)).astype(np.float32)


def write(path: Path) -> None:
    soundfile.write(path, noise(RATE), RATE)


def no_file(path: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def no_bytes(path: Path) -> None:
    path.touch()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


def page(path: Path) -> None:
    path.write_text("<html>404: not found</html>\n" * 9)


def noise_of_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def link_to_nothing(path: Path) -> None:
    path.symlink_to(".git/annex/a.wav")


def half_a_header(path: Path) -> None:
    write(path)
    path.write_bytes(path.read_bytes()[:20])


def halved(path: Path) -> None:
    write(path)
    path.write_bytes(path.read_bytes()[:-RATE])


def of_samples(samples: list[float]) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, np.array(samples), RATE, subtype="FLOAT")


def of_a_rate(rate: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        write(path)
        patch(path, 24, struct.pack("<I", rate))

    return spoil


def nothing_but_a_title(path: Path) -> None:
    soundfile.write(path, noise(0), RATE)
    path.write_bytes(path.read_bytes() + b"LIST\x0e\0\0\0INFOINAM\2\0\0\0hi")


def channels_that_cancel(path: Path) -> None:
    soundfile.write(path, noise(RATE) * [1, -1], RATE)


def patch(path: Path, at: int, new: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "problem", "detail"),
    [
        (no_file, "missing", "no such file"),
        (link_to_nothing, "missing", r"a link to \.git/annex/a\.wav, which does not exist"),
        (folder, "not audio", "a folder"),
        (pipe, "not audio", "a pipe or a device"),
        (no_bytes, "empty", "0 bytes"),
        (pointer, "pointer", "git-lfs pointer.*git lfs pull"),
        (page, "not audio", "it starts with b'<html>40'"),
        (noise_of_bytes, "not audio", "it starts with"),
        (half_a_header, "truncated|empty", "fetch it again"),
        (halved, "truncated", "promises 32000 bytes of sound, there are 16000"),
        (nothing_but_a_title, "empty", "a header without samples"),
        (of_samples([]), "empty", "a header without samples"),
        (channels_that_cancel, "silent", "its 2 channels cancel each other: averaged, no sample is above -60 dB"),
        (of_samples([0.1, np.nan, 0.1]), "not finite", "NaN or infinite"),
        (of_samples([0.1, np.inf, 0.1]), "not finite", "NaN or infinite"),
        (of_samples([0.1, -32_768, 0.1]), "wrong scale", "samples up to 32,768, expected -1 to 1"),
        (of_a_rate(2**31 - 1), "bad rate", "2,147,483,647 samples a second, expected 1,000 to 1,000,000"),
        (of_a_rate(1), "bad rate", "1 samples a second"),
    ],
)
def test_a_bad_file_is_named_in_one_line_and_checking_says_the_same(tmp_path, spoil, problem, detail):
    path = tmp_path / "bad clip.wav"
    spoil(path)
    with pytest.raises(SoundError, match=rf"cannot be used \(({problem}): .*{detail}") as caught:
        load_waveform(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    table = pd.DataFrame({"emotion": "fear"}, index=pd.Index([path.name], name="file"))
    (row,) = check_clips(table, tmp_path).query("severity == 'error'").itertuples()
    assert (row.problem, row.detail) == (caught.value.problem, caught.value.detail)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "raw", "au", "snd", "vox", "gsm", "m4a"])
@pytest.mark.parametrize("spoil", [no_file, folder, no_bytes, pointer, page, noise_of_bytes])
def test_bad_files_of_other_kinds_are_named(tmp_path, suffix, spoil):
    """libsndfile takes any bytes for sound where the name ends in .au, .snd, .vox or .gsm."""
    path = tmp_path / f"bad.{suffix}"
    spoil(path)
    with pytest.raises(SoundError) as caught:
        read_mono(path, RATE)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["m4a", "amr", "webm"])
def test_formats_of_phones_and_browsers_are_to_be_converted(tmp_path, suffix):
    noise_of_bytes(tmp_path / f"talk.{suffix}")
    with pytest.raises(SoundError, match=rf"convert it: ffmpeg -i talk\.{suffix} talk\.wav"):
        read_mono(tmp_path / f"talk.{suffix}", RATE)


def as_stream(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return np.concatenate(list(mono_stream(file, None, RATE)))


@pytest.mark.parametrize("riff", [0, 36, 2**32 - 1, None])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "PCM_U8", "IMA_ADPCM"])
def test_a_wav_whose_size_was_never_written_is_read_to_its_end(tmp_path, subtype, riff):
    """The program that wrote it was stopped, or wrote into a pipe."""
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE), RATE, subtype=subtype)
    expected = read_mono(path, RATE)
    patch(path, path.read_bytes().index(b"data") + 4, bytes(4))
    if riff is not None:
        patch(path, 4, struct.pack("<I", riff))
    np.testing.assert_array_equal(read_mono(path, RATE), expected)
    assert not len(check_clips(pd.DataFrame({"emotion": "fear"}, index=["a.wav"]), tmp_path))
    if subtype in ("PCM_16", "FLOAT"):
        np.testing.assert_array_equal(as_stream(path), expected)


def test_an_empty_wav_with_a_title_is_empty_as_a_stream_too(tmp_path):
    nothing_but_a_title(tmp_path / "a.wav")
    with (tmp_path / "a.wav").open("rb") as file:
        assert not list(mono_stream(file, None, RATE))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_channels_that_cancel_each_other_are_no_sound(tmp_path, suffix):
    """Codecs that lose a little leave some noise in the mean."""
    path = tmp_path / f"a.{suffix}"
    wave = 0.5 * np.sin(np.arange(RATE) / 20)
    soundfile.write(path, np.stack([wave, -wave], 1), RATE)
    with pytest.raises(SoundError, match=rf"a\.{suffix} cannot be used \(silent: its 2 channels cancel each other"):
        read_mono(path, RATE)
    soundfile.write(path, np.stack([wave, -wave / 2], 1), RATE)
    assert np.abs(read_mono(path, RATE)).max() > 0.1
    soundfile.write(path, np.zeros((RATE, 2)), RATE)
    assert not read_mono(path, RATE).any()  # silence is an answer


def test_a_file_is_opened_once(tmp_path, monkeypatch):
    write(tmp_path / "a.wav")
    opened, init = [], soundfile.SoundFile.__init__
    monkeypatch.setattr(
        soundfile.SoundFile, "__init__", lambda self, *a, **k: opened.append(a) or init(self, *a, **k)
    )
    list(recording_blocks(tmp_path / "a.wav", RATE))
    assert len(opened) == 1


@pytest.mark.parametrize("total", [0, 2**36 - 1])
def test_a_flac_that_does_not_know_its_length_is_whole(tmp_path, total):
    write(tmp_path / "a.flac")
    expected = read_mono(tmp_path / "a.flac", RATE)
    at = 8 + 13  # the lower half of this byte and the next four are the number of samples
    upper = (tmp_path / "a.flac").read_bytes()[at] & 0xF0
    patch(tmp_path / "a.flac", at, bytes([upper | total >> 32]) + struct.pack(">I", total & 0xFFFFFFFF))
    np.testing.assert_array_equal(read_mono(tmp_path / "a.flac", RATE), expected)
    with open_sound(tmp_path / "a.flac") as found:
        assert found.frames is None


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_16", "IMA_ADPCM", "ULAW"])
def test_old_codecs_in_pieces(tmp_path, subtype, monkeypatch):
    wave = 0.5 * np.sin(np.arange(RATE) / 20)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype=subtype)
    whole = read_mono(tmp_path / "a.wav", RATE)
    assert np.corrcoef(whole[:RATE], wave)[0, 1] > 0.9
    monkeypatch.setattr(sound, "_AT_ONCE", 999)
    np.testing.assert_array_equal(read_mono(tmp_path / "a.wav", RATE), whole)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [44_100, 16_000, 8_000])
def test_a_file_in_pieces_is_the_file(tmp_path, suffix, rate, monkeypatch):
    soundfile.write(tmp_path / f"a.{suffix}", noise(7_000, channels=2), rate)
    whole = read_mono(tmp_path / f"a.{suffix}", RATE)
    monkeypatch.setattr(sound, "_AT_ONCE", 999)
    pieces = list(mono_blocks(tmp_path / f"a.{suffix}", RATE))
    assert len(pieces) > 10
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_many_channels_take_no_more_memory(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(100, channels=200), RATE)
    with open_sound(tmp_path / "a.wav") as found:
        assert found.channels == 200
        (block,) = found.blocks()
        assert block.base.nbytes <= 4 * sound._AT_ONCE


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write(tmp_path / "a.wav")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(soundfile.SoundFile, "__init__", refuse)  # root may read everything
    with pytest.raises(SoundError, match=r"a\.wav cannot be used \(unreadable: .*Permission denied\)"):
        read_mono(tmp_path / "a.wav", RATE)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is Unicode")
def test_a_name_of_other_letters_is_said(tmp_path):
    name = os.fsencode(tmp_path) + b"/gr\xfc\xdfe.wav"
    write(tmp_path / "a.wav")
    os.rename(tmp_path / "a.wav", name)  # noqa: PTH104  (Path has no names of bytes)
    with pytest.raises(SoundError, match="is not UTF-8; rename it"):
        read_mono(os.fsdecode(name), RATE)


def test_errors_of_who_reads_are_not_those_of_the_file(tmp_path):
    write(tmp_path / "a.wav")
    with pytest.raises(TypeError, match="a mistake"), open_sound(tmp_path / "a.wav"):
        raise TypeError("a mistake")


def test_the_reader_needs_no_torch():
    program = "import sys, ser_graph_runtime.sound; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_that_ends_early(tmp_path, subtype):
    whole, cut = tmp_path / "whole.ogg", tmp_path / "cut.ogg"
    soundfile.write(whole, noise(5 * RATE), RATE, format="OGG", subtype=subtype)
    assert len(read_mono(whole, RATE)) == 5 * RATE
    content = whole.read_bytes()
    for size in (len(content) // 3, len(content) // 2, int(0.95 * len(content)), len(content) - 1):
        cut.write_bytes(content[:size])
        with pytest.raises(SoundError, match="truncated: the stream ends without its end mark"):
            read_mono(cut, RATE)
