// The data of the page, the choices of the user, and the clips to show. No code here changes the page itself.

function remembered(work) {
  const results = new Map();
  return (key) => {
    if (!results.has(key)) results.set(key, work(key));
    return results.get(key);
  };
}

const byId = (id) => document.getElementById(id);
const contents = JSON.parse(document.getElementById("contents").textContent);
// Sounds and spectrograms come later in the page, so that the map does not wait for them.
const allRead = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
const late = remembered(() => allRead.then(() => JSON.parse(document.getElementById("late").textContent)));
const nClips = contents.files.length;
const columns = new Map(contents.columns.map((column) => [column.name, column]));

// Edges by clip, most similar first: from its neighbours to the clip, and from the clip to its seeds.
const neighboursOf = Array.from({ length: nClips }, () => []);
const hearersOf = Array.from({ length: nClips }, () => []);
{
  const { source, target, similarity } = contents.edges;
  for (let e = 0; e < source.length; e++) {
    neighboursOf[target[e]].push({ clip: source[e], similarity: similarity[e] });
    hearersOf[source[e]].push({ clip: target[e], similarity: similarity[e] });
  }
  for (const lists of [neighboursOf, hearersOf])
    for (const list of lists) list.sort((a, b) => b.similarity - a.similarity);
}

const state = {
  by: contents.by,
  size: "degree",
  edges: contents.edges.source.length <= 3000 ? "shown" : "chosen",
  similarity: -1, // edges below it are not drawn and not listed
  words: [],
  hidden: new Map(), // column -> Set of codes that are switched off in the legend
  ranges: new Map(), // column of numbers -> [from, to]
  mistakes: false,
  order: "file",
  chosen: null,
  neighbour: 0, // place in the list of neighbours
  walk: [], // clips that led here
  selected: [],
};

const isText = (column) => column.values !== undefined;

function valueOf(name, clip) {
  const column = columns.get(name);
  if (column === undefined) return null;
  if (!isText(column)) return column.numbers[clip];
  return column.codes[clip] < 0 ? null : column.values[column.codes[clip]];
}

function colorOf(name, clip) {
  const column = columns.get(name);
  if (isText(column)) return column.codes[clip] < 0 ? contents.unknown_color : column.colors[column.codes[clip]];
  const value = column.numbers[clip];
  if (value === null) return contents.unknown_color;
  const [low, high] = rangeOf(name);
  const share = high > low ? (value - low) / (high - low) : 0.5;
  return contents.gradient[Math.min(255, Math.floor(share * 256))];
}

// The least and the greatest similarity of an edge.
function similarityRange() {
  const { similarity } = contents.edges;
  const low = similarity.reduce((least, value) => Math.min(least, value), 1);
  return [low, similarity.reduce((most, value) => Math.max(most, value), low)];
}

const rangeOf = remembered((name) => {
  const known = columns.get(name).numbers.filter((value) => value !== null);
  return known.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
});

// The text that a search uses: the file and the texts of the clip table, but not predicted or suggested emotions.
const searched = contents.columns.filter((column) => isText(column) && contents.searched.includes(column.name));
const searchText = (clip) =>
  [contents.files[clip], ...searched.map((column) => column.values[column.codes[clip]] ?? "")].join("\n").toLowerCase();
const haystack = contents.files.map((_, clip) => searchText(clip));
const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

function isShown(clip) {
  for (const [name, codes] of state.hidden) if (codes.has(columns.get(name).codes[clip])) return false;
  for (const [name, [from, to]] of state.ranges) {
    const value = columns.get(name).numbers[clip];
    if (value === null || value < from || value > to) return false;
  }
  if (state.mistakes && valueOf("outcome", clip) !== "wrong") return false;
  return state.words.every((word) => haystack[clip].includes(word));
}

function shownClips() {
  return contents.files.map((_, clip) => clip).filter(isShown);
}

// Clips in the chosen order; clips with an unknown value come last.
function ordered(clips) {
  const name = state.order;
  if (name === "file") return clips;
  const key = (clip) => valueOf(name, clip);
  return [...clips].sort((a, b) => {
    const [left, right] = [key(a), key(b)];
    if (left === null || right === null) return (left === null) - (right === null);
    return left < right ? -1 : left > right ? 1 : a - b;
  });
}

const listedNeighbours = (clip) => neighboursOf[clip].filter((edge) => edge.similarity >= state.similarity);
const listedHearers = (clip) => hearersOf[clip].filter((edge) => edge.similarity >= state.similarity);

// A spreadsheet would compute text that starts like a formula; the same rule as in common/csv_files.py.
function protectedText(text) {
  const isLive = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]./s.test(text);
  return isLive && !/^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? `'${text}` : text;
}

// Some columns of some clips as CSV.
function asCsv(clips, names) {
  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : protectedText(String(value));
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = clips.map((clip) => [contents.files[clip], ...names.map((name) => valueOf(name, clip))]);
  return [["file", ...names], ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
}
