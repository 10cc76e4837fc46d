// The microphone as it is: without the browser's changes of the sound, which the student has not learnt.

import { Problem } from "./problem.mjs";

const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const REASONS = {
  NotAllowedError: "The microphone was refused; allow it for this page in the browser's settings, then try again",
  NotFoundError: "No microphone was found; connect one, or open a sound file",
  NotReadableError: "The microphone cannot be used; another program may be using it",
};

/** Opens the microphone: its `rate`, and `close()`. Each mono block goes to `onblock`, the end to `onend`. */
export async function openMicrophone(onblock, onend) {
  if (!navigator.mediaDevices?.getUserMedia)
    throw new Problem(
      "The browser gives this page no microphone; open the page by https:// or from http://localhost, " +
        "or open a sound file",
    );
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: RAW });
  } catch (error) {
    throw new Problem(REASONS[error.name] ?? `The microphone cannot be used (${error.message || error.name})`);
  }
  const [track] = stream.getAudioTracks();
  const context = new AudioContext();
  const capture = await connected(context, stream).catch(async (error) => {
    track.stop(); // the browser must not show a microphone in use
    await context.close();
    throw new Problem(`The browser cannot read the microphone (${error.message || error.name})`);
  });
  capture.port.onmessage = ({ data }) => onblock(data);
  track.onended = onend; // unplugged
  return {
    rate: context.sampleRate,
    async close() {
      capture.port.onmessage = null;
      track.stop();
      await context.close();
    },
  };
}

async function connected(context, stream) {
  await context.audioWorklet.addModule(new URL("capture.mjs", import.meta.url));
  await context.resume();
  const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  context.createMediaStreamSource(stream).connect(capture);
  return capture;
}
