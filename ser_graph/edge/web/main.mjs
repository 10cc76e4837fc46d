// The page: what happens when the user does something.

import { openSound } from "./files.mjs";
import { openMicrophone } from "./microphone.mjs";
import { ModelThread } from "./model_thread.mjs";
import { Nearest } from "./nearest.mjs";
import { Problem } from "./problem.mjs";
import { Run } from "./run.mjs";
import { Timeline } from "./timeline.mjs";
import { byId, clearWindow, fillAbout, fillEmotions, fillSelect, save, say } from "./view.mjs";
import { wavFile } from "./wav.mjs";

const HOPS = [0.25, 0.5, 1, 2, 5]; // seconds to choose from
const WINDOWS = [1, 2, 3, 4, 6, 8];
// The smallest program of WebAssembly with an instruction for several numbers at once.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

const page = {}; // model: the thread; metadata; timeline; run: the stream that is heard, or was heard last

async function start() {
  say("status", "Loading the model ...");
  if (!globalThis.WebAssembly?.validate(new Uint8Array(SIMD)))
    throw new Problem(
      "This browser has no WebAssembly SIMD, which the model needs; use a newer one (Chrome 91, Firefox 89, Safari 16.4)",
    );
  const about = await (await fetched("ser-graph-page.json")).json();
  byId("title").textContent = document.title = about.title;
  page.model = new ModelThread();
  page.model.onwindow = (window, { run, heard }) => run === page.run?.number && page.run.add(window, heard);
  const { metadata, size } = await page.model.ask("load");
  page.metadata = metadata;
  describe(about, metadata, size);
  const colors = metadata.emotions.map((emotion) => about.colors[emotion]);
  fillEmotions(metadata.emotions, colors);
  const canvases = { wave: byId("wave"), mel: byId("mel"), emotions: byId("band") };
  page.timeline = new Timeline(canvases, metadata.features, colors);
  if (about.clips) {
    const [clips, vectors] = await Promise.all([fetched("clips.json"), fetched("clips.bin")]);
    page.nearest = new Nearest(await clips.json(), new Float32Array(await vectors.arrayBuffer()));
  }
  say("status", "Ready. Listen to the microphone, or open or drop a sound file.");
  enable(false);
  document.documentElement.dataset.ready = "true";
}

async function fetched(name) {
  const response = await fetch(new URL(name, import.meta.url)).catch(() => null);
  if (!response?.ok) throw new Problem(`The file ${name} is missing beside this page; export the page again`);
  return response;
}

function describe(about, metadata, size) {
  const { features, precision, n_params } = metadata;
  const longest = features.n_samples / features.sample_rate;
  const seconds = (value) => [String(value), `${value} s`];
  fillSelect("window", [...WINDOWS.filter((one) => one < longest).map(seconds), ["", `${longest.toFixed(2)} s (as trained)`]], "");
  fillSelect("hop", [...HOPS.filter((one) => one < longest).map(seconds), ["", "one window"]], longest > 1 ? "1" : "");
  fillAbout([
    ["Title", about.title],
    ["Licence", about.licence],
    ...(metadata.attribution ? [["Made from", metadata.attribution]] : []),
    ["Size", `${(size / 1e6).toFixed(2)} MB (${precision}, ${n_params.toLocaleString("en")} parameters)`],
    ["Emotions", metadata.emotions.join(", ")],
    ["Input", `${longest.toFixed(2)} s at ${features.sample_rate.toLocaleString("en")} Hz`],
    ["Runs on", `onnxruntime-web ${about.onnxruntime_web}, one thread (MIT licence)`],
    ["Made with", `ser_graph ${about.ser_graph}`],
  ]);
}

function enable(running) {
  for (const id of ["microphone", "open", "window", "hop"]) byId(id).disabled = running;
  byId("stop").disabled = !running;
  byId("save-sound").disabled = running || !page.run?.sound.length;
  byId("save-table").disabled = running || !page.run?.rows.length;
}

/** Starts a stream of some seconds, or (0) a microphone. */
async function begin(name, rate, seconds) {
  const [window, hop] = ["window", "hop"].map((id) => Number(byId(id).value) || undefined);
  clearWindow();
  page.timeline.reset(seconds, rate);
  page.run = new Run(page, name, rate, seconds);
  await page.model.ask("begin", { rate, window, hop });
}

/** Runs one thing at a time, and shows what went wrong in one line. */
async function alone(task) {
  if (byId("microphone").disabled) return;
  say("problem", "");
  say("note", "");
  page.stopped = false;
  enable(true);
  try {
    await task();
  } catch (error) {
    say("status", "Ready.");
    say("problem", error instanceof Problem ? `${error.message}.` : `Something went wrong in this page (${error.message}).`);
  }
  byId("progress").hidden = true;
  say("how-far", "");
  enable(false);
}

async function hearFile(file) {
  say("status", `Reading ${file.name} ...`);
  const sound = await openSound(file, page.metadata.features.sample_rate);
  if (sound.rate < page.metadata.features.sample_rate)
    say("note", `${file.name} has ${sound.rate.toLocaleString("en")} samples a second. The model has learnt from ${page.metadata.features.sample_rate.toLocaleString("en")}: the high frequencies are missing.`);
  await begin(file.name, sound.rate, sound.seconds);
  const { run } = page;
  say("status", `Predicting ${file.name} ...`);
  byId("progress").hidden = false;
  for await (const block of sound.blocks()) {
    if (page.stopped) break;
    await run.hear(block);
    byId("progress").value = run.seconds / sound.seconds;
    say("how-far", `${Math.round(run.seconds)} of ${Math.round(sound.seconds)} s`); // a screen reader does not read it
  }
  await run.end();
  const silence = run.onlySilence ? " I hear silence." : "";
  say("status", `${page.stopped ? "Stopped" : "Done"}: ${file.name}, ${run.rows.length.toLocaleString("en")} windows.${silence}`);
}

async function hearMicrophone() {
  say("status", "Waiting for the microphone ...");
  let stop;
  const stopped = new Promise((resolve, reject) => (stop = (error) => (error ? reject(error) : resolve())));
  page.stop = () => stop();
  const early = []; // blocks that come before the model is ready for the stream
  let receive = (block) => early.push(block);
  const microphone = await openMicrophone((block) => receive(block), page.stop);
  try {
    await begin("microphone", microphone.rate, 0);
    page.run.keeping = true;
    receive = (block) => page.run.hear(block).catch(stop);
    early.forEach(receive);
    say("status", `Listening. The first prediction needs ${windowSeconds().toFixed(1)} s of sound.`);
    await stopped;
  } finally {
    await microphone.close();
  }
  const { run } = page;
  await run.end();
  if (!run.rows.length) throw new Problem("The stream ended without a sample; is the microphone switched on?");
  say("status", `Stopped after ${run.seconds.toFixed(1)} s.${run.onlySilence ? " I heard only silence." : ""}`);
}

function windowSeconds() {
  const { n_samples, sample_rate } = page.metadata.features;
  return Number(byId("window").value) || n_samples / sample_rate;
}

byId("microphone").onclick = () => alone(hearMicrophone);
byId("open").onclick = () => byId("file").click();
byId("file").onchange = () => {
  const [file] = byId("file").files;
  if (file) alone(() => hearFile(file)).finally(() => (byId("file").value = ""));
};
byId("stop").onclick = () => {
  page.stopped = true;
  page.stop?.();
};
byId("save-sound").onclick = () => save(wavFile(page.run.sound, page.run.rate), "heard.wav");
byId("save-table").onclick = () => save(new Blob([page.run.table()], { type: "text/csv" }), "predictions.csv");
document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
};
document.ondragleave = (event) => event.relatedTarget || document.body.classList.remove("dropping");
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer.files;
  if (file && document.documentElement.dataset.ready) alone(() => hearFile(file));
};

start().catch((error) => {
  say("status", "The page cannot start.");
  say("problem", `${error.message}.`);
});
