/** A pause that something else may end. A wake-up that comes while nobody waits ends the next pause at once. */
export class WakeUp {
  #end: (() => void) | null = null;
  #pending = false;

  /** True when it was woken, false when the time was over. */
  wait(durationMs: number): Promise<boolean> {
    if (this.#pending) {
      this.#pending = false;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#end = null;
        resolve(false);
      }, durationMs);
      this.#end = () => {
        clearTimeout(timer);
        this.#end = null;
        resolve(true);
      };
    });
  }

  wake(): void {
    if (this.#end !== null) this.#end();
    else this.#pending = true;
  }
}
