// A stream -> windows, the same as those of ser_graph_runtime/streaming.py.

import { joined } from "./resampling.mjs";

/**
 * Cuts a stream into windows `{ start, samples }`. Every sample is in a window. The last window ends with the stream.
 * Only a stream that is shorter than a window gives a shorter window.
 */
export class Cutter {
  #window; #hop;
  #kept = new Float32Array(0); #first = 0; // the samples from number `first` on
  #start = 0; #done = 0; // where the next window starts, where the last one ended

  /** `window` and `hop` in samples; `hop` is at most `window`. */
  constructor(window, hop) {
    this.#window = window;
    this.#hop = hop;
  }

  /** The windows that a block of samples completes. */
  push(block) {
    const windows = [];
    this.#kept = joined(this.#kept, block);
    while (this.#start + this.#window <= this.#first + this.#kept.length) {
      const at = this.#start - this.#first;
      windows.push({ start: this.#start, samples: this.#kept.slice(at, at + this.#window) });
      this.#done = this.#start + this.#window;
      this.#start += this.#hop;
    }
    // The last window may need samples from before `start`.
    const dropped = Math.max(0, Math.min(this.#start - this.#first, this.#kept.length - this.#window));
    this.#kept = this.#kept.slice(dropped);
    this.#first += dropped;
    return windows;
  }

  /** The last window, if samples are left. */
  finish() {
    const end = this.#first + this.#kept.length;
    if (end <= this.#done) return [];
    const samples = this.#kept.slice(-this.#window);
    return [{ start: end - samples.length, samples }];
  }
}

/** Repeats samples from their start, to exactly `length` samples. */
export function repeatTo(samples, length) {
  return Float32Array.from({ length }, (_, place) => samples[place % samples.length]);
}
