// The map: Bokeh draws the state.

const MARKERS = { train: "circle", dev: "triangle", test: "square" }; // a clip without a split: circle
const SCALES = { triangle: 1.15, square: 0.9 }; // so that all markers look equally large
const REACH = 14; // largest distance in pixels between a click and its point

const map = { ...contents.places }; // x and y of every clip; Bokeh's models by name, once startMap has run

async function startMap() {
  await Bokeh.embed.embed_item(JSON.parse(document.getElementById("drawing-model").textContent));
  const bokeh = Bokeh.documents[Bokeh.documents.length - 1];
  const names = ["plot", "everywhere", "clips", "shown", "edges", "edges_of_chosen", "neighbours", "chosen"];
  for (const name of [...names, "points", "neighbours_ring", "chosen_ring"]) map[name] = bokeh.get_model_by_name(name);
  const { x_range, y_range } = map.plot;
  map.home = { x: [x_range.start, x_range.end], y: [y_range.start, y_range.end] };
  map.everywhere.data = { x: map.x, y: map.y };
}

function drawClips() {
  const clips = contents.files.map((_, clip) => clip);
  const marker = clips.map((clip) => MARKERS[valueOf("split", clip)] ?? "circle");
  const degree = (clip) => neighboursOf[clip].length + hearersOf[clip].length;
  const crowd = Math.min(1, Math.max(0.45, Math.sqrt(2500 / nClips))); // many clips: smaller ones
  const size = clips.map((clip) => {
    const plain = state.size === "degree" ? 6 + 1.6 * Math.sqrt(degree(clip)) : 8;
    return plain * crowd * (SCALES[marker[clip]] ?? 1);
  });
  map.clips.data = { x: map.x, y: map.y, marker, size, color: clips.map((clip) => colorOf(state.by, clip)) };
}

function drawShown(shown) {
  map.shown.indices = shown;
}

function drawEdges() {
  const { source, target, similarity } = contents.edges;
  const all = [];
  if (state.edges === "shown") {
    const shown = new Uint8Array(nClips);
    for (const clip of map.shown.indices) shown[clip] = 1;
    for (let e = 0; e < source.length; e++)
      if (similarity[e] >= state.similarity && shown[source[e]] && shown[target[e]])
        all.push({ from: source[e], to: target[e], similarity: similarity[e] });
  }
  map.edges.data = segments(all);
  const own = [];
  if (state.edges !== "none" && state.chosen !== null) {
    for (const edge of listedNeighbours(state.chosen)) own.push({ ...edge, from: edge.clip, to: state.chosen });
  }
  map.edges_of_chosen.data = segments(own);
}

function segments(edges) {
  return {
    x0: edges.map((edge) => map.x[edge.from]),
    y0: edges.map((edge) => map.y[edge.from]),
    x1: edges.map((edge) => map.x[edge.to]),
    y1: edges.map((edge) => map.y[edge.to]),
    color: edges.map((edge) => (columns.has("emotion") ? colorOf("emotion", edge.from) : "#888888")),
    width: edges.map((edge) => 1 + 2 * Math.max(0, edge.similarity)),
  };
}

function drawChosen() {
  const places = (clips) => ({ x: clips.map((clip) => map.x[clip]), y: clips.map((clip) => map.y[clip]) });
  map.chosen.data = places(state.chosen === null ? [] : [state.chosen]);
  map.neighbours.data = places(state.chosen === null ? [] : listedNeighbours(state.chosen).map((edge) => edge.clip));
  drawEdges();
}

function drawTheme() {
  const text = getComputedStyle(document.documentElement).getPropertyValue("--text").trim();
  // A thin outline: a dark colour stays visible on a dark page, and a pale one on a white page.
  for (const drawn of ["points", "neighbours_ring", "chosen_ring"]) map[drawn].glyph.line_color = { value: text };
}

function showPlace(clip) {
  const { x_range, y_range } = map.plot;
  const inside = (range, value) => value > Math.min(range.start, range.end) && value < Math.max(range.start, range.end);
  if (!inside(x_range, map.x[clip]) || !inside(y_range, map.y[clip])) zoom(1, clip);
}

// Zoom in (factor < 1) or out, around a clip or around the middle.
function zoom(factor, clip = null) {
  for (const [range, places] of [[map.plot.x_range, map.x], [map.plot.y_range, map.y]]) {
    const middle = clip === null ? (range.start + range.end) / 2 : places[clip];
    const half = ((range.end - range.start) / 2) * factor;
    range.setv({ start: middle - half, end: middle + half });
  }
}

function zoomAround(clip) {
  const clips = [clip, ...listedNeighbours(clip).map((edge) => edge.clip)];
  for (const [range, places] of [[map.plot.x_range, map.x], [map.plot.y_range, map.y]]) {
    const far = Math.max(...clips.map((other) => Math.abs(places[other] - places[clip])), 1e-3) * 1.4;
    range.setv({ start: places[clip] - far, end: places[clip] + far });
  }
}

function zoomHome() {
  map.plot.x_range.setv({ start: map.home.x[0], end: map.home.x[1] });
  map.plot.y_range.setv({ start: map.home.y[0], end: map.home.y[1] });
}

// The nearest shown clip to a place on the map, within REACH.
function clipAt(x, y) {
  const { x_range, y_range, inner_width, inner_height } = map.plot;
  const [perX, perY] = [inner_width / (x_range.end - x_range.start), inner_height / (y_range.end - y_range.start)];
  let [best, least] = [null, REACH * REACH];
  for (const clip of map.shown.indices) {
    const distance = ((map.x[clip] - x) * perX) ** 2 + ((map.y[clip] - y) * perY) ** 2;
    if (distance < least) [best, least] = [clip, distance];
  }
  return best;
}
