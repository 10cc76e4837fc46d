// In the thread of the sound: gathers the microphone's samples and sends them to the page as mono blocks.

const AT_ONCE = 2048; // samples: 43 ms at 48 kHz

class Capture extends AudioWorkletProcessor {
  #block = new Float32Array(AT_ONCE);
  #filled = 0;

  process([channels]) {
    const n = channels[0]?.length ?? 0;
    for (let place = 0; place < n; place++) {
      this.#block[this.#filled++] = channels.reduce((sum, channel) => sum + channel[place], 0) / channels.length;
      if (this.#filled === AT_ONCE) this.#send();
    }
    return true;
  }

  #send() {
    this.port.postMessage(this.#block, [this.#block.buffer]);
    this.#block = new Float32Array(AT_ONCE);
    this.#filled = 0;
  }
}

registerProcessor("capture", Capture);
