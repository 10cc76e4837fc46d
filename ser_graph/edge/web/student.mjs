// An exported student, run by onnxruntime-web.

import { readMetadata } from "./metadata.mjs";
import { Problem } from "./problem.mjs";

export class Student {
  #ort; #session; #outputs;

  /** Loads the bytes of an exported student; `ort` is the module onnxruntime-web. */
  static async load(ort, bytes, name) {
    const student = new Student();
    student.metadata = readMetadata(bytes, name);
    student.size = bytes.length;
    student.#ort = ort;
    try {
      student.#session = await ort.InferenceSession.create(bytes);
    } catch (error) {
      throw new Problem(`The browser cannot run the model (${String(error.message ?? error).slice(0, 160)})`);
    }
    student.#outputs = student.#session.outputNames;
    return student;
  }

  /**
   * Predicts one window: Float32Array of n_samples -> `probabilities`, `fc1`, `spectrogram` (if the file gives it) and
   * `voice_after` (if the student normalises by speaker; `voice` is then that of the window before, null at first).
   */
  async predict(waveform, voice) {
    const { Tensor } = this.#ort;
    const given = { waveform: new Tensor("float32", waveform, [1, waveform.length]) };
    if (this.metadata.normalise === "speaker") {
      const shape = [1, 3, this.metadata.features.n_mels];
      given.voice = new Tensor("float32", voice ?? new Float32Array(shape[1] * shape[2]), shape);
    }
    const made = await this.#session.run(given);
    return Object.fromEntries(this.#outputs.map((name) => [name, made[name].data]));
  }
}
