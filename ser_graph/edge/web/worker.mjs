// The student, in a thread of its own: the page never waits for it.

import { Listener } from "./listener.mjs";
import * as ort from "./ort.wasm.bundle.min.mjs";
import { Problem } from "./problem.mjs";
import { Student } from "./student.mjs";

let student, listener;
let turn = Promise.resolve(); // the requests are answered one after the other

/** Each request and its answer. The predictions of a stream are sent as soon as they are made. */
const ANSWERS = {
  async load() {
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = 1; // more threads need headers that a plain file server does not send
    const [model, wasm] = await Promise.all([fetched("model.onnx"), fetched("ort-wasm-simd-threaded.wasm")]);
    ort.env.wasm.wasmBinary = wasm;
    student = await Student.load(ort, model);
    const { features } = student.metadata;
    await student.predict(new Float32Array(features.n_samples), null); // the first run prepares memory
    return { metadata: student.metadata, size: student.size };
  },
  async begin({ rate, window, hop }) {
    listener = new Listener(student, rate, { window, hop });
  },
  async block({ samples, ...about }) {
    for await (const window of listener.push(samples)) postMessage({ window, about });
  },
  async end(about) {
    for await (const window of listener.finish()) postMessage({ window, about });
  },
};

self.onmessage = ({ data: { id, kind, ...given } }) => {
  turn = turn.then(async () => {
    try {
      postMessage({ id, answer: await ANSWERS[kind](given) });
    } catch (error) {
      postMessage({ id, problem: String(error.message ?? error), known: error instanceof Problem });
    }
  });
};

async function fetched(name) {
  const address = new URL(name, import.meta.url);
  const response = await fetch(address).catch(() => null);
  if (!response?.ok) throw new Problem(`The file ${name} is missing beside this page; export the page again`);
  return new Uint8Array(await response.arrayBuffer());
}
