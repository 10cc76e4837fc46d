// The emotion of a WAV file, by an exported page's model and modules, in Node: no browser and no Python.
//
//     ser-graph export students/nsl --format web --out page
//     node examples/node/predict.mjs page recording.wav

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, recording] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(resolve(folder, name)));
const ort = await load("ort.wasm.bundle.min.mjs"); // onnxruntime-web
const { Student } = await load("student.mjs");
const { Listener } = await load("listener.mjs");
const { openWav } = await load("wav.mjs");

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = await readFile(resolve(folder, "ort-wasm-simd-threaded.wasm"));
const student = await Student.load(ort, await readFile(resolve(folder, "model.onnx")));
const sound = await openWav(new Blob([await readFile(recording)]), recording);
if (!sound) throw new Error(`${recording} is no WAV file of PCM or float`);
const listener = new Listener(student, sound.rate);
const show = ({ start, end, predicted, probabilities }) =>
  console.log(start.toFixed(2), end.toFixed(2), predicted, probabilities.map((p) => p.toFixed(4)).join(" "));
console.log("start end predicted", student.metadata.emotions.join(" "));
for await (const block of sound.blocks()) for await (const window of listener.push(block)) show(window);
for await (const window of listener.finish()) show(window);
