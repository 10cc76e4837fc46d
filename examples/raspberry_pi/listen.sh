#!/bin/sh
# Print the emotions that a Raspberry Pi hears, with a new line every second. On the 64-bit system, install once:
#     sudo apt install alsa-utils python3-venv
#     python3 -m venv .venv && .venv/bin/pip install ./runtime
# Then start it, if needed with the name of the microphone (arecord -L lists the names) and the seconds per line:
#     PATH="$PWD/.venv/bin:$PATH" sh examples/raspberry_pi/listen.sh student.onnx plughw:1,0 1
model=${1:?give a model of ser-graph export}
arecord -q -D "${2:-default}" -f S16_LE -c 1 -r 16000 -t raw |
    ser-graph-runtime - --model "$model" --rate 16000 --hop "${3:-1}"
