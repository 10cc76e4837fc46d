// Sound and spectrograms. contents.audio.kind is the source of the sound.

const player = document.getElementById("player"); // the chosen clip
const other = document.getElementById("other-player"); // a neighbour
const waiting = new Map(); // clip -> function to call after the answer of the notebook
const fetched = new Map(); // clip -> address, from the notebook

async function soundOf(clip) {
  const { kind } = contents.audio;
  if (kind === "none") return null;
  if (kind !== "live") return (await late()).sounds[clip];
  if (fetched.has(clip)) return fetched.get(clip);
  return new Promise((resolve) => {
    waiting.set(clip, [...(waiting.get(clip) ?? []), resolve]);
    parent.postMessage({ ser_graph: "audio", clip }, "*");
  });
}

function soundArrived(clip, address) {
  fetched.set(clip, address);
  for (const resolve of waiting.get(clip) ?? []) resolve(address);
  waiting.delete(clip);
}

const say = (text) => (document.getElementById("sound").textContent = text);

// Load a clip into the player, without playing it. Returns whether there is sound to play.
async function load(element, clip) {
  const address = await soundOf(clip);
  if (address === null) {
    element.removeAttribute("src");
    say(contents.audio.kind === "none" ? contents.audio.note : `${contents.files[clip]} could not be read.`);
    return false;
  }
  if (element.dataset.clip !== String(clip) || !element.getAttribute("src")) {
    element.dataset.clip = clip;
    element.src = address;
  }
  return true;
}

let wish = 0; // number of the last request: answers to earlier requests are not shown

async function play(element, clip) {
  const mine = ++wish;
  stopSound();
  if (!(await load(element, clip)) || mine !== wish) return;
  element.currentTime = 0;
  const answer = await element.play().then(
    () => `Playing ${contents.files[clip]}`,
    (error) => (error.name === "AbortError" ? null : `${contents.files[clip]} cannot be played. Was the file moved?`),
  );
  if (answer !== null && mine === wish) say(answer);
}

const playClip = () => play(player, state.chosen);
const playNeighbour = (clip) => play(other, clip);

// Play the chosen clip, then a neighbour, for comparison.
async function compare(clip) {
  await playClip();
  player.addEventListener("ended", () => playNeighbour(clip), { once: true, signal: comparing() });
}

let comparison = new AbortController();
function comparing() {
  comparison = new AbortController();
  return comparison.signal;
}

function stopSound() {
  comparison.abort();
  player.pause();
  other.pause();
}

for (const element of [player, other]) element.addEventListener("ended", () => say(""));
player.addEventListener("play", () => other.pause());
other.addEventListener("play", () => player.pause());

const sheetPicture = remembered(async (sheet) => {
  const picture = new Image();
  picture.src = (await late()).sheets[sheet];
  await picture.decode();
  return picture;
});

// Draw the clip once, without its repetitions up to the input length of the student.
async function drawSpectrogram(canvas, clip) {
  const { per_sheet, width, height, seconds, shown, palette } = contents.spectrograms;
  canvas.dataset.clip = clip;
  const picture = await sheetPicture(Math.floor(clip / per_sheet));
  if (canvas.dataset.clip !== String(clip)) return; // the user has chosen another clip meanwhile
  canvas.width = Math.max(1, Math.round((width * shown[clip]) / seconds));
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, -(clip % per_sheet) * height);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < image.data.length; at += 4) image.data.set(palette[image.data[at]], at);
  context.putImageData(image, 0, 0);
}
