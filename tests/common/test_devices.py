import pytest
import torch

from ser_graph.common import devices
from ser_graph.common.devices import autocast, gains_by_bfloat16, pick_device
from ser_graph.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", [None, "auto"])
@pytest.mark.parametrize(("present", "expected"), [(True, "cuda"), (False, "cpu")])
def test_the_gpu_is_the_default_where_there_is_one(monkeypatch, name, present, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)
    assert pick_device(name).type == expected


def test_a_named_device():
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "mps:7"])
def test_a_device_that_is_not_here(name):
    with pytest.raises(InputError, match=f"Bad device {name!r}: .+; try 'cpu'") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)


def product(precision: str) -> torch.Tensor:
    with autocast(CPU, precision):
        return torch.eye(2) @ torch.full((2, 2), 1 + 2**-10)


def test_float32_is_exact_and_bfloat16_rounds():
    assert product("float32").tolist() == [[1 + 2**-10] * 2] * 2
    assert product("bfloat16").dtype == torch.bfloat16
    assert product("bfloat16").tolist() == [[1.0] * 2] * 2


@pytest.mark.parametrize(("gains", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_follows_the_hardware(monkeypatch, gains, dtype):
    monkeypatch.setattr(devices, "gains_by_bfloat16", lambda device: gains)
    assert product("auto").dtype == dtype


@pytest.mark.parametrize(
    ("able", "gains"),
    [({}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)],
)
def test_a_cpu_gains_by_its_own_instructions_alone(monkeypatch, able, gains):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert gains_by_bfloat16(CPU) is gains
    assert not gains_by_bfloat16(torch.device("mps"))


def test_a_bad_precision():
    with pytest.raises(InputError, match="Bad precision 'float16', expected one of"):
        autocast(CPU, "float16")
