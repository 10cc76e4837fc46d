// Histograms beside the map: the selected clips (without a selection, the shown ones) against all clips.

const HISTOGRAMS = ["emotion", "speaker", "neighbours", "duration"];
const BINS = 16;

function fillHistograms() {
  const { selected } = state;
  const [some, what] = selected.length ? [selected, "selected"] : [map.shown.indices, "shown"];
  const isPart = some.length < nClips;
  byId("charts").classList.toggle("whole", !isPart); // one bar is enough
  const part = [make("span", { className: "meter some" }), ` ${count(some.length)} clips ${what}, `];
  const all = [make("span", { className: "meter all" }), ` all ${count(nClips)} clips`];
  byId("histograms-title").replaceChildren("Histograms: ", ...(isPart ? part : []), ...all);
  const charts = HISTOGRAMS.filter((name) => columns.has(name)).map((name) => histogramOf(columns.get(name), some));
  byId("charts").replaceChildren(...charts.filter((chart) => chart !== null));
}

// The share of the clips in each bin, for some clips and for all; a clip without a value counts in no bin.
function shares(binOf, n, some) {
  const counts = (clips) => {
    const bins = new Array(n).fill(0);
    for (const clip of clips) if (binOf(clip) !== null) bins[binOf(clip)]++;
    return bins;
  };
  const [few, all] = [counts(some), counts(contents.files.keys())];
  const top = Math.max(...few.map((k) => k / (some.length || 1)), ...all.map((k) => k / nClips)) || 1;
  return few.map((k, bin) => ({
    some: k / (some.length || 1) / top,
    all: all[bin] / nClips / top,
    text: `${count(k)} of ${count(some.length)} (${percent(k / (some.length || 1))}); all: ${count(all[bin])} of ${count(nClips)} (${percent(all[bin] / nClips)})`,
    n: k,
    of: all[bin],
  }));
}

const percent = (share) => `${(100 * share).toFixed(0)} %`;

function histogramOf(column, some) {
  const chart = isText(column) ? textHistogram(column, some) : numberHistogram(column, some);
  return chart && make("figure", { className: "chart" }, make("figcaption", {}, column.name), chart);
}

// A row for each value: the bar of the clips, above the bar of all.
function textHistogram(column, some) {
  const found = shares((clip) => (column.codes[clip] < 0 ? null : column.codes[clip]), column.values.length, some);
  const rows = [...column.values.keys()].filter((code) => found[code].of);
  if (!rows.length || rows.length > LISTED) return null;
  return make("table", {}, ...rows.map((code) => {
    const bar = (name) => make("div", { className: `meter ${name}`, style: `width:${100 * found[code][name]}%` });
    const bars = make("td", {}, bar("some"), bar("all"));
    const name = make("th", { scope: "row", title: column.values[code] }, column.values[code]);
    return make("tr", { title: `${column.values[code]}: ${found[code].text}` }, name, bars, make("td", {}, count(found[code].n)));
  }));
}

// Columns of bars, from the least to the greatest number.
function numberHistogram(column, some) {
  const [low, high] = rangeOf(column.name);
  if (low > high) return null;
  const isWhole = high - low < BINS && column.numbers.every((value) => value === null || Number.isInteger(value));
  const n = isWhole ? high - low + 1 : low === high ? 1 : BINS;
  const width = isWhole ? 1 : (high - low) / n || 1;
  const binOf = (clip) => {
    const value = column.numbers[clip];
    return value === null ? null : Math.min(n - 1, Math.floor((value - low) / width));
  };
  const bars = shares(binOf, n, some).map((found, bin) => {
    const from = low + bin * width;
    const where = isWhole || n === 1 ? figure(from) : `${figure(from)} to ${figure(from + width)}`;
    const bar = (name) => make("div", { className: `meter ${name}`, style: `height:${100 * found[name]}%` });
    return make("div", { className: "bin", title: `${where}: ${found.text}` }, bar("some"), bar("all"));
  });
  const ends = make("div", { className: "ends" }, make("span", {}, figure(low)), make("span", {}, low === high ? "" : figure(high)));
  return make("div", {}, make("div", { className: "bins", role: "img", "aria-label": `Histogram of ${column.name}` }, ...bars), ends);
}
