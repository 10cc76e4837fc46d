"""Seconds a seed of the same training step in TensorFlow: a line of JSON for each n; `train_step.py` calls it.

    python3.11 -m venv /tmp/tf
    /tmp/tf/bin/pip install "tensorflow-cpu==2.15.*" neural-structured-learning==1.4.0 "numpy<2"
    /tmp/tf/bin/python benchmarks/tensorflow_step.py resnet9 [--neighbours 0 3 9] [--precision float32]

The backbones layer by layer as in the package, the logits compared by `nsl.keras.GraphRegularization`, Adam,
batches of 16 seeds of 373 x 64, and random clips in memory: no reading, no standardisation. n = 0 is the baseline,
without NSL. The first step, which compiles, does not count.
"""

import argparse
import json
import time

import neural_structured_learning as nsl
import numpy as np
import tensorflow as tf

layers = tf.keras.layers
N_FRAMES, N_MELS, N_CLASSES, BATCH_SIZE = 373, 64, 7, 16
N_PARAMS = {"cnn6": 4_437_447, "resnet9": 4_956_871, "vgg15": 14_850_887}  # trainable, of the package's backbones


def conv(x, width, kernel, strides=1):
    return layers.Conv2D(width, kernel, strides, padding="same", use_bias=False)(x)


def conv_norm(x, width, kernel, strides=1):
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.99)(conv(x, width, kernel, strides))


def cnn6(x):
    for width in (64, 128, 256, 512):
        x = layers.MaxPool2D(2)(layers.ReLU()(conv_norm(x, width, 5)))
    return x


def vgg15(x):
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            x = layers.ReLU()(conv_norm(x, width, 3))
        x = layers.MaxPool2D(2)(x)
    return x


def resnet9(x):
    x = layers.MaxPool2D(3, 2, padding="same")(layers.ReLU()(conv_norm(x, 64, 7, 2)))
    for width in (128, 256, 512):
        body = layers.ReLU()(conv_norm(x, width, 3, 2))
        x = layers.ReLU()(conv_norm(body, width, 3) + conv(x, width, 1, 2))
    return x


def network(backbone: str) -> tf.keras.Model:
    given = tf.keras.Input((N_FRAMES, N_MELS), name="x")
    features = {"cnn6": cnn6, "resnet9": resnet9, "vgg15": vgg15}[backbone](given[..., None])
    fc1 = layers.Dense(256)(layers.GlobalAveragePooling2D()(features))
    logits = layers.Dense(N_CLASSES, dtype="float32")(layers.ReLU()(fc1))
    model = tf.keras.Model({"x": given}, logits)
    found = int(sum(np.prod(weight.shape) for weight in model.trainable_weights))
    if found != N_PARAMS[backbone]:
        raise SystemExit(f"{backbone} has {found:,} trainable parameters here, {N_PARAMS[backbone]:,} there")
    return model


def batches(n: int) -> tf.data.Dataset:
    """One random batch, again and again."""
    rng = np.random.default_rng(0)
    clips = {"x": rng.normal(size=(BATCH_SIZE, N_FRAMES, N_MELS)).astype(np.float32)}
    for place in range(n):
        clips[f"NL_nbr_{place}_x"] = rng.normal(size=clips["x"].shape).astype(np.float32)
        clips[f"NL_nbr_{place}_weight"] = np.ones((BATCH_SIZE, 1), np.float32)
    return tf.data.Dataset.from_tensors((clips, rng.integers(N_CLASSES, size=BATCH_SIZE))).repeat()


class Clock(tf.keras.callbacks.Callback):
    """Seconds of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        """Start."""
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Stop."""
        self.seconds.append(time.perf_counter() - self.start)


def step_seconds(backbone: str, n: int, steps: int, precision: str) -> list[float]:
    tf.keras.utils.set_random_seed(0)
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    model = network(backbone)
    tf.keras.mixed_precision.set_global_policy("float32")  # of the loss
    if n:
        compared = {"distance_type": "cosine", "sum_over_axis": -1}
        settings = nsl.configs.make_graph_reg_config(max_neighbors=n, multiplier=0.1, **compared)
        model = nsl.keras.GraphRegularization(model, settings)
    cross_entropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(1e-3), cross_entropy)
    clock = Clock()
    model.fit(batches(n), epochs=1, steps_per_epoch=steps + 1, verbose=0, callbacks=[clock])
    return clock.seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", choices=sorted(N_PARAMS))
    parser.add_argument("--neighbours", nargs="+", type=int, default=[0, 3, 9])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    for n in arguments.neighbours:
        seconds = step_seconds(arguments.backbone, n, arguments.steps, arguments.precision)
        found = {"n": n, "seconds": [one / BATCH_SIZE for one in seconds], "tensorflow": tf.__version__}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
