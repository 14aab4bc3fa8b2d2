/**
 * Tells a person what a node waits for, once. What is over within a moment (an election, a link) is not worth a line; a
 * missing node is, since nothing goes on before somebody starts it.
 */

const STANDS_MS = 1_000;

export class WaitNotice {
  #text = "";
  #since = 0;
  #told = false;

  /** `text`: what the node waits for now, "" for nothing. Returns the line to log, "" for none. */
  look(text: string, now: number): string {
    if (text !== this.#text) {
      this.#text = text;
      this.#since = now;
      this.#told = false;
    }
    if (text === "" || this.#told || now - this.#since < STANDS_MS) return "";
    this.#told = true;
    return text;
  }
}
