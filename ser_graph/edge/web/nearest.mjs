// The labelled clips that are most similar for the model: nearest in its embedding space, `fc1`.

import { byId, element } from "./view.mjs";

const SHOWN = 3;

export class Nearest {
  #clips; #vectors; #rows;
  #player = new Audio();

  /** `clips` is the content of clips.json, `vectors` that of clips.bin: the `fc1` of each clip, of length 1. */
  constructor(clips, vectors) {
    this.#clips = clips;
    this.#vectors = vectors;
    this.#rows = Array.from({ length: Math.min(SHOWN, clips.files.length) }, () => this.#row());
    byId("clips").replaceChildren(...this.#rows.map(({ row }) => row));
    byId("nearest").hidden = false;
  }

  /** A row that stays: its text changes, so that the keyboard does not lose its place. */
  #row() {
    const made = { row: element("li"), emotion: element("span", "–"), file: element("span", "", "file quiet") };
    made.similarity = element("span", "", "number");
    made.row.append(made.emotion, made.file, made.similarity);
    if (this.#clips.sounds) {
      made.play = element("button", "Play");
      made.play.type = "button";
      made.play.disabled = true;
      made.play.onclick = () => this.#play(made.clip);
      made.row.append(made.play);
    }
    return made;
  }

  #play(clip) {
    this.#player.src = new URL(`clip-${clip}.mp3`, import.meta.url);
    this.#player.play();
  }

  /** Shows the clips that are nearest to the `fc1` of a window. */
  show(fc1) {
    this.#nearest(fc1).forEach(({ clip, similarity }, place) => {
      const row = this.#rows[place];
      row.clip = clip;
      row.emotion.textContent = this.#clips.emotions[clip];
      row.file.textContent = this.#clips.files[clip];
      row.similarity.textContent = similarity.toFixed(3);
      if (!row.play) return;
      row.play.disabled = false;
      row.play.setAttribute("aria-label", `Play ${this.#clips.files[clip]}`);
    });
  }

  #nearest(fc1) {
    const length = Math.max(Math.hypot(...fc1), 1e-12);
    const found = this.#clips.files.map((_, clip) => {
      let sum = 0;
      for (let place = 0; place < fc1.length; place++) sum += fc1[place] * this.#vectors[clip * fc1.length + place];
      return { clip, similarity: sum / length };
    });
    return found.sort((one, other) => other.similarity - one.similarity).slice(0, this.#rows.length);
  }
}
