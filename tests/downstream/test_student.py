import json

import pytest
import torch

from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.downstream import Student, load_student
from ser_graph.downstream.augmentation import Augmentation
from ser_graph.errors import InputError

EMOTIONS = ["anger", "fear", "joy"]
SHORT = LogMelSettings(n_samples=8192)


@pytest.fixture
def student():
    torch.manual_seed(0)
    made = Student("resnet9", EMOTIONS, SHORT, {"corpus": "toy", "history": [{"epoch": 1, "loss": 0.5}]})
    made.standardise.mean.fill_(-5)
    made.standardise.std.fill_(2)
    made(torch.randn(4, 31, 64))  # BatchNorm has seen something
    return made.eval()


def test_round_trip(student, tmp_path):
    assert student.save(tmp_path / "student") == tmp_path / "student"
    loaded = load_student(str(tmp_path / "student"))
    assert not loaded.training
    assert loaded.emotions == EMOTIONS
    assert loaded.features == SHORT
    assert loaded.info == {"backbone": "resnet9", "corpus": "toy", "history": [{"epoch": 1, "loss": 0.5}]}
    x = torch.randn(2, 31, 64)
    for one, other in zip(student(x), loaded(x), strict=True):
        assert torch.equal(one, other)
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in student.state_dict().items())
    assert {file.name for file in (tmp_path / "student").iterdir()} == {"model.json", "model.safetensors"}


def test_standardises_first(student):
    x = torch.randn(2, 31, 64)
    torch.testing.assert_close(student(x).logits, student.backbone((x + 5) / 2).logits)
    torch.testing.assert_close(student(x.half()).logits, student(x.half().float()).logits)
    assert student.n_params == 4_956_871 - 4 * 257


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(**changes):
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("model.safetensors", cut, "is damaged"),
        ("model.json", edit(emotions=EMOTIONS[:2]), "is damaged"),
        ("model.json", cut, "is not readable JSON"),
        ("model.json", edit(format="other"), "another version"),
        ("model.json", edit(version=4), "another version"),
        ("model.json", lambda path: path.unlink(), "is not a trained student"),
        ("model.safetensors", lambda path: path.unlink(), "is not a trained student"),
    ],
)
def test_damaged_and_foreign_folders(student, tmp_path, file, damage, message):
    folder = student.save(tmp_path / "student")
    damage(folder / file)
    with pytest.raises(InputError, match=message) as caught:
        load_student(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_stored_before_there_was_a_choice_of_normalisation(student, tmp_path):
    folder = student.save(tmp_path / "student")
    stored = json.loads((folder / "model.json").read_text("utf-8"))
    for key in ("normalise", "transfer", "width"):
        del stored[key]
    (folder / "model.json").write_text(json.dumps({**stored, "version": 1}), "utf-8")
    x = torch.randn(2, 31, 64)
    assert torch.equal(load_student(folder)(x).logits, student(x).logits)


def test_one_stored_before_there_was_a_width(student, tmp_path):
    folder = student.save(tmp_path / "student")
    stored = json.loads((folder / "model.json").read_text("utf-8"))
    assert stored.pop("width") == 1
    (folder / "model.json").write_text(json.dumps({**stored, "version": 2}), "utf-8")
    loaded, x = load_student(folder), torch.randn(2, 31, 64)
    assert loaded.width == 1
    assert torch.equal(loaded(x).logits, student(x).logits)


@pytest.mark.parametrize("backbone", ["cnn6", "mobilenet15", "resnet9", "vgg15"])
def test_a_thin_one_is_loaded_as_thin(backbone, tmp_path):
    made = Student(backbone, EMOTIONS, LogMelSettings(n_samples=16_384), width=0.125).eval()
    loaded = load_student(made.save(tmp_path / "student"))
    x = torch.randn(2, 63, 64)
    assert loaded.width == 0.125 and loaded(x).fc1.shape == (2, 32)
    assert torch.equal(loaded(x).logits, made(x).logits)
    wider = load_student(Student(backbone, EMOTIONS, width=0.25).save(tmp_path / "wider"))
    assert wider.n_params > 2 * loaded.n_params


def test_a_width_that_is_none_is_refused_before_the_weights_are_read(student, tmp_path):
    folder = student.save(tmp_path / "student")
    edit(width=0)(folder / "model.json")
    with pytest.raises(InputError, match="Bad width 0, expected"):
        load_student(folder)


@torch.inference_mode()
def test_normalised_per_utterance_when_loaded_too(student, tmp_path):
    made = Student("resnet9", EMOTIONS, SHORT, normalise="utterance").eval()
    made.load_state_dict(student.state_dict())
    loaded = load_student(made.save(tmp_path / "student"))
    x = torch.randn(2, 31, 64)
    centred = x - torch.from_numpy(x.numpy().mean(1, keepdims=True))
    torch.testing.assert_close(loaded(x).logits, student(centred).logits, rtol=1e-4, atol=1e-5)
    assert loaded(torch.randn(2, 50, 64)).logits.shape == (2, 3)  # any number of frames


def test_augmentation_is_for_training_alone(student):
    x = torch.randn(2, 31, 64) - 5
    before = student(x).logits
    student.augment = Augmentation(0.5, 6, 0.2)
    assert torch.equal(student(x).logits, before)
    asked = Augmentation(0.5, 6, 0.2)
    z = asked.mask(student.standardise(asked.distort(x)))
    torch.testing.assert_close(student.train()(x).logits, student.backbone(z).logits)
    assert student.state_dict().keys() == Student("resnet9", EMOTIONS, SHORT).state_dict().keys()


def test_spectrograms_too_short_for_the_poolings_are_refused():
    short = LogMelSettings(n_samples=512 + 30 * 256)  # 31 frames
    Student("cnn6", ["anger", "fear"], short)
    with pytest.raises(InputError, match=r"vgg15 needs .* at least 32 frames.*31 and 64"):
        Student("vgg15", ["anger", "fear"], short)
