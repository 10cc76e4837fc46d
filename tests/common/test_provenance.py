import numpy as np
import torch

from ser_graph.common.files import read_json, write_json
from ser_graph.common.provenance import environment


def test_the_environment_is_json_and_names_the_versions_in_use(tmp_path):
    write_json(tmp_path / "a.json", environment())
    stored = read_json(tmp_path / "a.json")
    assert stored["packages"]["torch"] == torch.__version__
    assert stored["packages"]["numpy"] == np.__version__
    assert stored["threads"] == torch.get_num_threads()
