// Sound files: WAV is read piece by piece, every other format is decoded by the browser, as a whole.

import { codedRate } from "./coded_rate.mjs";
import { Problem } from "./problem.mjs";
import { openWav } from "./wav.mjs";

const MOST_MINUTES = 60; // of a file that the browser decodes as a whole: about 1.3 GB while it does
const AT_ONCE = 2 ** 16; // samples in a block

/** Opens a sound file: `rate`, `seconds` and `blocks()`, mono Float32Arrays; `sampleRate` is that of the model. */
export async function openSound(file, sampleRate) {
  if (!file.size) throw new Problem(`${file.name} is empty (0 bytes); copy it again`);
  return (await openWav(file)) ?? decoded(file, sampleRate);
}

async function decoded(file, sampleRate) {
  const minutes = (await duration(file)) / 60;
  if (minutes > MOST_MINUTES)
    throw new Problem(
      `${file.name} lasts ${Math.round(minutes)} minutes; the browser decodes at most ${MOST_MINUTES} minutes of ` +
        "compressed sound: convert the file to WAV, which this page reads piece by piece",
    );
  const context = contextOf(await codedRate(file), sampleRate);
  let buffer;
  try {
    buffer = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Problem(`The browser cannot decode ${file.name}; expected sound, e.g. WAV, MP3, FLAC or Ogg`);
  }
  return { rate: buffer.sampleRate, seconds: buffer.duration, blocks: () => blocks(buffer) };
}

/** What decodes at the rate of the file. The browser would resample to another rate in its own way, not in ours. */
function contextOf(rate, sampleRate) {
  try {
    return new OfflineAudioContext(1, 1, rate ?? sampleRate);
  } catch {
    return new OfflineAudioContext(1, 1, sampleRate); // a rate that the browser does not know
  }
}

function* blocks(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel));
  for (let start = 0; start < buffer.length; start += AT_ONCE) {
    const length = Math.min(AT_ONCE, buffer.length - start);
    const mean = (_, place) => channels.reduce((sum, samples) => sum + samples[start + place], 0) / channels.length;
    yield Float32Array.from({ length }, mean);
  }
}

/** Seconds of a file by its header; 0 if the browser does not know. */
function duration(file) {
  const player = new Audio();
  const address = URL.createObjectURL(file);
  return new Promise((resolve) => {
    player.onloadedmetadata = () => resolve(Number.isFinite(player.duration) ? player.duration : 0);
    player.onerror = () => resolve(0);
    player.preload = "metadata";
    player.src = address;
  }).finally(() => {
    player.removeAttribute("src");
    URL.revokeObjectURL(address);
  });
}
