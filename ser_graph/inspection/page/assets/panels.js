// The panels beside the map. Text goes into the page as text, never as HTML.

const LISTED = 100; // clips in the list, values in the counts
// An element with properties and children; a string child becomes text.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties))
    name in element ? (element[name] = value) : element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const swatch = (color) => make("span", { className: "swatch", style: `background:${color}` });
const figure = (value) => {
  if (value === null) return "unknown";
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value);
};
const count = (number) => number.toLocaleString("en");

function fillControls() {
  const colored = contents.columns.filter((column) => !isText(column) || column.colors !== null);
  byId("by").append(...colored.map((column) => new Option(column.name, column.name)));
  const numbers = contents.columns.filter((column) => !isText(column));
  byId("order").append(...["file", ...numbers.map((column) => column.name)].map((name) => new Option(name, name)));
  const similarities = contents.edges.similarity;
  const [low, high] = similarityRange();
  Object.assign(byId("similarity"), { min: low, max: high, disabled: !similarities.length });
  state.similarity = low;
  byId("mistakes-label").hidden = !columns.has("outcome");
  byId("audio-note").textContent = contents.audio.note;
  const whole = nClips === contents.n_in_graph;
  byId("part-note").hidden = whole;
  const part = whole ? `${count(nClips)} clips` : `${count(nClips)} of the ${count(contents.n_in_graph)} clips`;
  const epsilon = contents.epsilon === null ? "" : ` of similarity above ${contents.epsilon}`;
  const scope = { train: " among training clips", "train+dev": " among training and dev clips", all: "" };
  byId("summary").textContent = `${part}, ${count(similarities.length)} edges${epsilon}${scope[contents.scope] ?? ""}`;
  const splits = columns.get("split")?.values ?? [];
  const shapes = { train: "● train", dev: "▲ dev", test: "■ test" };
  byId("splits").textContent = splits.map((split) => shapes[split] ?? split).join("   ");
}

// The controls as the state says.
function showControls() {
  for (const name of ["by", "size", "edges", "order"]) byId(name).value = state[name];
  byId("similarity").value = state.similarity;
  byId("similarity-value").textContent = state.similarity.toFixed(3);
  byId("search").value = state.words.join(" ");
  byId("mistakes").checked = state.mistakes;
}

function fillLegend() {
  const column = columns.get(state.by);
  byId("legend").replaceChildren(...(isText(column) ? textLegend(column) : numberLegend(column)));
}

function textLegend(column) {
  const counts = new Map();
  for (const code of column.codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  const codes = [...column.values.keys(), -1].filter((code) => counts.has(code));
  const off = state.hidden.get(column.name) ?? new Set();
  return codes.map((code) => {
    const box = make("input", { type: "checkbox", checked: !off.has(code) });
    box.addEventListener("change", () => switchValue(column.name, code, box.checked));
    const color = code < 0 ? contents.unknown_color : column.colors[code];
    return make("label", {}, box, swatch(color), `${code < 0 ? "unknown" : column.values[code]} (${count(counts.get(code))})`);
  });
}

function numberLegend(column) {
  const [low, high] = rangeOf(column.name);
  if (low > high) return [`${column.name}: no values`];
  const bar = make("span", { className: "bar", style: `background:linear-gradient(90deg, ${contents.gradient.join()})` });
  const [from, to] = state.ranges.get(column.name) ?? ["", ""];
  const ends = [[from, "least"], [to, "most"]].map(([value, name]) =>
    make("input", { type: "number", step: "any", value: Number.isFinite(value) ? value : "", placeholder: name, "aria-label": `${name} ${column.name}` }),
  );
  for (const end of ends)
    end.addEventListener("change", () => {
      const [least, most] = ends.map((input) => input.value);
      limitValues(column.name, least === "" ? -Infinity : Number(least), most === "" ? Infinity : Number(most));
    });
  return [figure(low), bar, figure(high), make("span", { className: "quiet" }, "show from"), ends[0], "to", ends[1]];
}

function fillList(shown) {
  byId("count").textContent = `${count(shown.length)} of ${count(nClips)} clips shown`;
  const first = ordered(shown).slice(0, LISTED);
  byId("list").replaceChildren(
    ...first.map((clip) => {
      const value = state.order === "file" ? valueOf("emotion", clip) : valueOf(state.order, clip);
      const button = make("button", { type: "button", title: contents.files[clip] });
      button.dataset.clip = clip;
      button.append(swatch(colorOf(state.by, clip)), make("bdi", { className: "file" }, contents.files[clip]), figure(value));
      button.addEventListener("click", () => choose(clip));
      return make("li", {}, button);
    }),
  );
  if (shown.length > LISTED) byId("list").append(make("li", { className: "quiet" }, `and ${count(shown.length - LISTED)} more`));
  markInList();
}

function markInList() {
  for (const button of byId("list").querySelectorAll("button"))
    button.setAttribute("aria-current", String(button.dataset.clip === String(state.chosen)));
}

function fillClip() {
  const clip = state.chosen;
  byId("clip").hidden = clip === null;
  byId("clip-hint").hidden = clip !== null;
  byId("clip-title").textContent = clip === null ? "No clip chosen" : contents.files[clip];
  if (clip === null) return;
  byId("back").disabled = !state.walk.length;
  fillRelabel();
  drawSpectrogram(byId("spectrogram"), clip);
  const { shown, hertz } = contents.spectrograms;
  byId("spectrogram-caption").textContent = `0 to ${shown[clip].toFixed(2)} s, ${hertz[0]} to ${hertz[1]} Hz (mel)`;
  byId("facts").replaceChildren(
    ...contents.columns.map((column) => {
      const value = valueOf(column.name, clip);
      const cell = make("td", {}, figure(value));
      if (isText(column) && column.colors !== null && value !== null) cell.prepend(swatch(colorOf(column.name, clip)), " ");
      return make("tr", {}, make("th", { scope: "row" }, column.name), cell);
    }),
  );
  fillNeighbours();
}

// The emotions to choose from; an emotion that the student or the neighbours propose says so.
function emotionOptions(clip = null) {
  const proposed = ["predicted", "suggested"].filter((name) => clip !== null && columns.has(name));
  const options = emotions.map((emotion) => {
    const by = proposed.filter((name) => valueOf(name, clip) === emotion);
    return new Option(by.length ? `${emotion} (${by.join(", ")})` : emotion, `=${emotion}`);
  });
  return [...options, new Option("no label", "")];
}

const optionOf = (emotion) => (emotion === null ? "" : `=${emotion}`); // an emotion may have any name
const emotionOf = (option) => (option === "" ? null : option.slice(1));

function fillRelabel() {
  const clip = state.chosen;
  const isCorrected = columns.get("emotion").codes[clip] !== firstLabels[clip];
  byId("relabel").replaceChildren(...emotionOptions(clip));
  byId("relabel").value = optionOf(valueOf("emotion", clip));
  byId("label-before").textContent = isCorrected ? `before: ${figure(firstLabel(clip))}` : "";
}

function fillCorrections() {
  const clips = correctedClips();
  byId("corrections").hidden = !clips.length;
  byId("corrections-title").textContent = `${clips.length ? count(clips.length) : "No"} corrected label${clips.length === 1 ? "" : "s"}`;
  byId("correction-list").replaceChildren(
    ...clips.slice(0, LISTED).map((clip) => {
      const file = contents.files[clip];
      const go = make("button", { type: "button", className: "go", title: file }, file);
      go.addEventListener("click", () => choose(clip));
      const undo = make("button", { type: "button", title: "Undo", "aria-label": `Undo the label of ${file}` }, "↶");
      undo.addEventListener("click", () => relabel([clip], firstLabel(clip)));
      const change = `${figure(firstLabel(clip))} → ${figure(valueOf("emotion", clip))}`;
      return make("li", {}, go, make("span", {}, change), undo);
    }),
  );
  if (clips.length > LISTED) byId("correction-list").append(make("li", { className: "quiet" }, `and ${count(clips.length - LISTED)} more`));
}

function fillNeighbours() {
  const edges = listedNeighbours(state.chosen);
  byId("neighbours-title").textContent = edges.length ? `${edges.length} neighbour${edges.length > 1 ? "s" : ""}` : "No neighbours";
  byId("neighbours").replaceChildren(...edges.map((edge) => neighbourItem(edge)));
  const hearers = listedHearers(state.chosen);
  byId("hearers").hidden = !hearers.length;
  byId("hearers").querySelector("summary").textContent = `Neighbour of ${hearers.length}`;
  byId("hearers").querySelector("ol").replaceChildren(...hearers.slice(0, LISTED).map((edge) => neighbourItem(edge)));
  markNeighbour();
}

function neighbourItem({ clip, similarity }) {
  const file = contents.files[clip];
  const listen = make("button", { type: "button", title: "Play", "aria-label": `Play ${file}` }, "▶");
  listen.addEventListener("click", () => playNeighbour(clip));
  const both = make("button", { type: "button", title: "Compare: play the chosen clip, then this clip" }, "▶▶");
  both.setAttribute("aria-label", `Compare with ${file}`);
  both.addEventListener("click", () => compare(clip));
  const go = make("button", { type: "button", className: "go", title: file }, file);
  go.addEventListener("click", () => walkTo(clip));
  const about = make("span", { className: "about" }, swatch(colorOf(state.by, clip)));
  about.append(["emotion", "speaker", "split"].map((name) => figure(valueOf(name, clip))).join(", "));
  const picture = make("canvas", { "aria-hidden": "true" });
  drawSpectrogram(picture, clip);
  const item = make("li", {}, listen, go, make("span", {}, similarity.toFixed(3), " ", both), about, picture);
  item.dataset.clip = clip;
  return item;
}

function markNeighbour() {
  [...byId("neighbours").children].forEach((item, place) => {
    item.classList.toggle("at", place === state.neighbour);
    if (place === state.neighbour && state.neighbour > 0) item.scrollIntoView({ block: "nearest" });
  });
}

function fillSelection(show = true) {
  const { selected } = state;
  byId("selection").hidden = !selected.length;
  byId("selection-title").textContent = selected.length ? `${count(selected.length)} clips selected` : "No selection";
  const names = ["emotion", "predicted", "speaker"].filter((name) => columns.has(name));
  byId("counts").replaceChildren(...names.map((name) => countTable(name, selected)));
  byId("relabel-selection").replaceChildren(new Option("choose …", "?"), ...emotionOptions());
  if (selected.length && show) byId("selection-panel").scrollIntoView({ block: "nearest" });
}

function countTable(name, clips) {
  const counts = new Map();
  for (const clip of clips) {
    const value = figure(valueOf(name, clip));
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1]).slice(0, LISTED);
  const rows = sorted.map(([value, times]) => {
    const meter = make("div", { className: "meter", style: `width:${(100 * times) / sorted[0][1]}%` });
    return make("tr", {}, make("td", {}, value), make("td", {}, count(times)), make("td", {}, meter));
  });
  return make("table", {}, make("caption", { className: "quiet" }, name), ...rows);
}

// A tip beside the pointer describes the clip under it.
function showTip(clip, one, x, y) {
  const tip = byId("tip");
  tip.hidden = clip === null;
  if (clip === null) return;
  one.element.append(tip);
  const known = ["emotion", "predicted", "speaker"].filter((name) => columns.has(name));
  tip.textContent = [contents.files[clip], ...known.map((name) => `${name}: ${figure(valueOf(name, clip))}`)].join("\n");
  tip.style.left = `${x}px`;
  tip.style.top = `${y}px`;
}
