// The sampling rate in the header of compressed sound. The Web Audio API does not tell it.

const MPEG = { 3: 1, 2: 2, 0: 4 }; // version of MPEG audio -> by what its rates are divided
const MPEG_RATES = [44_100, 48_000, 32_000];
const OPUS_RATE = 48_000; // every decoder of Opus returns this rate
const AT_ONCE = 2 ** 16; // bytes

/** The rate in Hz of a file (a Blob): WAV of any coding, FLAC, Ogg or MP3; null for another format. */
export async function codedRate(file) {
  const view = await bytes(file, 0);
  const start = text(view);
  if (start.startsWith("RIFF")) return after(start, "fmt ", 12, (at) => view.getUint32(at, true));
  if (start.startsWith("fLaC") || (start.startsWith("OggS") && start.includes("\x7fFLAC")))
    return after(start, "fLaC", 18, (at) => view.getUint32(at) >>> 12); // the first 20 bits
  if (start.startsWith("OggS") && start.includes("OpusHead")) return OPUS_RATE;
  if (start.startsWith("OggS")) return after(start, "\x01vorbis", 12, (at) => view.getUint32(at, true));
  return mpegRate(await bytes(file, tagSize(view)));
}

async function bytes(file, start) {
  return new DataView(await file.slice(start, start + AT_ONCE).arrayBuffer());
}

function text(view) {
  return new TextDecoder("latin1").decode(view);
}

/** What `read` finds so many bytes after the start of a word; null without the word, or if the file ends there. */
function after(start, word, n, read) {
  const at = start.indexOf(word);
  return at < 0 || at + n + 4 > start.length ? null : read(at + n);
}

/** Bytes of the tag ID3 before the sound; its size has 7 bits in each byte. */
function tagSize(view) {
  if (view.byteLength < 10 || !text(view).startsWith("ID3")) return 0;
  return 10 + [6, 7, 8, 9].reduce((size, at) => size * 128 + view.getUint8(at), 0);
}

function mpegRate(view) {
  if (view.byteLength < 4 || view.getUint16(0) >>> 5 !== 0x7ff) return null; // 11 bits begin every frame
  const divisor = MPEG[(view.getUint8(1) >>> 3) & 3];
  const rate = MPEG_RATES[(view.getUint8(2) >>> 2) & 3];
  return divisor && rate ? rate / divisor : null;
}
