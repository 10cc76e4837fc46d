"""onnxruntime-web is found in a folder, in the cache, or by npm; anything else is refused in one line."""

import io
import json
import shutil
import tarfile

import platformdirs
import pytest

from ser_graph.edge import onnxruntime_web
from ser_graph.edge.onnxruntime_web import FILES, VERSION, runtime_files
from ser_graph.errors import InputError

BY_HAND = rf"run 'npm pack onnxruntime-web@{VERSION}'.*--onnxruntime-web FOLDER"


@pytest.fixture
def package(tmp_path):
    """An npm package of the expected name and version, with short files."""
    folder = tmp_path / "unpacked" / "package"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": VERSION}))
    for name in (*FILES, "ort.webgpu.mjs"):
        (folder / "dist" / name).write_text(name)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    return tmp_path / "cache" / "ser_graph" / f"onnxruntime-web-{VERSION}"


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """From a shell script to an npm on the PATH that runs it; its last argument but one is the folder."""

    def install(script):
        program = tmp_path / "bin" / "npm"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return install


def test_a_folder_is_taken_as_npm_unpacks_it(package):
    for folder in (package, package.parent):
        files = runtime_files(folder)
        assert [file.name for file in files] == [*FILES, "LICENSE", "ThirdPartyNotices.txt"]
        assert all(file.parent == package / "dist" for file in files[:2])
        assert "Microsoft" in files[2].read_text("utf-8")


def test_other_folders_are_refused(package, tmp_path):
    with pytest.raises(InputError, match=rf"is no npm package \(no package.json\); {BY_HAND}"):
        runtime_files(tmp_path / "nothing")
    (package / "dist" / FILES[1]).unlink()
    with pytest.raises(InputError, match=rf"has no dist/{FILES[1]}; {BY_HAND}"):
        runtime_files(package)
    for said in ({"name": "onnxruntime-web", "version": "1.20.0"}, {"name": "other", "version": VERSION}, []):
        (package / "package.json").write_text(json.dumps(said))
        with pytest.raises(InputError, match=rf"expected onnxruntime-web {VERSION}; {BY_HAND}"):
            runtime_files(package)


def test_the_cache_needs_no_npm(package, cache, monkeypatch):
    shutil.copytree(package, cache)
    monkeypatch.setenv("PATH", "")
    assert [file.parent for file in runtime_files()][:2] == [cache / "dist"] * 2


def test_without_npm_the_message_says_what_to_do(cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=f"npm is not installed; {BY_HAND}") as error:
        runtime_files()
    assert "\n" not in str(error.value) and not cache.exists()


def test_npm_that_fails_is_quoted(cache, npm):
    npm("echo 'code E404' >&2; exit 1")
    with pytest.raises(InputError, match=rf"npm pack onnxruntime-web@{VERSION}' failed \(code E404\); {BY_HAND}"):
        runtime_files()
    assert not cache.exists()


def archive_of(package, path):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(package, "package")
    return path


def test_another_package_than_the_pinned_one_is_refused(package, cache, npm, tmp_path):
    archive = archive_of(package, tmp_path / "fetched.tgz")
    npm(f'cp {archive} "$4"')
    with pytest.raises(InputError, match=f"npm fetched another onnxruntime-web@{VERSION} than expected"):
        runtime_files()
    assert not cache.exists()


def test_what_npm_fetches_is_checked_and_kept(package, cache, npm, tmp_path, monkeypatch):
    archive = archive_of(package, tmp_path / "fetched.tgz")
    monkeypatch.setattr(onnxruntime_web, "INTEGRITY", integrity_by_openssl(archive))
    npm(f'cp {archive} "$4"; echo fetched >> {tmp_path / "log"}')
    for _ in range(2):
        first, second, *_ = runtime_files()
        assert (first.read_text(), second.read_text()) == FILES
    assert (tmp_path / "log").read_text() == "fetched\n"
    assert sorted(file.name for file in (cache / "dist").iterdir()) == sorted(FILES)  # only what a page needs


def integrity_by_openssl(path):
    """As npm writes it, by another program than Python's hashlib."""
    import base64
    import subprocess

    if shutil.which("openssl") is None:
        pytest.skip("needs openssl on the PATH")
    digest = subprocess.run(["openssl", "dgst", "-sha512", "-binary", path], capture_output=True, check=True).stdout
    return "sha512-" + base64.b64encode(digest).decode()


def test_the_real_package_fits_the_pinned_hash(cache):
    if shutil.which("npm") is None:
        pytest.skip("needs npm on the PATH")
    try:
        module, wasm, *_ = runtime_files()
    except InputError as error:
        assert "failed (" in str(error)  # no network
        pytest.skip(str(error))
    assert f"ONNX Runtime Web v{VERSION}" in module.read_text("utf-8")[:100]
    assert io.BytesIO(wasm.read_bytes()).read(4) == b"\0asm"
