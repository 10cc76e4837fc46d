"""The page in a real browser: what it says of files and of a microphone, and that nothing leaves it."""

import http.server
import io
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile

from ser_graph.edge.prediction import predict
from ser_graph.edge.web_page import export_page
from ser_graph_runtime.metadata import METADATA_KEY

NASTY = "<img src=x onerror=\"document.title='hacked'\">"


@pytest.fixture(scope="module")
def browser(launch_browser):
    """Without a microphone, and without permission to use one."""
    chromium = launch_browser("--host-resolver-rules=MAP insecure.test 127.0.0.1")
    yield chromium
    chromium.close()


@pytest.fixture
def open_folder(browser, serve):
    """Open a page's folder; whatever goes wrong in it, and whatever it asks for, is kept in lists."""
    contexts = []

    def visit(folder, script=None, chromium=browser, host=None, permissions=(), **settings):
        context = chromium.new_context(**{"viewport": {"width": 1180, "height": 860}, **settings})
        context.grant_permissions([*permissions])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        if script:
            page.add_init_script(script)
        page.problems, page.requests = [], []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
        context.on("request", lambda request: page.requests.append(request.url))
        address = serve(folder)
        page.goto(address.replace("127.0.0.1", host) if host else address)
        until(page, "document.documentElement.dataset.ready || !document.querySelector('#problem').hidden")
        return page

    yield visit
    for context in contexts:
        context.close()


def until(page, condition, seconds=30):
    """Wait until an expression is true. Playwright's own waiting uses eval, which the page forbids."""
    for _ in range(seconds * 40):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"never true: {condition}; the page says {page.inner_text('main')}")


def idle(page):
    """Wait until the page has finished what it was asked."""
    until(page, "!document.querySelector('#microphone').disabled")


def choose(page, path):
    forget_status(page)
    page.set_input_files("#file", path)
    wait_for_end(page)


def forget_status(page):
    page.evaluate("document.querySelector('#status').textContent = ''")


def wait_for_end(page):
    """Wait until the page has begun and finished what it was asked after `forget_status`."""
    until(page, "document.querySelector('#status').textContent !== ''")
    idle(page)


def saved(page, button, tmp_path):
    with page.expect_download() as download:
        page.click(button)
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return path


def table(page, tmp_path):
    return pd.read_csv(saved(page, "#save-table", tmp_path), index_col="file", dtype={"predicted": str})


def assert_same(said, wanted):
    assert list(said) == list(wanted) and len(said) == len(wanted) > 1
    np.testing.assert_allclose(said[["start", "end"]], wanted[["start", "end"]], rtol=0, atol=1e-9)
    np.testing.assert_allclose(said.filter(like="p_"), wanted.filter(like="p_"), rtol=0, atol=1e-3)
    assert np.ptp(said.filter(like="p_"), axis=0).max() > 0.02  # windows are told apart
    assert (said["predicted"].to_numpy() == wanted["predicted"].to_numpy()).mean() > 0.9  # a tie may go either way


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_a_file_has_the_probabilities_of_predict(open_folder, page_folder, talk, tmp_path, rate):
    page, sound = open_folder(page_folder), talk(rate)
    choose(page, sound)
    assert page.inner_text("#problem") == "" and page.problems == []
    assert page.inner_text("#status").startswith("Done: talk.wav, ")
    said = table(page, tmp_path)
    assert set(said.index) == {"talk.wav"}
    assert_same(said, predict(page_folder / "model.onnx", sound, progress=False))
    last = said.iloc[-1]
    assert page.inner_text("#emotion") == last["predicted"]
    shown = [float(number) for number in page.locator("#emotions .number").all_inner_texts()]
    assert shown == [round(value, 2) for value in last.filter(like="p_")]
    assert float(page.inner_text("#factor")) > 0 and page.inner_text("#windows") == str(len(said))
    assert ("high frequencies are missing" in page.inner_text("#note")) == (rate == 8_000)


@pytest.mark.slow
def test_windows_of_any_length_and_step_are_those_of_predict(open_folder, make_student, runtime, talk, tmp_path):
    folder = export_page(make_student(n_samples=40_960), tmp_path / "page", progress=False)
    page, sound = open_folder(folder), talk(22_050, seconds=7.3)
    for window, hop in [("", "0.5"), ("1", "0.25"), ("2", "")]:
        page.select_option("#window", window)
        page.select_option("#hop", hop)
        choose(page, sound)
        how = {"window": float(window) if window else None, "hop": float(hop) if hop else None}
        assert_same(table(page, tmp_path), predict(folder / "model.onnx", sound, **how, progress=False))


def test_the_voice_is_that_of_predict(open_folder, hearing_folder, talk, tmp_path):
    page, sound = open_folder(hearing_folder), talk(16_000)
    page.select_option("#hop", "0.25")
    for _ in range(2):  # each file starts with an unknown voice
        choose(page, sound)
        wanted = predict(hearing_folder / "model.onnx", sound, hop=0.25, progress=False)
        assert_same(table(page, tmp_path), wanted)


def test_a_dropped_file_is_heard(open_folder, page_folder, talk, tmp_path):
    page, sound = open_folder(page_folder), talk(16_000)
    forget_status(page)
    page.evaluate(
        """bytes => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(bytes)], "dropped.wav"));
            for (const kind of ["dragover", "drop"])
              document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        list(sound.read_bytes()),
    )
    wait_for_end(page)
    wanted = predict(page_folder / "model.onnx", sound, progress=False)
    assert_same(table(page, tmp_path).rename(index={"dropped.wav": "talk.wav"}), wanted)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_compressed_files_are_decoded_by_the_browser(open_folder, page_folder, talk, tmp_path, rate):
    """At the rate of the file: the page resamples, and not the browser, whose way is another one."""
    page, sound = open_folder(page_folder), talk(rate, "talk.flac")
    choose(page, sound)
    assert_same(table(page, tmp_path), predict(page_folder / "model.onnx", sound, progress=False))
    assert ("high frequencies are missing" in page.inner_text("#note")) == (rate == 8_000)
    choose(page, talk(rate, "talk.mp3"))
    assert page.inner_text("#status").startswith("Done: talk.mp3, ")


def test_a_rate_that_the_browser_does_not_know_is_left_to_it(open_folder, page_folder, talk):
    """A browser must know the rates from 8,000 to 96,000 Hz, and may know no others."""
    script = """
        const Known = OfflineAudioContext;
        window.OfflineAudioContext = class extends Known {
          constructor(channels, length, rate) {
            if (rate > 96_000) throw new DOMException("unknown rate", "NotSupportedError");
            super(channels, length, rate);
          }
        };
    """
    page = open_folder(page_folder, script)
    choose(page, talk(192_000, "talk.flac"))
    assert page.inner_text("#status").startswith("Done: talk.flac, ") and page.problems == []


@pytest.fixture(scope="module")
def played(talk, tmp_path_factory):
    """What the microphone hears: 4 s of a voice, then silence, because Chromium repeats the end of the file."""
    sound, rate = soundfile.read(talk(48_000, "microphone.wav", 4))
    path = tmp_path_factory.mktemp("microphone") / "played.wav"
    soundfile.write(path, np.concatenate([sound.mean(axis=1), np.zeros(rate)]), rate)
    return path


@pytest.fixture(scope="module")
def with_microphone(launch_browser, played):
    """A browser whose microphone plays a file, and may be used."""
    chromium = launch_browser(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={played}%noloop",
    )
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def refusing(launch_browser):
    """A browser with a microphone that no page may use."""
    chromium = launch_browser("--use-fake-device-for-media-stream", "--deny-permission-prompts")
    yield chromium
    chromium.close()


@pytest.mark.parametrize("kind", ["page_folder", "hearing_folder"])
def test_the_microphone_has_the_probabilities_of_predict(
    open_folder, with_microphone, request, played, tmp_path, kind
):
    folder = request.getfixturevalue(kind)
    page = open_folder(folder, chromium=with_microphone)
    page.focus("#microphone")
    page.keyboard.press("Enter")
    until(page, "Number(document.querySelector('#windows').textContent) >= 5")
    assert page.inner_text("#status") == "Listening."
    assert 0 < float(page.inner_text("#latency").removesuffix(" ms")) < 5_000
    page.click("#stop")
    idle(page)
    assert page.problems == [] and page.inner_text("#problem") == ""
    heard = saved(page, "#save-sound", tmp_path)
    samples, rate = soundfile.read(heard)
    assert_same(table(page, tmp_path), predict(folder / "model.onnx", heard, progress=False))
    # It is what was played, without the browser's changes: the same loudness and the same frequencies.
    sound, sound_rate = soundfile.read(played)
    sound = sound[: int(len(samples) / rate * sound_rate)]
    assert 0.9 < np.abs(samples).max() / np.abs(sound).max() < 1.1
    spectra = [np.abs(np.fft.rfft(samples, rate * 8)), np.abs(np.fft.rfft(sound, sound_rate * 8))]
    low = [spectrum[: 8 * 4_000] / np.linalg.norm(spectrum[: 8 * 4_000]) for spectrum in spectra]
    assert np.dot(*low) > 0.9


def test_silence_is_named(open_folder, with_microphone, page_folder, tmp_path):
    page = open_folder(page_folder, chromium=with_microphone)
    page.click("#microphone")
    until(page, "document.querySelector('#status').textContent.includes('I hear silence')")  # after the file
    page.click("#stop")
    idle(page)
    soundfile.write(tmp_path / "silent.wav", np.zeros(20_000), 16_000)
    choose(page, tmp_path / "silent.wav")
    assert page.inner_text("#status") == "Done: silent.wav, 3 windows. I hear silence."


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"permissions": ["microphone"]}, "No microphone was found; connect one"),
        ({"host": "insecure.test"}, "The browser gives this page no microphone; open the page by https://"),
    ],
)
def test_no_microphone_is_one_line(open_folder, page_folder, talk, settings, words):
    page = open_folder(page_folder, **settings)
    page.click("#microphone")
    idle(page)
    assert page.inner_text("#problem").startswith(words) and "\n" not in page.inner_text("#problem")
    assert page.problems == []
    choose(page, talk(16_000))  # the page goes on
    assert page.inner_text("#problem") == "" and page.inner_text("#status").startswith("Done")


def test_a_refused_microphone_is_one_line(open_folder, refusing, page_folder):
    page = open_folder(page_folder, chromium=refusing)
    page.click("#microphone")
    idle(page)
    assert page.inner_text("#problem").startswith("The microphone was refused; allow it for this page")


def test_a_microphone_that_cannot_be_read_is_let_go(open_folder, with_microphone, page_folder, tmp_path):
    folder = Path(shutil.copytree(page_folder, tmp_path / "page"))
    (folder / "capture.mjs").unlink()
    script = """
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (what) => (window.opened = await open(what));
    """
    page = open_folder(folder, script, chromium=with_microphone)
    forget_status(page)
    page.click("#microphone")
    wait_for_end(page)
    assert page.inner_text("#problem").startswith("The browser cannot read the microphone (")
    assert page.evaluate("window.opened.getTracks().map(track => track.readyState)") == ["ended"]


def test_bad_files_are_one_line(open_folder, page_folder, tmp_path):
    page = open_folder(page_folder)
    soundfile.write(tmp_path / "nan.wav", np.full(9000, np.nan), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "whole.wav", np.ones(9000) / 2, 16_000)
    soundfile.write(tmp_path / "loud.wav", np.full(9000, 20_000.0), 16_000, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("This is no sound. " * 99)
    (tmp_path / "text.mp3").write_text("This is no sound. " * 99)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:1000])
    for name, words in {
        "nan.wav": "The sound from 0.00 to 0.54 s holds samples up to NaN, expected -1 to 1; rescale it.",
        "loud.wav": "The sound from 0.00 to 0.54 s holds samples up to 20000, expected -1 to 1; rescale it.",
        "text.wav": "The browser cannot decode text.wav; expected sound, e.g. WAV, MP3, FLAC or Ogg.",
        "text.mp3": "The browser cannot decode text.mp3; expected sound, e.g. WAV, MP3, FLAC or Ogg.",
        "empty.wav": "empty.wav is empty (0 bytes); copy it again.",
        "cut.wav": "cut.wav is truncated (the header promises 18000 bytes of sound, there are 956); fetch it "
        "again.",
    }.items():
        choose(page, tmp_path / name)
        assert page.inner_text("#problem") == words
    assert page.problems == []


def test_a_clip_of_20_ms_is_repeated(open_folder, page_folder, make_clips, tmp_path):
    sound = make_clips("short.wav", seconds=0.02) / "short.wav"
    page = open_folder(page_folder)
    choose(page, sound)
    said, wanted = table(page, tmp_path), predict(page_folder / "model.onnx", sound, progress=False)
    assert len(said) == len(wanted) == 1 and said["end"].item() == 0.02
    np.testing.assert_allclose(said.filter(like="p_"), wanted.filter(like="p_"), rtol=0, atol=1e-3)


def test_three_hours_are_read_piece_by_piece(open_folder, page_folder, tmp_path):
    """The page shows progress, answers while it computes, and can be stopped; memory does not grow by the file."""
    hours = tmp_path / "hours.wav"
    minute = np.random.default_rng(0).normal(0, 0.1, 60 * 16_000)
    with soundfile.SoundFile(hours, "w", 16_000, 1) as file:
        for _ in range(180):
            file.write(minute)
    page = open_folder(page_folder)
    page.set_input_files("#file", hours)
    until(page, "document.querySelector('#progress').value > 0")
    slowest = page.evaluate(
        """async () => {
            let [slowest, last] = [0, performance.now()];
            for (let frame = 0; frame < 100; frame++) {
              await new Promise(requestAnimationFrame);
              slowest = Math.max(slowest, performance.now() - last);
              last = performance.now();
            }
            return slowest;
        }"""
    )
    assert slowest < 1_000
    assert page.inner_text("#status") == "Predicting hours.wav ..."
    assert page.inner_text("#how-far").endswith(" of 10800 s")
    assert page.evaluate("performance.memory.usedJSHeapSize") < 150e6  # the file has 346 MB
    page.click("#stop")
    idle(page)
    assert page.inner_text("#status").startswith("Stopped: hours.wav, ") and page.problems == []


def test_a_long_compressed_file_is_refused(open_folder, page_folder, tmp_path):
    long = tmp_path / "long.flac"
    with soundfile.SoundFile(long, "w", 8_000, 1, format="FLAC") as file:
        for _ in range(61):
            file.write(np.zeros(60 * 8_000))
    page = open_folder(page_folder)
    choose(page, long)
    assert page.inner_text("#problem").startswith(
        "long.flac lasts 61 minutes; the browser decodes at most 60 minutes"
    )


def with_metadata(folder, out, **changes):
    """A copy of a page whose model says something else."""
    shutil.copytree(folder, out)
    model = onnx.load(out / "model.onnx")
    (said,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    said.value = json.dumps(json.loads(said.value) | changes)
    onnx.save(model, out / "model.onnx")
    return out


def test_pages_that_cannot_start_say_why_in_one_line(open_folder, page_folder, tmp_path):
    newer = with_metadata(page_folder, tmp_path / "newer", version=99)
    foreign = with_metadata(page_folder, tmp_path / "foreign", format="other")
    broken = Path(shutil.copytree(page_folder, tmp_path / "broken"))
    (broken / "model.onnx").unlink()
    no_simd = "WebAssembly.validate = () => false;"
    for folder, script, words in [
        (newer, None, "model.onnx was exported by another version of ser_graph (format 99, expected 1); export"),
        (foreign, None, "model.onnx was not made by 'ser-graph export'"),
        (broken, None, "The file model.onnx is missing beside this page; export the page again."),
        (page_folder, no_simd, "This browser has no WebAssembly SIMD"),
    ]:
        page = open_folder(folder, script)
        assert page.inner_text("#problem").startswith(words) and "\n" not in page.inner_text("#problem")
        assert page.inner_text("#status") == "The page cannot start."
        assert page.is_disabled("#microphone") and page.is_disabled("#open")


def test_without_a_server_the_page_says_what_to_do(browser, page_folder):
    page = browser.new_page()
    page.goto((page_folder / "index.html").as_uri())
    assert "python -m http.server" in page.inner_text("#status")
    page.close()


def test_below_the_threshold_the_page_is_unsure(open_folder, page_folder, talk, tmp_path):
    page = open_folder(with_metadata(page_folder, tmp_path / "unsure", threshold=1.01))
    choose(page, talk(16_000))
    assert page.inner_text("#emotion") == "unsure"
    assert page.locator("#emotions .best").count() == 0


@pytest.fixture
def outside():
    """A server that answers everything, and the list of what it has been asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_nothing_leaves_the_page(open_folder, page_folder, talk, outside, tmp_path):
    url, asked = outside
    page = open_folder(page_folder)
    choose(page, talk(16_000))
    origin = page.evaluate("location.origin")
    assert all(address.startswith((origin, f"blob:{origin}")) for address in page.requests)
    attempt = f"fetch('{url}/x').then(() => 'sent', () => 'forbidden')"
    assert page.evaluate(attempt) == "forbidden"
    (worker,) = page.workers
    assert worker.evaluate(f"() => {attempt}") == "forbidden"
    image = f"new Promise(done => {{ const i = new Image(); i.onerror = i.onload = done; i.src = '{url}/i'; }})"
    page.evaluate(f"async () => {{ await {image}; }}")
    assert asked == []
    # Without the policy, both attempts arrive.
    open_door = Path(shutil.copytree(page_folder, tmp_path / "open"))
    index = (open_door / "index.html").read_text("utf-8")
    policy = next(line for line in index.splitlines() if "Content-Security-Policy" in line)
    (open_door / "index.html").write_text(index.replace(policy, ""), "utf-8")
    page = open_folder(open_door)
    assert [page.evaluate(attempt), page.workers[0].evaluate(f"() => {attempt}")] == ["sent", "sent"]
    assert len(asked) == 2


def test_text_is_never_html(open_folder, make_student, runtime, tmp_path):
    student = make_student(emotions=["anger", NASTY])
    folder = export_page(student, tmp_path / "page", about={"title": NASTY, "licence": NASTY}, progress=False)
    page = open_folder(folder)
    (tmp_path / "<b>x.mp3").write_text("no sound")
    choose(page, tmp_path / "<b>x.mp3")
    assert page.inner_text("#title") == page.title() == NASTY and page.locator("img, b").count() == 0
    assert NASTY in page.inner_text("#about") and NASTY in page.inner_text("#emotions")
    assert "<b>x.mp3" in page.inner_text("#problem") and page.problems == []


def test_the_page_says_what_the_model_is(open_folder, page_folder):
    page = open_folder(page_folder)
    about = page.inner_text("#about")
    size = (page_folder / "model.onnx").stat().st_size / 1e6
    assert page.inner_text("#title") == "A student"
    for words in ("CC0", f"{size:.2f} MB (float32, ", "anger, fear, sadness", "0.54 s at 16,000 Hz"):
        assert words in about
    assert "does not leave your device" in page.inner_text("header")


def test_the_page_of_a_ready_student_names_its_sources_and_hears_as_predict_does(
    open_folder, runtime, talk, tmp_path
):
    folder = export_page("ready:good", tmp_path / "page", progress=False)
    page, sound = open_folder(folder), talk(16_000, seconds=7.3)
    for words in ("CC BY-NC-SA 4.0, not for commercial use", "Made from", "Livingstone and Russo 2018"):
        assert words in page.inner_text("#about")
    choose(page, sound)
    assert_same(table(page, tmp_path), predict("ready:good", sound, hop=1.0, progress=False))


@pytest.mark.slow
def test_nearest_clips_are_named_and_played(open_folder, student, runtime, toy_graph, make_clips, talk, tmp_path):
    make_clips(*toy_graph.table.index, folder=tmp_path / "corpus")
    toy_graph.table.attrs["root"] = str(tmp_path / "corpus")
    folder, sound = tmp_path / "page", talk(16_000)
    export_page(student, folder, graph=toy_graph, sounds=True, progress=False)
    page = open_folder(folder)
    choose(page, sound)
    wanted = predict(folder / "model.onnx", sound, graph=toy_graph, progress=False).iloc[-1]
    rows = page.locator("#clips li").all_inner_texts()
    for place, row in enumerate(rows, 1):
        assert row.split() == [
            wanted[f"near_{place}_emotion"],
            wanted[f"near_{place}"],
            f"{wanted[f'near_{place}_similarity']:.3f}",
            "Play",
        ]
    assert len(rows) == 3
    with page.expect_request(lambda request: request.url.endswith(".mp3")) as request:
        page.locator("#clips button").first.click()
    clips = json.loads((folder / "clips.json").read_text("utf-8"))
    number = int(request.value.url.rpartition("-")[2].removesuffix(".mp3"))
    assert clips["files"][number] == wanted["near_1"] and page.problems == []


def test_everything_can_be_reached_by_the_keyboard(open_folder, page_folder, talk):
    page = open_folder(page_folder)
    choosers = []
    # Early: the browser needs a moment until it reports them.
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    choose(page, talk(16_000))
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert {"microphone", "open", "window", "hop", "save-table"} <= set(reached)
    page.focus("#open")
    page.keyboard.press("Enter")
    for _ in range(800):
        if choosers:
            break
        page.wait_for_timeout(25)
    assert len(choosers) == 1


@pytest.mark.parametrize("width", [320, 700, 1600])
def test_nothing_is_wider_than_the_window(open_folder, page_folder, talk, width):
    page = open_folder(page_folder, viewport={"width": width, "height": 800})
    choose(page, talk(16_000))
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def pixels(page, selector):
    """[height, width, 3] of what is drawn."""
    import matplotlib.image

    return matplotlib.image.imread(io.BytesIO(page.locator(selector).screenshot()))[..., :3]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_was_heard_is_drawn(open_folder, page_folder, talk, scheme):
    page = open_folder(page_folder, color_scheme=scheme)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    empty = {name: pixels(page, name) for name in ("#wave", "#mel", "#band")}
    choose(page, talk(16_000))
    page.wait_for_timeout(100)
    for name, before in empty.items():
        assert (np.abs(pixels(page, name) - before).max(axis=2) > 0.05).mean() > 0.03, name
    # The band holds only the colours of the emotions.
    band = pixels(page, "#band")[5:-30, 5:-5].reshape(-1, 3)
    colors = [[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in ("#CC3311", "#882255", "#004488")]
    known = (np.abs(band[:, None] - np.array(colors)).max(axis=2) < 0.02).any(axis=1)
    assert known.mean() > 0.9
