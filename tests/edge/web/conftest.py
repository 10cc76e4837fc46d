"""Pages that listen, and what runs them: onnxruntime-web, Node, a browser."""

import functools
import http.server
import json
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_graph.edge
from ser_graph.edge.onnxruntime_web import runtime_files
from ser_graph.edge.web_page import export_page
from ser_graph.errors import InputError

MODULES = Path(ser_graph.edge.__file__).parent / "web"


@pytest.fixture(scope="session")
def node():
    """Run a script with the modules of the page: its last expression, given to `done`, comes back from JSON."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("needs node on the PATH")

    def run(script, given=None):
        imports = "".join(
            f"import * as {path.stem} from {json.dumps(path.as_uri())};\n"
            for path in [
                MODULES / f"{name}.mjs" for name in ("coded_rate", "metadata", "resampling", "wav", "windows")
            ]
        )
        head = 'import { readFileSync, writeFileSync } from "node:fs";\n'
        head += 'const given = JSON.parse(readFileSync(0, "utf-8"));\n'
        head += "const done = (value) => console.log(JSON.stringify(value));\n"
        finished = subprocess.run(
            [program, "--input-type=module", "--eval", imports + head + script],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    return run


@pytest.fixture(scope="session")
def runtime():
    """The files of onnxruntime-web; the test is skipped where neither the cache nor npm has them."""
    try:
        return runtime_files()
    except InputError as error:
        pytest.skip(f"needs onnxruntime-web: {error}")


@pytest.fixture(scope="session")
def page_folder(make_student, runtime, tmp_path_factory):
    """The page of a student with windows of 0.544 s; not to be changed."""
    out = tmp_path_factory.mktemp("listening") / "page"
    return export_page(make_student(), out, about={"title": "A student", "licence": "CC0"}, progress=False)


@pytest.fixture(scope="session")
def hearing_folder(make_student, runtime, tmp_path_factory):
    """The page of one that normalises by speaker; not to be changed."""
    return export_page(
        make_student(normalise="speaker"), tmp_path_factory.mktemp("hearing") / "page", progress=False
    )


@pytest.fixture(scope="session")
def talk(tmp_path_factory):
    """From a rate to a file of 3.3 s in stereo, whose tones and loudness change: no two windows are alike."""
    folder = tmp_path_factory.mktemp("talk")

    def make(rate, name="talk.wav", seconds=3.3, **how):
        time = np.arange(int(rate * seconds)) / rate
        rng = np.random.default_rng(0)
        tone = np.sin(2 * np.pi * (200 + 300 * time) * time) * (0.05 + 0.2 * (np.sin(5 * time) ** 2))
        stereo = np.stack([tone, 0.5 * tone], 1) + rng.normal(0, 0.01, (len(time), 2))
        path = folder / f"{rate}" / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, stereo, rate, **how)
        return path

    return make


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` serves, without its log."""

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """From a folder to its address on a file server."""
    servers = []

    def start(folder):
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
