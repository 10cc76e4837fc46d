// What the page says. All text is set as text, never as HTML.

export const byId = (id) => document.getElementById(id);

/** A new element with text. */
export function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** Shows a line, or hides its place without one. A screen reader reads only a line that changes. */
export function say(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
  byId(id).hidden = !text;
}

export function fillSelect(id, choices, chosen) {
  const options = choices.map(([value, text]) => {
    const option = element("option", text);
    option.value = value;
    option.selected = value === chosen;
    return option;
  });
  byId(id).replaceChildren(...options);
}

/** A list of names and values. */
export function fillAbout(rows) {
  const made = rows.map(([name, value]) => {
    const row = element("div");
    row.append(element("dt", name), element("dd", value));
    return row;
  });
  byId("about").replaceChildren(...made);
}

/** One row for each emotion; `showWindow` fills it. */
export function fillEmotions(emotions, colors) {
  const rows = emotions.map((emotion, code) => {
    const row = element("li");
    const swatch = element("span", "", "swatch");
    const bar = element("span", "", "bar");
    bar.append(element("span"));
    swatch.style.background = bar.firstChild.style.background = colors[code];
    row.append(swatch, element("span", emotion), bar, element("span", "–", "number"));
    return row;
  });
  byId("emotions").replaceChildren(...rows);
}

export function showWindow({ start, end, predicted, sure, probabilities }) {
  const word = sure ? predicted : "unsure";
  say("emotion", word);
  byId("when").textContent = `${start.toFixed(2)} to ${end.toFixed(2)} s`;
  const most = Math.max(...probabilities);
  [...byId("emotions").children].forEach((row, code) => {
    row.classList.toggle("best", sure && probabilities[code] === most);
    row.querySelector(".bar span").style.width = `${100 * probabilities[code]}%`;
    row.querySelector(".number").textContent = probabilities[code].toFixed(2);
  });
}

export function clearWindow() {
  byId("emotion").textContent = "–";
  byId("when").textContent = "";
  for (const row of byId("emotions").children) {
    row.classList.remove("best");
    row.querySelector(".bar span").style.width = "0";
    row.querySelector(".number").textContent = "–";
  }
  for (const id of ["computed", "factor", "latency", "windows"]) byId(id).textContent = "–";
}

/** Lets the user save a Blob as a file. */
export function save(blob, name) {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
