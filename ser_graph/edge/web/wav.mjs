// WAV files: read piece by piece, so that hours of sound need little memory; and written.

import { Problem } from "./problem.mjs";

const AT_ONCE = 2 ** 16; // samples of each channel in a block
const UNKNOWN = 2 ** 31 - 2 ** 16; // bytes: programs that write into a pipe promise 0 bytes, or at least so many
// Chunks that follow the sound. If one comes at once, the recording is empty; otherwise its size was never written.
const AFTER_SOUND = ["LIST", "INFO", "id3 ", "ID3 ", "bext", "cue ", "fact", "iXML", "JUNK", "smpl"];
const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe];

// Format code and bits -> a function that reads a sample in -1..1.
const READERS = {
  [`${PCM},8`]: (view, at) => (view.getUint8(at) - 128) / 2 ** 7,
  [`${PCM},16`]: (view, at) => view.getInt16(at, true) / 2 ** 15,
  [`${PCM},24`]: (view, at) => (view.getUint16(at, true) | (view.getInt8(at + 2) << 16)) / 2 ** 23,
  [`${PCM},32`]: (view, at) => view.getInt32(at, true) / 2 ** 31,
  [`${FLOAT},32`]: (view, at) => view.getFloat32(at, true),
  [`${FLOAT},64`]: (view, at) => view.getFloat64(at, true),
};

/** Reads the header of a WAV file (a Blob): `rate`, `seconds` and `blocks()`; null for another or a compressed file. */
export async function openWav(file, name = file.name) {
  const header = await readHeader(file, name);
  const read = header && READERS[`${header.code},${header.bits}`];
  if (!read || !header.channels || !header.rate) return null;
  const frame = (header.channels * header.bits) / 8;
  const promised = header.size;
  const held = AFTER_SOUND.includes(header.next) && !promised ? 0 : file.size - header.start;
  if (promised && promised < UNKNOWN && held < promised)
    throw new Problem(
      `${name} is truncated (the header promises ${promised} bytes of sound, there are ${held}); fetch it again`,
    );
  const frames = Math.floor((promised && promised < UNKNOWN ? promised : held) / frame);
  if (!frames) throw new Problem(`${name} is empty (a header without samples); record it again`);
  return { rate: header.rate, seconds: frames / header.rate, blocks: () => blocks(file, header, frames, frame, read) };
}

/** Blocks of mono samples (channels averaged), as Float32Arrays. */
async function* blocks(file, { start, channels, bits }, frames, frame, read) {
  for (let done = 0; done < frames; done += AT_ONCE) {
    const n = Math.min(AT_ONCE, frames - done);
    const piece = file.slice(start + done * frame, start + (done + n) * frame);
    const view = new DataView(await piece.arrayBuffer());
    const block = new Float32Array(n);
    for (let at = 0, place = 0; place < n; place++) {
      let sum = 0;
      for (let channel = 0; channel < channels; channel++, at += bits / 8) sum += read(view, at);
      block[place] = sum / channels;
    }
    yield block;
  }
}

/** The format of a WAV, and the place and the bytes of its sound; null if the file is no WAV. */
async function readHeader(file, name) {
  if (!/^RIFF....WAVE$/s.test(word(await part(file, 0, 12), 0, 12))) return null;
  let format = {};
  for (let at = 12; at + 8 <= file.size; ) {
    const chunk = await part(file, at, 8);
    const size = chunk.getUint32(4, true);
    if (word(chunk, 0, 4) === "data")
      return { ...format, start: at + 8, size, next: word(await part(file, at + 8, 4), 0, 4) };
    if (word(chunk, 0, 4) === "fmt " && size >= 16 && at + 24 <= file.size)
      format = readFormat(await part(file, at + 8, Math.min(size, 26)));
    at += 8 + size + (size % 2);
  }
  throw new Problem(`${name} is truncated (it ends within its WAV header); fetch it again`);
}

function readFormat(view) {
  let code = view.getUint16(0, true);
  if (code === EXTENSIBLE && view.byteLength >= 26) code = view.getUint16(24, true); // the code is further on
  return { code, channels: view.getUint16(2, true), rate: view.getUint32(4, true), bits: view.getUint16(14, true) };
}

async function part(file, start, size) {
  return new DataView(await file.slice(start, start + size).arrayBuffer());
}

function word(view, start, size) {
  const bytes = new Uint8Array(view.buffer, start, Math.min(size, view.byteLength - start));
  return String.fromCharCode(...bytes);
}

/** A WAV file (a Blob) of mono blocks in 32-bit float: every sample as it was heard. */
export function wavFile(blocks, rate) {
  const size = 4 * blocks.reduce((sum, block) => sum + block.length, 0);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, place) => header.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, FLOAT, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, 4 * rate, true);
  header.setUint16(32, 4, true);
  header.setUint16(34, 32, true);
  text(36, "data");
  header.setUint32(40, size, true);
  return new Blob([header, ...blocks], { type: "audio/wav" });
}
