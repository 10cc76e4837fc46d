// The view in the address of the page, after the #, so that it can be sent and opened again.
// Whoever opens an address may have got it from anyone: every value in it is checked.

const HAS_ADDRESS = location.protocol !== "about:"; // the frame of a notebook has none
const STARTS = { by: state.by, size: state.size, edges: state.edges, order: state.order };
let written = null; // the address that this page has written last
let writing = null; // a timer

function noteAddress() {
  if (!HAS_ADDRESS) return;
  clearTimeout(writing);
  writing = setTimeout(() => {
    written = `#${addressOfView()}`;
    history.replaceState(null, "", written);
  }, 250);
}

// Numbers of clips, e.g. [0, 1, 2, 7] as "0-2,7".
function asRanges(clips) {
  const ranges = [];
  for (const clip of [...clips].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    last && last[1] === clip - 1 ? (last[1] = clip) : ranges.push([clip, clip]);
  }
  return ranges.map(([from, to]) => (from === to ? from : `${from}-${to}`)).join();
}

// Ranges ascend, as they are written: others are left out, so that no text takes long.
function fromRanges(text) {
  const clips = [];
  for (const [, from, to = from] of text.matchAll(/(?<![^,])(\d+)(?:-(\d+))?(?![^,])/g))
    for (let clip = Math.max(Number(from), (clips.at(-1) ?? -1) + 1); clip <= Math.min(Number(to), nClips - 1); clip++)
      clips.push(clip);
  return clips;
}

function addressOfView() {
  const view = new URLSearchParams({ page: contents.id });
  for (const name in STARTS) if (state[name] !== STARTS[name]) view.set(name, state[name]);
  if (state.similarity > similarityRange()[0]) view.set("similarity", state.similarity);
  if (state.words.length) view.set("search", state.words.join(" "));
  if (state.mistakes) view.set("mistakes", 1);
  for (const [name, codes] of state.hidden)
    for (const code of codes) view.append(`hide.${name}`, code < 0 ? "" : columns.get(name).values[code]);
  for (const [name, limits] of state.ranges)
    view.set(`range.${name}`, limits.map((limit) => (Number.isFinite(limit) ? limit : "")).join());
  if (state.chosen !== null) view.set("clip", state.chosen);
  if (state.selected.length) view.set("selected", asRanges(state.selected));
  const corrected = correctedClips();
  for (const emotion of new Set(corrected.map((clip) => valueOf("emotion", clip))))
    view.set(`label.${emotion ?? ""}`, asRanges(corrected.filter((clip) => valueOf("emotion", clip) === emotion)));
  maps.forEach((one, place) => {
    if (!isHome(one)) view.set(`view${place}`, viewOf(one).map((end) => end.toPrecision(5)).join());
  });
  return view.toString();
}

// Take the state from the address. Returns whether there is one for this page.
function readAddress() {
  const view = new URLSearchParams(location.hash.slice(1));
  const isOurs = view.get("page") === contents.id;
  byId("address-note").hidden = isOurs || !view.has("page");
  if (!HAS_ADDRESS || !isOurs) return false;
  written = location.hash;
  const one = (name, accepted) => (accepted.includes(view.get(name)) ? view.get(name) : STARTS[name]);
  const numbers = contents.columns.filter((column) => !isText(column)).map((column) => column.name);
  const colored = contents.columns.filter((column) => !isText(column) || column.colors !== null);
  state.by = one("by", colored.map((column) => column.name));
  state.size = one("size", ["degree", "same"]);
  state.edges = one("edges", ["chosen", "shown", "none"]);
  state.order = one("order", ["file", ...numbers]);
  const [low, high] = similarityRange();
  state.similarity = Math.min(high, Math.max(low, Number(view.get("similarity") ?? low) || low));
  state.words = wordsOf(view.get("search") ?? "");
  state.mistakes = columns.has("outcome") && view.has("mistakes");
  undoLabels(correctedClips());
  state.hidden.clear();
  state.ranges.clear();
  for (const [name, value] of view) {
    const [kind, column] = [name.slice(0, name.indexOf(".")), columns.get(name.slice(name.indexOf(".") + 1))];
    if (kind === "label") readLabel(name.slice("label.".length), fromRanges(value));
    if (kind === "hide" && column && isText(column)) hide(column, value);
    if (kind === "range" && column && !isText(column)) readLimits(column, value);
  }
  const [chosen = null] = fromRanges(view.get("clip") ?? "");
  Object.assign(state, { chosen, neighbour: 0, walk: [], selected: fromRanges(view.get("selected") ?? "") });
  maps.forEach((map, place) => showView(map, (view.get(`view${place}`) ?? "").split(",").map(Number)));
  return true;
}

function readLabel(emotion, clips) {
  if (emotion !== "" && !emotions.includes(emotion)) return;
  for (const clip of clips) setLabel(clip, emotion === "" ? null : emotion);
}

function hide(column, value) {
  const code = value === "" ? -1 : column.values.indexOf(value);
  if (value !== "" && code < 0) return;
  state.hidden.set(column.name, (state.hidden.get(column.name) ?? new Set()).add(code));
}

function readLimits(column, text) {
  const [from = "", to = ""] = text.split(",");
  const limits = [from === "" ? -Infinity : Number(from), to === "" ? Infinity : Number(to)];
  if (!limits.some(Number.isNaN)) state.ranges.set(column.name, limits);
}
