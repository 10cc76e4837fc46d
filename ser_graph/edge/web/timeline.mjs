// What was heard, over time: waveform, log-mel spectrogram and emotions, in columns of the same time.

const COLUMNS = 1000;
const LIVE = 30; // seconds of a microphone that are shown
const DECADES = 10; // of the log-mel, natural logarithm: the range of colours below the loudest value
const EMPTY = -1;
const HEAT = [[13, 8, 40], [84, 15, 109], [187, 55, 84], [249, 142, 9], [252, 255, 164]]; // from quiet to loud

export class Timeline {
  #canvases; #features; #colors;
  #tile = document.createElement("canvas"); // the log-mel, one pixel for each value
  #waiting = false; // for the next picture of the screen
  #rate; #width; #last; #loudest; #wave; #mel; #emotions; // see `reset`

  /** `canvases`: { wave, mel, emotions }; `colors`: one per emotion. */
  constructor(canvases, features, colors) {
    this.#canvases = canvases;
    this.#features = features;
    this.#colors = colors;
    this.#tile.width = COLUMNS;
    this.#tile.height = features.n_mels;
    this.reset(0, 1);
    new ResizeObserver(() => this.#later()).observe(canvases.wave);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#later());
  }

  /** Forgets everything; then shows a file of so many seconds, or (0) the last seconds of a microphone. */
  reset(seconds, rate) {
    this.live = !seconds;
    this.#rate = rate;
    this.#width = (seconds || LIVE) / COLUMNS; // seconds of a column
    this.#last = 0; // the newest column
    this.#loudest = -Infinity;
    // The columns are kept in a ring. Each knows which column of time it holds now.
    this.#wave = new Ring(2, [0, 0]);
    this.#mel = new Ring(this.#features.n_mels, new Array(this.#features.n_mels).fill(-Infinity));
    this.#emotions = new Ring(this.#colors.length, new Array(this.#colors.length).fill(0));
    this.#later();
  }

  /** Adds samples; `start` is the number of the first. */
  addSound(block, start) {
    const scale = 1 / (this.#rate * this.#width);
    for (let place = 0; place < block.length; place++) {
      const column = this.#wave.at(Math.floor((start + place) * scale));
      if (block[place] < column[0]) column[0] = block[place];
      if (block[place] > column[1]) column[1] = block[place];
    }
    this.#show((start + block.length) / this.#rate);
  }

  /** Adds a prediction, from second `from` of its window on: the part that is new. */
  addWindow({ start, end, spectrogram, probabilities }, from) {
    for (let column = this.#column(from); column < Math.max(this.#column(end), this.#column(from) + 1); column++)
      this.#emotions.at(column).set(probabilities);
    if (spectrogram) this.#addSpectrogram(spectrogram, start, from, end);
    this.#show(end);
  }

  #addSpectrogram(spectrogram, start, from, end) {
    const { n_mels, hop_length, n_fft, sample_rate } = this.#features;
    const middle = n_fft / 2 / sample_rate;
    for (let frame = 0; frame * n_mels < spectrogram.length; frame++) {
      const time = start + (frame * hop_length) / sample_rate + middle;
      if (time >= end) break; // a short window is repeated
      if (time + middle < from) continue;
      const first = this.#column(time - hop_length / sample_rate / 2);
      const next = this.#column(time + hop_length / sample_rate / 2);
      for (let column = first; column <= Math.max(first, next - 1); column++) {
        const values = this.#mel.at(column);
        for (let band = 0; band < n_mels; band++) {
          const value = spectrogram[frame * n_mels + band];
          if (value > values[band]) values[band] = value;
          if (value > this.#loudest) this.#loudest = value;
        }
      }
    }
  }

  #column(seconds) {
    return Math.max(0, Math.floor(seconds / this.#width + 1e-6));
  }

  #show(seconds) {
    this.#last = Math.max(this.#last, this.#column(seconds) - 1);
    this.#later();
  }

  #later() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#draw();
    });
  }

  #draw() {
    const first = this.live ? Math.max(0, this.#last - COLUMNS + 1) : 0;
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    this.#drawWave(first, color("--accent"), color("--line"));
    this.#drawMel(first);
    this.#drawEmotions(first, color("--text"), color("--line"));
  }

  /** A canvas with as many pixels as the screen shows, scaled to [width, height] in CSS pixels. */
  #sized(canvas) {
    const { clientWidth: width, clientHeight: height } = canvas;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const drawing = canvas.getContext("2d");
    drawing.scale(ratio, ratio);
    return { drawing, width, height, step: width / COLUMNS };
  }

  #drawWave(first, color, line) {
    const { drawing, width, height, step } = this.#sized(this.#canvases.wave);
    drawing.fillStyle = line;
    drawing.fillRect(0, height / 2, width, 1);
    drawing.fillStyle = color;
    const most = Math.max(0.05, ...this.#wave.values()); // a quiet voice is shown larger
    for (const [column, [low, high]] of this.#wave.columns(first)) {
      const [top, bottom] = [high, low].map((value) => (height / 2) * (1 - (0.95 * value) / most));
      drawing.fillRect((column - first) * step, top, Math.max(step, 0.5), Math.max(bottom - top, 1));
    }
  }

  #drawMel(first) {
    const { drawing, width, height } = this.#sized(this.#canvases.mel);
    const tile = this.#tile.getContext("2d");
    const image = tile.createImageData(this.#tile.width, this.#tile.height);
    for (const [column, values] of this.#mel.columns(first)) {
      for (let band = 0; band < values.length; band++) {
        const row = values.length - 1 - band; // high frequencies at the top
        const share = 1 + (values[band] - this.#loudest) / DECADES;
        image.data.set(heat(share), 4 * (row * COLUMNS + column - first));
      }
    }
    tile.putImageData(image, 0, 0);
    drawing.drawImage(this.#tile, 0, 0, width, height);
  }

  #drawEmotions(first, text, line) {
    const { drawing, width, height, step } = this.#sized(this.#canvases.emotions);
    const band = height - 20; // below are the seconds
    for (const [column, probabilities] of this.#emotions.columns(first)) {
      const [left, right] = [0, 1].map((next) => Math.round((column - first + next) * step)); // whole pixels: no seams
      let top = 0;
      probabilities.forEach((probability, code) => {
        drawing.fillStyle = this.#colors[code];
        drawing.fillRect(left, top * band, Math.max(right - left, 1), probability * band);
        top += probability;
      });
    }
    drawing.font = "12px system-ui, sans-serif";
    const [start, end] = [first * this.#width, (first + COLUMNS) * this.#width];
    const every = tick((end - start) / (width / 70));
    for (let second = Math.ceil(start / every) * every; second < end; second += every) {
      const x = ((second - start) / (end - start)) * width;
      drawing.fillStyle = line;
      drawing.fillRect(x, band, 1, 5);
      drawing.fillStyle = text;
      if (x < width - 40) drawing.fillText(clock(second, every), x + 3, height - 4);
    }
  }
}

/** Values for the last COLUMNS columns of time. */
class Ring {
  #values; #fresh; #owner = new Int32Array(COLUMNS).fill(EMPTY);

  constructor(size, fresh) {
    this.#fresh = fresh;
    this.#values = Array.from({ length: COLUMNS }, () => Float32Array.from(fresh));
  }

  /** The values of a column, to be changed; new ones if the ring holds those of an older column. */
  at(column) {
    const place = column % COLUMNS;
    if (this.#owner[place] !== column) {
      this.#owner[place] = column;
      this.#values[place].set(this.#fresh);
    }
    return this.#values[place];
  }

  /** The columns from `first` on that hold values. */
  *columns(first) {
    for (let place = 0; place < COLUMNS; place++)
      if (this.#owner[place] >= first) yield [this.#owner[place], this.#values[place]];
  }

  /** The magnitudes of all values. */
  *values() {
    for (const [, values] of this.columns(0)) for (const value of values) yield Math.abs(value);
  }
}

function heat(share) {
  const place = Math.min(Math.max(share, 0), 1) * (HEAT.length - 1);
  const [low, part] = [Math.min(Math.floor(place), HEAT.length - 2), place % 1 || (place === HEAT.length - 1 ? 1 : 0)];
  return [0, 1, 2].map((channel) => HEAT[low][channel] * (1 - part) + HEAT[low + 1][channel] * part).concat(255);
}

/** A round number of seconds, at least `seconds`. */
function tick(seconds) {
  return [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800].find((one) => one >= seconds) ?? 3600;
}

function clock(seconds, every) {
  const rest = (seconds % 60).toFixed(every < 1 ? 1 : 0);
  return seconds < 60 ? `${rest} s` : `${Math.floor(seconds / 60)}:${rest.padStart(2, "0")}`;
}
