// Corrected labels: the emotions that the user changes on the page, and the clip table with them.

const emotions = Object.keys(contents.label_colors.emotion);
const firstLabels = [...columns.get("emotion").codes]; // the labels of the graph, as codes

// The code of a value in a column. A value that no clip of the page had gets a new code and its colour.
function codeOf(name, value) {
  if (value === null) return -1;
  const { values, colors } = columns.get(name);
  const code = values.indexOf(value);
  if (code >= 0) return code;
  colors?.push(contents.label_colors[name][value]);
  return values.push(value) - 1;
}

// null takes the label away.
function setLabel(clip, emotion) {
  columns.get("emotion").codes[clip] = codeOf("emotion", emotion);
  haystack[clip] = searchText(clip);
  const predicted = valueOf("predicted", clip);
  if (!columns.has("outcome") || predicted === null) return;
  const outcome = emotion === null ? null : predicted === emotion ? "right" : "wrong";
  columns.get("outcome").codes[clip] = codeOf("outcome", outcome);
}

function firstLabel(clip) {
  return firstLabels[clip] < 0 ? null : columns.get("emotion").values[firstLabels[clip]];
}

function correctedClips() {
  const { codes } = columns.get("emotion");
  return [...codes.keys()].filter((clip) => codes[clip] !== firstLabels[clip]);
}

function undoLabels(clips) {
  for (const clip of clips) setLabel(clip, firstLabel(clip));
}

// The clip table of all clips of the page with the corrected labels, as the library reads it.
function correctedTable() {
  return asCsv([...contents.files.keys()], contents.table);
}
