// Sound of any rate -> a prediction for each window, as soon as the window is complete.

import { Problem } from "./problem.mjs";
import { Resampler } from "./resampling.mjs";
import { Cutter, repeatTo } from "./windows.mjs";

const LOUDEST = 100; // full scale is 1; louder samples are integers that were stored as floats
const QUIETEST = 1e-4; // -80 dB of full scale; sound without a louder sample is silence, as in ser_graph_runtime/arrays.py

/** Listens to one stream with a student: the same windows and the same voice as `ser-graph predict`. */
export class Listener {
  #student; #resampler; #cutter;
  #voice = null; #after = null; #end = 0; // statistics of the voice, and the end of the last window in them

  /** `rate` in Hz, `window` and `hop` in seconds; the window is at most the input of the student. */
  constructor(student, rate, { window, hop } = {}) {
    const { sample_rate, n_samples } = student.metadata.features;
    const length = window ? Math.min(n_samples, Math.round(window * sample_rate)) : n_samples;
    this.#student = student;
    this.#resampler = new Resampler(rate, sample_rate);
    this.#cutter = new Cutter(length, hop ? Math.min(length, Math.round(hop * sample_rate)) : length);
  }

  /** The predictions of the windows that a block of mono samples completes. */
  async *push(block) {
    for (const window of this.#cutter.push(this.#resampler.push(block))) yield await this.#predicted(window);
  }

  /** The predictions of the windows that end with the stream. */
  async *finish() {
    const windows = [...this.#cutter.push(this.#resampler.finish()), ...this.#cutter.finish()];
    for (const window of windows) yield await this.#predicted(window);
  }

  async #predicted({ start, samples }) {
    const { emotions, features, threshold } = this.#student.metadata;
    const [from, to] = [start / features.sample_rate, (start + samples.length) / features.sample_rate];
    const loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0); // NaN stays NaN
    if (!(loudest <= LOUDEST))
      throw new Problem(
        `The sound from ${from.toFixed(2)} to ${to.toFixed(2)} s holds samples up to ${loudest}, expected -1 to 1; ` +
          "rescale it",
      );
    const counts = start >= this.#end; // no sample counts twice in the statistics of the voice
    if (counts) [this.#voice, this.#end] = [this.#after, start + samples.length];
    const began = performance.now();
    const output = await this.#student.predict(repeatTo(samples, features.n_samples), this.#voice);
    if (counts) this.#after = output.voice_after;
    const probabilities = Array.from(output.probabilities);
    const best = probabilities.indexOf(Math.max(...probabilities));
    const silent = loudest <= QUIETEST;
    return {
      start: from,
      end: to,
      predicted: emotions[best],
      sure: !silent && probabilities[best] >= (threshold ?? 0),
      probabilities,
      fc1: output.fc1,
      spectrogram: output.spectrogram,
      silent,
      computed: performance.now() - began, // ms
    };
  }
}
