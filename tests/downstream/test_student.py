import json

import pytest
import torch

from ser_graph.audio.settings import LogMelSettings
from ser_graph.audio.standardise import update_voice
from ser_graph.downstream import Student, load_student, train
from ser_graph.downstream.augmentation import AUGMENTATIONS, Augmentation
from ser_graph.downstream.student import start_from, weights_hash
from ser_graph.errors import InputError

EMOTIONS = ["anger", "fear", "joy"]
SHORT = LogMelSettings(n_samples=8192)


@pytest.fixture
def student():
    torch.manual_seed(0)
    made = Student(
        "resnet9", EMOTIONS, SHORT, {"corpus": "toy", "history": [{"epoch": 1, "loss": 0.5}]}, normalise="corpus"
    )
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


def test_one_line_shows_what_it_is(toy_graph):
    assert repr(Student("cnn6", EMOTIONS, SHORT)).endswith("parameters, anger/fear/joy, untrained)")
    made = train(toy_graph, width=0.125, epochs=2, method="baseline", normalise="corpus", progress=False)
    uar = made.info["history"][1]["dev_uar"]
    assert repr(made) == (
        f"Student(resnet9 x 0.125, {made.n_params:,} parameters, anger/fear/sadness, trained on toy, baseline, "
        f"epoch 2 of 2 kept, dev UAR {100 * uar:.1f} %)"
    )
    ready = repr(load_student("ready:good"))
    assert ready.startswith("Student(resnet9 x 0.25, ") and ready.endswith("distil+regress)")


def test_standardises_first(student):
    x = torch.randn(2, 31, 64)
    torch.testing.assert_close(student(x).logits, student.backbone((x + 5) / 2).logits)
    torch.testing.assert_close(student(x.half()).logits, student(x.half().float()).logits)
    assert student.n_params == 4_956_871 - 4 * 257


def info_with(**changes):
    def change(path):
        content = json.loads(path.read_text("utf-8"))
        edit(info={**content["info"], **changes})(path)

    return change


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
        ("model.json", edit(version=0), "another version"),
        ("model.json", edit(version=2), "another version"),
        *(
            ("model.json", info_with(**{name: value}), rf"model\.json: Bad (field ')?{said}")
            for name, value, said in [
                ("note", "x", "note"),
                ("settings", {"epochs": 0}, "epochs 0"),
                ("settings", {"epoch": 3}, "setting 'epoch'"),
                ("settings", None, "settings None"),
                ("graph", {"settings": {"n_neighbors": -1}}, "n_neighbors -1"),
                ("graph", {"settings": {}, "epsilon": 7}, "epsilon 7"),
                ("graph", [], "graph"),
                ("n_train", -1, "n_train -1"),
                ("n_labelled", "x", "n_labelled 'x'"),
                ("corpus", "x" * 2_000, "corpus 'x"),
                ("data_hash", "x" * 200, "data_hash 'x"),
                ("teacher", ["x"], "teacher"),
                ("needs_teacher", 1, "needs_teacher 1"),
                ("history", [{"loss": "x"}], "history 'x'"),
                ("history", [{"x" * 200: 1.0}], "history 'x"),
                ("history", {"loss": 1.0}, "history"),
            ]
        ),
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


@pytest.mark.parametrize("info", [{"note": "x"}, {"epoch": -1}, {"settings": {"epochs": "x"}}])
def test_what_cannot_be_loaded_is_not_stored(tmp_path, info):
    with pytest.raises(InputError, match=r"^The student: Bad .*; correct student\.info$"):
        Student("resnet9", EMOTIONS, SHORT, info, width=0.25).save(tmp_path / "student")
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize("normalise", ["corpus", "utterance", "speaker"])
def test_its_normalisation_is_stored(normalise, tmp_path):
    made = Student("resnet9", EMOTIONS, SHORT, normalise=normalise, width=0.25).eval()
    made.standardise.std.fill_(2)
    loaded = load_student(made.save(tmp_path / "student"))
    assert loaded.standardise.normalise == normalise
    x, voice = torch.randn(2, 31, 64), update_voice(torch.randn(2, 50, 64) - 1)
    assert torch.equal(loaded(x, voice=voice).logits, made(x, voice=voice).logits)
    assert torch.equal(loaded(x).logits, loaded(x, voice=voice).logits) is (normalise != "speaker")
    z = made.standardise(x, voice)
    assert torch.equal(made(x, voice=voice).logits, made.backbone(z).logits)


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
    parts = "+".join(AUGMENTATIONS)
    student.augment = Augmentation(parts)
    assert torch.equal(student(x).logits, before)
    asked = Augmentation(parts)
    z = asked.mask(student.standardise(asked.distort(x)))
    torch.testing.assert_close(student.train()(x).logits, student.backbone(z).logits)
    assert student.state_dict().keys() == Student("resnet9", EMOTIONS, SHORT).state_dict().keys()


def test_spectrograms_too_short_for_the_poolings_are_refused():
    short = LogMelSettings(n_samples=512 + 30 * 256)  # 31 frames
    Student("cnn6", ["anger", "fear"], short)
    with pytest.raises(InputError, match=r"vgg15 needs .* at least 32 frames.*31 and 64"):
        Student("vgg15", ["anger", "fear"], short)


def thin(emotions=EMOTIONS, seed=0, **changes):
    torch.manual_seed(seed)
    how = {"backbone": "resnet9", "features": SHORT, "width": 0.25, **changes}
    made = Student(how.pop("backbone"), emotions, **how)
    made.standardise.mean.fill_(seed)
    made(torch.randn(4, 31, 64))  # BatchNorm has seen something
    return made


def test_starting_from_another_takes_its_weights_and_not_its_standardisation():
    one, other = thin(), thin(seed=1)
    before = weights_hash(other)
    start_from(one, other)
    state = other.backbone.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in one.backbone.state_dict().items())
    assert one.standardise.mean.eq(0).all()
    with torch.no_grad():
        one.backbone.fc1.weight.zero_()  # they share none
    assert weights_hash(other) == before


@pytest.mark.parametrize("emotions", [["anger", "fear"], ["fear", "anger", "joy"], ["anger", "fear", "sadness"]])
def test_the_last_layer_stays_where_emotions_differ(emotions):
    """Their number, their order or one of them."""
    one, other = thin(), thin(emotions, seed=1)
    last = one.backbone.fc2.weight.clone()
    start_from(one, other)
    assert torch.equal(one.backbone.fc2.weight, last)
    for name, value in one.backbone.state_dict().items():
        if not name.startswith("fc2."):
            assert torch.equal(value, other.backbone.state_dict()[name]), name


def test_one_may_start_from_clips_of_another_length():
    start_from(thin(), thin(features=LogMelSettings(n_samples=16_384), seed=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "mobilenet15"}, "backbone 'mobilenet15', the new student 'resnet9'"),
        ({"width": 0.5}, "width 0.5, the new student 0.25"),
        ({"features": LogMelSettings(n_samples=8192, floor=1e-5)}, "features.floor 1e-05, the new student 1e-06"),
        ({"features": LogMelSettings(n_samples=8192, n_mels=40)}, "features.n_mels 40, the new student 64"),
    ],
)
def test_nobody_starts_from_one_of_another_kind(changes, message):
    one, how = thin(), {"backbone": "resnet9", "features": SHORT, "width": 0.25, **changes}
    before = weights_hash(one)
    with pytest.raises(InputError) as caught:
        start_from(one, Student(how.pop("backbone"), EMOTIONS, **how))
    assert str(caught.value) == f"The initial student has {message}; give both the same"
    assert weights_hash(one) == before
