"""On-device speech emotion recognition by knowledge transfer through a graph.

A large speech model embeds the clips of a corpus. Clips with close embeddings become neighbours. A small CNN learns
emotions from log-mel spectrograms, with a loss that brings the outputs of neighbours together. The device uses only
the CNN.

    import ser_graph as sg

    source = sg.load_corpus("ravdess", "data/ravdess/raw")
    target = sg.load_corpus("emovo", "data/emovo/raw")
    upstream = sg.Upstream.from_pretrained("facebook/wav2vec2-base").finetune(source)
    data = sg.build_graph(target, upstream, epsilon=0.99, n_neighbors=6)
    student = sg.train(data, backbone="cnn6", alpha=0.1, layer="fc2")
    sg.evaluate(sg.predict(student, data, "test"))
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("ser-graph")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
