"""The modules of the page, run by Node, beside the Python that they repeat."""

import json
from itertools import accumulate, pairwise

import numpy as np
import onnx
import pytest
import soundfile

from ser_graph_runtime.arrays import repeat_to
from ser_graph_runtime.metadata import METADATA_KEY
from ser_graph_runtime.resampling import resampled
from ser_graph_runtime.streaming import cut


def in_blocks(samples, rng):
    """Samples in blocks of random lengths, some of them empty."""
    ends = [0, *accumulate(rng.integers(0, 700, 2 * len(samples) // 300)), len(samples)]
    ends = sorted(min(end, len(samples)) for end in ends)
    return [samples[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 48_000, 96_000])
def test_resampling_is_that_of_python(node, rate):
    rng = np.random.default_rng(rate)
    samples = rng.normal(0, 0.3, 5_003).astype(np.float32)
    wanted = np.concatenate(list(resampled([samples], rate, 16_000)))
    said = node(
        """
        const resampler = new resampling.Resampler(given.rate, 16000);
        const parts = given.blocks.map((block) => resampler.push(Float32Array.from(block)));
        done([...parts, resampler.finish()].flatMap((part) => [...part]));
        """,
        {"rate": rate, "blocks": [block.tolist() for block in in_blocks(samples, rng)]},
    )
    np.testing.assert_allclose(said, wanted, rtol=0, atol=1e-7)
    assert (
        np.array(said, np.float32) != wanted
    ).mean() < 0.01  # to the last bit: an 8-bit model rounds the next one


def test_windows_are_those_of_python(node):
    rng = np.random.default_rng(0)
    cases = []
    for n in [0, 1, 99, 100, 101, *rng.integers(0, 3_000, 60).tolist()]:
        window = int(rng.integers(1, 400))
        hop = int(rng.integers(1, window + 1))
        blocks = in_blocks(np.arange(n, dtype=np.float32), rng)
        cases.append({"window": window, "hop": hop, "blocks": [block.tolist() for block in blocks]})
    said = node(
        """
        done(given.map(({ window, hop, blocks }) => {
          const cutter = new windows.Cutter(window, hop);
          const made = blocks.flatMap((block) => cutter.push(Float32Array.from(block)));
          return [...made, ...cutter.finish()].map(({ start, samples }) => [start, ...samples]);
        }));
        """,
        cases,
    )
    for case, found in zip(cases, said, strict=True):
        blocks = [np.array(block, np.float32) for block in case["blocks"]]
        assert found == [[start, *w.tolist()] for start, w in cut(blocks, case["window"], case["hop"])]


@pytest.mark.parametrize(("n", "length"), [(3, 10), (10, 3), (5, 5)])
def test_short_clips_are_repeated_like_in_python(node, n, length):
    said = node("done([...windows.repeatTo(Float32Array.from(given[0]), given[1])]);", [list(range(n)), length])
    assert said == repeat_to(np.arange(n), length).tolist()


READ = """
    const file = new Blob([readFileSync(given)]);
    const sound = await wav.openWav(file, "x.wav").catch((error) => error.message);
    const samples = [];
    if (sound?.blocks) for await (const block of sound.blocks()) samples.push(...block);
    done(sound?.blocks ? { rate: sound.rate, seconds: sound.seconds, samples } : sound);
"""


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize(("form", "channels"), [("WAV", 1), ("WAV", 2), ("WAVEX", 3)])
def test_wav_files_are_read_like_by_libsndfile(node, tmp_path, subtype, form, channels):
    path = tmp_path / "x.wav"
    samples = np.random.default_rng(0).uniform(-1, 1, (70_001 if subtype == "PCM_16" else 501, channels))
    soundfile.write(path, samples, 22_050, subtype=subtype, format=form)
    said = node(READ, str(path))
    wanted = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    assert said["rate"] == 22_050 and said["seconds"] == len(wanted) / 22_050
    np.testing.assert_allclose(said["samples"], wanted, rtol=0, atol=2e-7)


def test_damaged_wav_files_are_named_in_one_line(node, tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(1000), 16_000)
    whole = path.read_bytes()
    cases = {
        whole[:-10]: "x.wav is truncated (the header promises 2000 bytes of sound, there are 1990); fetch it again",
        whole[:20]: "x.wav is truncated (it ends within its WAV header); fetch it again",
        whole[:44]: "x.wav is truncated (the header promises 2000 bytes of sound, there are 0); fetch it again",
        whole[:40] + b"\0\0\0\0": "x.wav is empty (a header without samples); record it again",
        whole[:40] + b"\0\0\0\0LIST\4\0\0\0INFO": "x.wav is empty (a header without samples); record it again",
        b"This is text, not sound.": None,
    }
    for content, words in cases.items():
        path.write_bytes(content)
        assert node(READ, str(path)) == words
    for size in (b"\xff\xff\xff\xff", bytes(4)):  # by a program that wrote into a pipe, or was stopped
        path.write_bytes(whole[:40] + size + whole[44:])
        assert len(node(READ, str(path))["samples"]) == 1000


def test_what_was_heard_is_saved_exactly(node, tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.3, 1000).astype(np.float32)
    path = tmp_path / "heard.wav"
    node(
        """
        const blocks = given.blocks.map((block) => Float32Array.from(block));
        writeFileSync(given.path, Buffer.from(await wav.wavFile(blocks, 44100).arrayBuffer()));
        done(null);
        """,
        {"path": str(path), "blocks": [samples[:300].tolist(), samples[300:].tolist()]},
    )
    found, rate = soundfile.read(path, dtype="float32")
    assert rate == 44_100
    np.testing.assert_array_equal(found, samples)


RATE = "done(await coded_rate.codedRate(new Blob([readFileSync(given)])));"


@pytest.mark.parametrize(
    ("name", "rates", "how"),
    [
        ("x.flac", [8_000, 16_000, 44_100, 192_000], {}),
        ("x.ogg", [8_000, 22_050, 48_000], {"subtype": "VORBIS"}),
        ("x.ogg", [48_000], {"subtype": "OPUS"}),
        ("x.mp3", [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000], {}),
        ("x.wav", [8_000, 16_000], {"subtype": "ULAW"}),
    ],
)
def test_the_rate_of_compressed_sound_is_read(node, tmp_path, name, rates, how):
    for rate in rates:
        soundfile.write(tmp_path / name, np.random.default_rng(0).normal(0, 0.1, rate), rate, **how)
        assert node(RATE, str(tmp_path / name)) == rate


def test_the_rate_is_found_after_a_picture_in_the_tag(node, tmp_path):
    path = tmp_path / "x.mp3"
    soundfile.write(path, np.zeros(22_050), 22_050)
    n = 300_000
    size = bytes(n >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\4\0\0" + size + b"\xff" * n + path.read_bytes())
    assert node(RATE, str(path)) == 22_050


@pytest.mark.parametrize(
    "content",
    [b"", b"no sound", b"fLaC", b"OggS" * 9, b"RIFF....WAVE", b"ID3", b"\xff\xff\xff\xff", b"FORM....AIFF"],
)
def test_a_file_of_unknown_rate_has_none(node, tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert node(RATE, str(tmp_path / "x")) is None


READ_METADATA = """
    try { done(metadata.readMetadata(new Uint8Array(readFileSync(given)), "m.onnx")); }
    catch (error) { done(error.message); }
"""


def test_metadata_are_read_from_the_model(node, exported, tmp_path):
    model = onnx.load(exported)
    (said,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    metadata = json.loads(said.value)
    assert node(READ_METADATA, str(exported)) == metadata
    changed = tmp_path / "changed.onnx"
    said.value = json.dumps(metadata | {"version": 99})
    onnx.save(model, changed)
    assert "exported by another version of ser_graph (format 99, expected 1)" in node(READ_METADATA, str(changed))
    said.value = json.dumps(metadata | {"format": "other"})
    onnx.save(model, changed)
    foreign = "m.onnx was not made by 'ser-graph export'; export a student with this command"
    assert node(READ_METADATA, str(changed)) == foreign
    for content in (exported.read_bytes()[:1000], b"", b"no model" * 99):
        changed.write_bytes(content)
        assert node(READ_METADATA, str(changed)) == foreign
