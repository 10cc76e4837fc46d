// The page's side of worker.mjs.

import { Problem } from "./problem.mjs";

export class ModelThread {
  #worker;
  #waiting = new Map(); // id -> the functions that settle a request
  #n = 0;
  onwindow = () => {}; // called with each prediction, and what the page said about its block

  constructor() {
    // A worker from a file would have no Content-Security-Policy; a worker from a blob has that of the page.
    const script = `import ${JSON.stringify(new URL("worker.mjs", import.meta.url).href)};`;
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.#worker = new Worker(address, { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.#waiting.values())
        reject(new Problem(`The model's thread stopped (${event.message || "a file of the page is missing"})`));
      this.#waiting.clear();
    };
  }

  /** Sends a request of worker.mjs; resolves with its answer. */
  ask(kind, given = {}, transferred = []) {
    const id = this.#n++;
    this.#worker.postMessage({ id, kind, ...given }, transferred);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #receive({ window, about, id, answer, problem, known }) {
    if (window) {
      this.onwindow(window, about);
      return;
    }
    const { resolve, reject } = this.#waiting.get(id) ?? {};
    this.#waiting.delete(id);
    if (problem === undefined) resolve?.(answer);
    else reject?.(known ? new Problem(problem) : new Error(problem));
  }
}
