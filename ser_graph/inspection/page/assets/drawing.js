// The maps: Bokeh draws the state. The second map, of the student's space, shows the same clips.

const MARKERS = { train: "circle", dev: "triangle", test: "square" }; // a clip without a split: circle
const SCALES = { triangle: 1.15, square: 0.9 }; // so that all markers look equally large
const REACH = 14; // largest distance in pixels between a click and its point
const PREFIXES = ["", "student_"]; // of the names of Bokeh's models, by map

const map = {}; // what the maps share, Bokeh's models by name: the clips, and the filter of those shown
// x and y of every clip; the models of each map by name, once startMaps has run
const maps = contents.maps.map(({ x, y }, place) => ({ x, y, prefix: PREFIXES[place] }));

async function startMaps() {
  byId("student-map").hidden = maps.length < 2;
  for (const space of document.querySelectorAll(".space")) space.hidden = maps.length < 2;
  const { doc, roots } = JSON.parse(byId("drawing-model").textContent);
  const item = { docid: "maps", roots: Object.fromEntries(roots), root_ids: roots.map(([root]) => root) };
  await Bokeh.embed.embed_items({ maps: doc }, [item]);
  const bokeh = Bokeh.documents[Bokeh.documents.length - 1];
  for (const name of ["clips", "shown"]) map[name] = bokeh.get_model_by_name(name);
  const names = ["plot", "everywhere", "edges", "edges_of_chosen", "neighbours", "chosen", "points"];
  maps.forEach((one, place) => {
    for (const name of [...names, "neighbours_ring", "chosen_ring"])
      one[name] = bokeh.get_model_by_name(one.prefix + name);
    one.element = byId(roots[place][1]).parentElement;
    one.home = viewOf(one);
    one.everywhere.data = { x: one.x, y: one.y };
  });
}

function drawClips() {
  const clips = contents.files.map((_, clip) => clip);
  const marker = clips.map((clip) => MARKERS[valueOf("split", clip)] ?? "circle");
  const degree = (clip) => neighboursOf[clip].length + hearersOf[clip].length;
  const crowd = Math.min(1, Math.max(0.45, Math.sqrt(2500 / nClips / maps.length))); // many clips: smaller ones
  const size = clips.map((clip) => {
    const plain = state.size === "degree" ? 6 + 1.6 * Math.sqrt(degree(clip)) : 8;
    return plain * crowd * (SCALES[marker[clip]] ?? 1);
  });
  const data = { marker, size, color: clips.map((clip) => colorOf(state.by, clip)) };
  for (const { prefix, x, y } of maps) Object.assign(data, { [`${prefix}x`]: x, [`${prefix}y`]: y });
  map.clips.data = data;
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
  const own = [];
  if (state.edges !== "none" && state.chosen !== null) {
    for (const edge of listedNeighbours(state.chosen)) own.push({ ...edge, from: edge.clip, to: state.chosen });
  }
  for (const one of maps) {
    one.edges.data = segments(one, all);
    one.edges_of_chosen.data = segments(one, own);
  }
}

function segments({ x, y }, edges) {
  return {
    x0: edges.map((edge) => x[edge.from]),
    y0: edges.map((edge) => y[edge.from]),
    x1: edges.map((edge) => x[edge.to]),
    y1: edges.map((edge) => y[edge.to]),
    color: edges.map((edge) => (columns.has("emotion") ? colorOf("emotion", edge.from) : "#888888")),
    width: edges.map((edge) => 1 + 2 * Math.max(0, edge.similarity)),
  };
}

function drawChosen() {
  const chosen = state.chosen === null ? [] : [state.chosen];
  const neighbours = state.chosen === null ? [] : listedNeighbours(state.chosen).map((edge) => edge.clip);
  for (const one of maps) {
    const places = (clips) => ({ x: clips.map((clip) => one.x[clip]), y: clips.map((clip) => one.y[clip]) });
    one.chosen.data = places(chosen);
    one.neighbours.data = places(neighbours);
  }
  drawEdges();
}

function drawTheme() {
  const text = getComputedStyle(document.documentElement).getPropertyValue("--text").trim();
  // A thin outline: a dark colour stays visible on a dark page, and a pale one on a white page.
  for (const one of maps)
    for (const drawn of ["points", "neighbours_ring", "chosen_ring"]) one[drawn].glyph.line_color = { value: text };
}

// The part of a map that is in view: [left, right, bottom, top].
function viewOf({ plot: { x_range, y_range } }) {
  return [x_range.start, x_range.end, y_range.start, y_range.end];
}

function isHome(one) {
  return viewOf(one).every((end, place) => end === one.home[place]);
}

// Ends that make no area show the whole map.
function showView(one, ends) {
  const isArea = ends.length === 4 && ends.every(Number.isFinite) && ends[0] < ends[1] && ends[2] < ends[3];
  const [left, right, bottom, top] = isArea ? ends : one.home;
  one.plot.x_range.setv({ start: left, end: right });
  one.plot.y_range.setv({ start: bottom, end: top });
}

function showPlace(clip) {
  for (const one of maps) {
    const [left, right, bottom, top] = viewOf(one);
    const isInside = one.x[clip] > left && one.x[clip] < right && one.y[clip] > bottom && one.y[clip] < top;
    if (!isInside) zoomMap(one, 1, clip);
  }
}

// Zoom in (factor < 1) or out, around a clip or around the middle.
function zoomMap(one, factor, clip = null) {
  const [left, right, bottom, top] = viewOf(one);
  const [x, y] = clip === null ? [(left + right) / 2, (bottom + top) / 2] : [one.x[clip], one.y[clip]];
  const [across, up] = [((right - left) / 2) * factor, ((top - bottom) / 2) * factor];
  showView(one, [x - across, x + across, y - up, y + up]);
}

function zoom(factor) {
  for (const one of maps) zoomMap(one, factor);
}

function zoomAround(clip) {
  const clips = [clip, ...listedNeighbours(clip).map((edge) => edge.clip)];
  for (const one of maps) {
    const far = (places) => Math.max(...clips.map((other) => Math.abs(places[other] - places[clip])), 1e-3) * 1.4;
    const [across, up] = [far(one.x), far(one.y)];
    showView(one, [one.x[clip] - across, one.x[clip] + across, one.y[clip] - up, one.y[clip] + up]);
  }
}

function zoomHome() {
  for (const one of maps) showView(one, one.home);
}

// The nearest shown clip to a place on a map, within REACH.
function clipAt(one, x, y) {
  const { x_range, y_range, inner_width, inner_height } = one.plot;
  const [perX, perY] = [inner_width / (x_range.end - x_range.start), inner_height / (y_range.end - y_range.start)];
  let [best, least] = [null, REACH * REACH];
  for (const clip of map.shown.indices) {
    const distance = ((one.x[clip] - x) * perX) ** 2 + ((one.y[clip] - y) * perY) ** 2;
    if (distance < least) [best, least] = [clip, distance];
  }
  return best;
}
