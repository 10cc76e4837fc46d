// What an exported student says of itself: the metadata inside the ONNX file.

import { Problem } from "./problem.mjs";

const FORMAT = "ser_graph.onnx";
const VERSION = 1;
const KEY = "ser_graph";
const METADATA_PROPS = 14; // number of the field in ONNX's ModelProto

/** Reads emotions, features and the other metadata of an exported student: bytes of the file -> object. */
export function readMetadata(bytes, name = "model.onnx") {
  const metadata = parsed(entries(bytes).get(KEY));
  if (metadata?.format !== FORMAT)
    throw new Problem(`${name} was not made by 'ser-graph export'; export a student with this command`);
  if (metadata.version !== VERSION)
    throw new Problem(
      `${name} was exported by another version of ser_graph (format ${metadata.version}, expected ${VERSION}); ` +
        "export the student again with the version that made this page",
    );
  return metadata;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function entries(bytes) {
  const found = new Map();
  const text = new TextDecoder();
  try {
    for (const { number, value } of fields(bytes)) {
      if (number !== METADATA_PROPS) continue;
      const [key, content] = [...fields(value)].map((field) => text.decode(field.value));
      found.set(key, content);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file is truncated, or no protocol buffer
  }
  return found;
}

/** The fields of a message of protocol buffers: their number, and the bytes of those that have a length. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      if (at >= bytes.length || scale > 2 ** 63) throw new RangeError("no varint");
      value += (bytes[at] & 127) * scale;
      if (bytes[at++] < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    if (type === 2) {
      const length = varint();
      if (at + length > bytes.length) throw new RangeError("truncated");
      yield { number, value: bytes.subarray(at, at + length) };
      at += length;
    } else if (type === 0) varint();
    else if (type === 1 || type === 5) at += type === 1 ? 8 : 4;
    else throw new RangeError("no such type");
  }
}
