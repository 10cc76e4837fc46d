// Resampling with a windowed sinc, block by block: the formula of ser_graph_runtime/resampling.py.

const ZEROS = 6; // zero crossings of the sinc on each side
const ROLLOFF = 0.99; // the cutoff, as a share of half the lower rate
const LARGEST_TABLE = 2 ** 18; // weights in memory

/** Resamples a stream; the result does not depend on the lengths of the blocks. */
export class Resampler {
  #up; #down; #cutoff; #reach; #table;
  #held; #first; // input samples, from number `first` on
  #done = 0; // output samples so far

  /** From `rate` to `sampleRate`, both in Hz. */
  constructor(rate, sampleRate) {
    const common = greatestDivisor(rate, sampleRate);
    this.#up = sampleRate / common; // the weights repeat after so many outputs ...
    this.#down = rate / common; // ... which last as long as so many input samples
    this.#cutoff = ROLLOFF * Math.min(1, this.#up / this.#down); // as a share of half the input's rate
    this.#reach = Math.ceil(ZEROS / this.#cutoff); // input samples with a weight on each side
    this.#first = 1 - this.#reach; // before the sound is silence
    this.#held = new Float32Array(this.#reach - 1);
    if (this.#up * 2 * this.#reach <= LARGEST_TABLE)
      this.#table = Array.from({ length: this.#up }, (_, phase) => this.#weights(phase));
  }

  /** The output samples that a block of input makes possible: Float32Array -> Float32Array. */
  push(block) {
    if (this.#up === this.#down) return block;
    this.#held = joined(this.#held, block);
    const known = this.#first + this.#held.length - this.#reach;
    const ready = Math.max(this.#done, Math.ceil((known * this.#up) / this.#down));
    const output = new Float32Array(ready - this.#done);
    for (let place = 0; place < output.length; place++) output[place] = this.#output(this.#done + place);
    this.#done = ready;
    const unneeded = this.#centre(ready) - this.#reach + 1 - this.#first;
    this.#held = this.#held.slice(unneeded);
    this.#first += unneeded;
    return output;
  }

  /** The last output samples: after the sound is silence. */
  finish() {
    return this.#up === this.#down ? new Float32Array(0) : this.push(new Float32Array(this.#reach));
  }

  /** The input sample at or before an output. */
  #centre(output) {
    return Math.floor((output * this.#down) / this.#up);
  }

  #output(number) {
    const phase = (number * this.#down) % this.#up;
    const weights = this.#table?.[phase] ?? this.#weights(phase);
    const start = this.#centre(number) - this.#reach + 1 - this.#first;
    const held = this.#held; // outside of the loop: the page resamples hours of sound
    let sum = 0;
    for (let tap = 0; tap < weights.length; tap++) sum += held[start + tap] * weights[tap];
    return sum;
  }

  /** Weights of the input samples for an output at `phase / up` of a sample after an input sample. */
  #weights(phase) {
    return Float32Array.from({ length: 2 * this.#reach }, (_, tap) => {
      const away = 1 - this.#reach + tap - phase / this.#up;
      const crossings = Math.min(ZEROS, Math.max(-ZEROS, away * this.#cutoff));
      return this.#cutoff * sinc(crossings) * Math.cos((crossings * Math.PI) / 2 / ZEROS) ** 2; // under a Hann window
    });
  }
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function greatestDivisor(a, b) {
  return b ? greatestDivisor(b, a % b) : a;
}

/** Two Float32Arrays, one after the other. */
export function joined(one, other) {
  const both = new Float32Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}
