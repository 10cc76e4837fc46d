// The reactions to the user: every change of the state happens here.

function changed() {
  const shown = shownClips();
  drawShown(shown);
  drawEdges();
  fillList(shown);
  fillHistograms();
  noteAddress();
}

function choose(clip, move = true) {
  stopSound();
  state.chosen = clip;
  state.neighbour = 0;
  fillClip();
  markInList();
  drawChosen();
  if (move) showPlace(clip);
  noteAddress();
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
  fillHistograms();
  noteAddress();
  parent.postMessage({ ser_graph: "selection", clips }, "*");
}

// null takes the labels away.
function relabel(clips, emotion) {
  for (const clip of clips) setLabel(clip, emotion);
  showLabels();
}

// Everything that depends on the labels.
function showLabels() {
  drawClips();
  map.clips.selected.indices = state.selected;
  fillLegend();
  fillCorrections();
  fillSelection(false);
  changed();
  if (state.chosen !== null) fillClip();
}

function save(name, csv) {
  // The byte order mark at the start shows spreadsheets that the file is UTF-8.
  const address = URL.createObjectURL(new Blob(["\ufeff", csv], { type: "text/csv" }));
  make("a", { href: address, download: name }).click();
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
    showControls();
    drawChosen();
    if (state.chosen !== null) fillNeighbours();
  });
  byId("search").addEventListener("input", (event) => {
    state.words = wordsOf(event.target.value);
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
  byId("export").addEventListener("click", () => save("selection.csv", asCsv(state.selected, [...columns.keys()])));
  byId("relabel").addEventListener("change", (event) => relabel([state.chosen], emotionOf(event.target.value)));
  byId("relabel-selection").addEventListener("change", (event) => {
    if (event.target.value !== "?") relabel(state.selected, emotionOf(event.target.value));
  });
  byId("save-labels").addEventListener("click", () => save("labels.csv", correctedTable()));
  byId("undo-labels").addEventListener("click", () => { undoLabels(correctedClips()); showLabels(); });
  byId("back").addEventListener("click", walkBack);
  byId("around").addEventListener("click", () => zoomAround(state.chosen));
  byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  document.addEventListener("keydown", onKey);
  document.addEventListener("keyup", (event) => { if (playsOnSpace(event)) event.preventDefault(); }); // else a click
  document.addEventListener("change", noteAddress);
  window.addEventListener("hashchange", () => { if (location.hash !== written && readAddress()) showAnew(); });
}

function listenToMap() {
  for (const one of maps) {
    const onClick = ({ x, y }) => {
      const clip = clipAt(one, x, y);
      if (clip !== null) choose(clip);
    };
    one.plot.on_event("tap", onClick);
    one.plot.on_event("doubletap", onClick); // two clicks in quick succession, on one clip or on two
    one.plot.on_event("mousemove", ({ x, y, sx, sy }) => showTip(clipAt(one, x, y), one, sx, sy));
    one.plot.on_event("mouseleave", () => showTip(null));
    for (const range of [one.plot.x_range, one.plot.y_range]) range.change.connect(noteAddress);
  }
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
  const onButton = event.key === " " && event.target.closest?.("button, summary") && !playsOnSpace(event);
  const action = KEYS_ALWAYS[event.key] ?? (state.chosen === null ? undefined : KEYS[event.key]);
  if (within || onButton || !action) return;
  event.preventDefault();
  action();
}

// The button of the chosen clip in the list: a click has left the focus there, but space shall play.
function playsOnSpace({ key, target }) {
  return key === " " && target.closest?.('#list button[aria-current="true"]') != null;
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

// The whole state, e.g. that of an address.
function showAnew() {
  const { chosen, selected } = state;
  showControls();
  showLabels();
  select(selected);
  if (chosen !== null) choose(chosen, false);
  else { fillClip(); drawChosen(); }
}

async function start() {
  await startMaps();
  fillControls();
  if (!readAddress() && contents.ego !== null) state.chosen = contents.files.indexOf(contents.ego);
  showAnew();
  listenToControls();
  listenToMap();
  listenToNotebook();
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.ready = "true";
}

start();
