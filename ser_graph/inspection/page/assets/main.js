// The reactions to the user: every change of the state happens here.

function changed() {
  const shown = shownClips();
  drawShown(shown);
  drawEdges();
  fillList(shown);
}

function choose(clip) {
  stopSound();
  state.chosen = clip;
  state.neighbour = 0;
  fillClip();
  markInList();
  drawChosen();
  showPlace(clip);
  say("");
  load(player, clip);
  parent.postMessage({ ser_graph: "chosen", clip }, "*");
}

function walkTo(clip) {
  state.walk.push(state.chosen);
  choose(clip);
}

function walkBack() {
  if (state.walk.length) choose(state.walk.pop());
}

function switchValue(name, code, on) {
  const off = state.hidden.get(name) ?? new Set();
  on ? off.delete(code) : off.add(code);
  off.size ? state.hidden.set(name, off) : state.hidden.delete(name);
  changed();
}

function limitValues(name, from, to) {
  Number.isFinite(from) || Number.isFinite(to) ? state.ranges.set(name, [from, to]) : state.ranges.delete(name);
  changed();
}

function showAll() {
  state.hidden.clear();
  state.ranges.clear();
  state.words = [];
  state.mistakes = byId("mistakes").checked = false;
  byId("search").value = "";
  fillLegend();
  changed();
}

function select(clips) {
  state.selected = clips;
  map.clips.selected.indices = clips;
  fillSelection();
  parent.postMessage({ ser_graph: "selection", clips }, "*");
}

function saveSelection() {
  // The byte order mark at the start shows spreadsheets that the file is UTF-8.
  const address = URL.createObjectURL(new Blob(["\ufeff", asCsv(state.selected)], { type: "text/csv" }));
  make("a", { href: address, download: "selection.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "Light" : "Dark";
  drawTheme();
}

function listenToControls() {
  byId("by").addEventListener("change", (event) => {
    state.by = event.target.value;
    drawClips();
    fillLegend();
    fillList(map.shown.indices);
    if (state.chosen !== null) fillNeighbours();
  });
  byId("size").addEventListener("change", (event) => { state.size = event.target.value; drawClips(); });
  byId("edges").addEventListener("change", (event) => { state.edges = event.target.value; drawEdges(); });
  byId("similarity").addEventListener("input", (event) => {
    state.similarity = Number(event.target.value);
    byId("similarity-value").textContent = state.similarity.toFixed(3);
    drawChosen();
    if (state.chosen !== null) fillNeighbours();
  });
  byId("search").addEventListener("input", (event) => {
    state.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    changed();
  });
  byId("search").addEventListener("keydown", (event) => {
    const first = byId("list").querySelector("button");
    if (event.key === "Enter" && first) choose(Number(first.dataset.clip));
    if (event.key === "Escape") event.target.blur();
  });
  byId("order").addEventListener("change", (event) => { state.order = event.target.value; fillList(map.shown.indices); });
  byId("mistakes").addEventListener("change", (event) => { state.mistakes = event.target.checked; changed(); });
  byId("whole").addEventListener("click", zoomHome);
  byId("reset").addEventListener("click", showAll);
  byId("select-shown").addEventListener("click", () => select([...map.shown.indices]));
  byId("unselect").addEventListener("click", () => select([]));
  byId("export").addEventListener("click", saveSelection);
  byId("back").addEventListener("click", walkBack);
  byId("around").addEventListener("click", () => zoomAround(state.chosen));
  byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  document.addEventListener("keydown", onKey);
}

function listenToMap() {
  const onClick = ({ x, y }) => {
    const clip = clipAt(x, y);
    if (clip !== null) choose(clip);
  };
  map.plot.on_event("tap", onClick);
  map.plot.on_event("doubletap", onClick); // two clicks in quick succession, on one clip or on two
  map.plot.on_event("mousemove", ({ x, y, sx, sy }) => showTip(clipAt(x, y), sx, sy));
  map.plot.on_event("mouseleave", () => showTip(null));
  map.clips.selected.properties.indices.change.connect(() => {
    const clips = [...map.clips.selected.indices].sort((a, b) => a - b);
    if (clips.join() !== state.selected.join()) select(clips);
  });
}

// In a notebook, the notebook sends sound and may choose a clip.
function listenToNotebook() {
  window.addEventListener("message", ({ source, data }) => {
    if (source !== parent || parent === window || !data) return;
    if (data.ser_graph === "audio") soundArrived(data.clip, data.address);
    if (data.ser_graph === "choose" && data.clip >= 0 && data.clip < nClips) choose(data.clip);
  });
}

const KEYS = {
  ArrowDown: () => stepNeighbour(1),
  ArrowUp: () => stepNeighbour(-1),
  ArrowRight: () => withNeighbour(walkTo),
  ArrowLeft: walkBack,
  " ": () => (player.paused ? playClip() : stopSound()),
  n: () => withNeighbour(playNeighbour),
  c: () => withNeighbour(compare),
};
const KEYS_ALWAYS = {
  "/": () => byId("search").focus(),
  "+": () => zoom(0.7),
  "-": () => zoom(1 / 0.7),
  0: zoomHome,
  Escape: () => { stopSound(); select([]); },
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const within = event.target.closest?.("input, select, textarea, audio");
  const onButton = event.key === " " && event.target.closest?.("button, summary");
  const action = KEYS_ALWAYS[event.key] ?? (state.chosen === null ? undefined : KEYS[event.key]);
  if (within || onButton || !action) return;
  event.preventDefault();
  action();
}

function stepNeighbour(step) {
  const last = listedNeighbours(state.chosen).length - 1;
  state.neighbour = Math.max(0, Math.min(last, state.neighbour + step));
  markNeighbour();
}

function withNeighbour(action) {
  const edge = listedNeighbours(state.chosen)[state.neighbour];
  if (edge) action(edge.clip);
}

async function start() {
  await startMap();
  fillControls();
  fillLegend();
  fillSelection();
  drawClips();
  changed();
  listenToControls();
  listenToMap();
  listenToNotebook();
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
  byId("similarity-value").textContent = state.similarity.toFixed(3);
  if (contents.ego !== null) choose(contents.files.indexOf(contents.ego));
  document.documentElement.dataset.ready = "true";
}

start();
