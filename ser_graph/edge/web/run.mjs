// One stream, from its first sample to its last prediction: what is kept of it, and what it costs.

import { byId, say, showWindow } from "./view.mjs";

const MOST_MINUTES = 5; // of sound that is kept to be saved: 58 MB at 48 kHz
let runs = 0;

export class Run {
  #page; #live;
  #samples = 0; #kept = 0; // samples heard, and those in `sound`
  #computed = 0; #waited = 0; // ms, of all windows
  #until = 0; // seconds that are predicted
  number = runs++;
  keeping = false; // whether the sound is kept
  sound = []; // blocks
  rows = []; // predictions
  onlySilence = true;

  constructor(page, name, rate, seconds) {
    this.#page = page;
    this.#live = !seconds;
    this.name = name;
    this.rate = rate;
  }

  /** Seconds heard so far. */
  get seconds() {
    return this.#samples / this.rate;
  }

  /** Gives a block of mono samples to the model; resolves when its windows are predicted. */
  hear(block) {
    this.#page.timeline.addSound(block, this.#samples);
    this.#samples += block.length;
    if (this.keeping) this.#keep(block);
    const about = { run: this.number, heard: performance.now() };
    return this.#page.model.ask("block", { samples: block, ...about });
  }

  end() {
    return this.#page.model.ask("end", { run: this.number, heard: performance.now() });
  }

  #keep(block) {
    this.sound.push(block);
    this.#kept += block.length;
    while (this.#kept > MOST_MINUTES * 60 * this.rate) {
      this.#kept -= this.sound.shift().length;
      say("note", `Only the last ${MOST_MINUTES} minutes of sound are kept for saving.`);
    }
  }

  /** Shows a prediction; `heard` is the time at which the page had the last sample of its window. */
  add(window, heard) {
    this.onlySilence &&= window.silent;
    this.rows.push({ ...window, spectrogram: undefined, fc1: undefined });
    this.#page.timeline.addWindow(window, Math.max(this.#until, window.start));
    this.#until = window.end;
    this.#computed += window.computed;
    showWindow(window);
    this.#page.nearest?.show(window.fc1);
    if (this.#live) {
      say("status", window.silent ? "Listening. I hear silence: is the microphone muted?" : "Listening.");
      this.#waited += performance.now() - heard;
      byId("latency").textContent = milliseconds(this.#waited / this.rows.length);
    }
    byId("computed").textContent = milliseconds(this.#computed / this.rows.length);
    byId("factor").textContent = (this.#computed / 1000 / window.end).toPrecision(2);
    byId("windows").textContent = this.rows.length.toLocaleString("en");
  }

  /** The predictions as CSV, in the columns of `ser-graph predict --out`. */
  table() {
    const { emotions } = this.#page.metadata;
    const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = this.rows.map(({ start, end, predicted, sure, probabilities }) =>
      [cell(this.name), start.toFixed(3), end.toFixed(3), cell(predicted), sure ? "True" : "False", ...probabilities].join(","),
    );
    const head = ["file", "start", "end", "predicted", "sure", ...emotions.map((emotion) => cell(`p_${emotion}`))];
    return [head.join(","), ...lines, ""].join("\n");
  }
}

function milliseconds(value) {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
