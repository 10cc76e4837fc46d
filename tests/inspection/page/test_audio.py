import base64
import io
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import chirp, resample_poly

from ser_graph.errors import InputError
from ser_graph.inspection.page import audio
from ser_graph.inspection.page.audio import encode_clip, page_audio


def table_of(root, *files):
    table = pd.DataFrame(index=pd.Index(files, name="file"))
    table.attrs["root"] = str(root)
    return table


def decode(address):
    kind, content = address.split(",")
    assert kind == "data:audio/mpeg;base64"
    file = io.BytesIO(base64.b64decode(content))
    assert soundfile.info(file).format == "MP3"
    file.seek(0)
    return soundfile.read(file, always_2d=True)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1)])
def test_the_sound_inside_is_the_sound_of_the_file(tmp_path, rate, channels):
    time = np.arange(int(0.7 * rate)) / rate
    sound = 0.4 * chirp(time, 200, 0.7, 3000) * np.hanning(len(time))
    soundfile.write(tmp_path / "a.wav", sound[:, None] * np.linspace(1, 0.5, channels), rate)
    samples, decoded_rate = decode(encode_clip(tmp_path / "a.wav"))
    assert decoded_rate == 16_000 and samples.shape[1] == 1
    assert len(samples) == pytest.approx(0.7 * 16_000, abs=16)
    wanted = resample_poly(sound, 160, rate // 100)[: len(samples)]
    assert np.corrcoef(samples[: len(wanted), 0], wanted)[0, 1] > 0.98


def test_embedded_clips_keep_their_order(tmp_path):
    files = [f"{pitch}.wav" for pitch in (900, 300, 600)]
    for file in files:
        time = np.arange(4000) / 16_000
        soundfile.write(tmp_path / file, 0.5 * np.sin(2 * np.pi * int(file[:-4]) * time), 16_000)
    result = page_audio(table_of(tmp_path, *files), "embed", root=None, folder=tmp_path, progress=False)
    spectra = [np.abs(np.fft.rfft(decode(source)[0][:, 0])) for source in result["sources"]]
    assert [round(s.argmax() / len(s) * 80) * 100 for s in spectra] == [900, 300, 600]
    assert result["kind"] == "embed" and "could not" not in result["note"]


def test_files_that_cannot_be_read_are_counted(make_clips, tmp_path):
    make_clips("good.wav", "last.wav")
    (tmp_path / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (tmp_path / "text.wav").write_text("no sound")
    table = table_of(tmp_path, "good.wav", "pointer.wav", "missing.wav", "text.wav", "last.wav")
    result = page_audio(table, "embed", root=None, folder=tmp_path, progress=False)
    assert [source is None for source in result["sources"]] == [False, True, True, True, False]
    assert "3 of 5 files could not be read" in result["note"]


NAMES = [
    "plain.wav",
    "with space.wav",
    "#1 100%.wav",
    "a?b=c&d.wav",
    'it\'s "quoted".wav',
    "Ärger/größe.wav",
    "%41.wav",
    "semi;colon:x.wav",
    "😀<b>.wav",
]


def opened_by_browser(page, source):
    """The file that a page's reference leads to; the name is decoded byte by byte, as a browser does."""
    assert source.isascii() and not set(source) & set(" \"'<>#?")
    return Path(
        os.fsdecode(unquote(urlparse(urljoin(page.absolute().as_uri(), source)).path, "latin-1").encode("latin-1"))
    )


@pytest.mark.skipif(sys.platform != "linux", reason="names that other systems do not allow")
@pytest.mark.parametrize("folder", ["corpus", "pages", "corpus/deep/er", "some where/ä#"])
def test_references_lead_to_the_very_files(make_clips, tmp_path, monkeypatch, folder):
    root = make_clips(*NAMES[:-1], folder=tmp_path / "corpus")
    (root / NAMES[-1]).write_bytes((root / NAMES[0]).read_bytes())
    monkeypatch.chdir(tmp_path)
    for given in (tmp_path / folder, Path(folder)):
        result = page_audio(table_of(root, *NAMES), "reference", root=None, folder=given, progress=False)
        assert result["kind"] == "reference"
        for name, source in zip(NAMES, result["sources"], strict=True):
            assert not urlparse(source).scheme
            assert Path(os.path.normpath(opened_by_browser(given / "page.html", source))) == root / name


def test_references_hold_in_folders_that_are_links(make_clips, tmp_path):
    root = make_clips("a.wav", folder=tmp_path / "disk" / "deep" / "corpus")
    (tmp_path / "disk" / "pages").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "pages")
    (tmp_path / "data").symlink_to(root)
    for corpus in (root, tmp_path / "data"):
        result = page_audio(
            table_of(corpus, "a.wav"), "reference", root=None, folder=tmp_path / "link", progress=False
        )
        assert opened_by_browser(tmp_path / "link" / "page.html", result["sources"][0]).samefile(root / "a.wav")


def test_files_on_another_drive_have_an_address_of_their_own(make_clips, tmp_path, monkeypatch):
    def no_way(*_):
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    make_clips("a b.wav")
    monkeypatch.setattr("os.path.relpath", no_way)
    result = page_audio(table_of(tmp_path, "a b.wav"), "reference", root=None, folder=tmp_path, progress=False)
    assert result["sources"] == [(tmp_path / "a b.wav").as_uri()]


def test_auto_goes_by_number_and_presence(make_clips, tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "EMBED_UP_TO", 2)
    make_clips("a.wav", "b.wav", "c.wav")
    kinds = {}
    for n in (2, 3):
        table = table_of(tmp_path, *["a.wav", "b.wav", "c.wav"][:n])
        kinds[n] = page_audio(table, "auto", root=None, folder=tmp_path, progress=False)["kind"]
    assert kinds == {2: "embed", 3: "reference"}
    assert page_audio(table, "embed", root=None, folder=tmp_path, progress=False)["kind"] == "embed"
    gone = table_of(tmp_path / "gone", "a.wav")
    result = page_audio(gone, "auto", root=None, folder=tmp_path)
    assert (result["kind"], result["sources"]) == ("none", None) and "not available" in result["note"]
    assert page_audio(gone, "auto", root=tmp_path, folder=tmp_path)["kind"] == "embed"
    for how in ("embed", "reference"):
        with pytest.raises(InputError, match="root="):
            page_audio(gone, how, root=None, folder=tmp_path)


def test_without_sound_no_file_is_looked_for(tmp_path):
    result = page_audio(table_of(tmp_path / "gone", "a.wav"), "none", root=None, folder=tmp_path)
    assert (result["kind"], result["sources"]) == ("none", None)


def test_another_way_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"'embedded', expected one of .*'reference'"):
        page_audio(table_of(tmp_path, "a.wav"), "embedded", root=None, folder=tmp_path)
