/** What user code returned: a value, or a promise of any make. Nothing that it does can throw here. */

/** False: certainly no promise, so a synchronous function has ended. */
export function mayBePromise(value: unknown): boolean {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** Calls exactly one of the two, later, once. A plain object counts as the value that it is. */
export function whenSettled(
  value: unknown,
  onValue: (value: unknown) => void,
  onError: (thrown: unknown) => void,
): void {
  // An ordinary promise is followed directly; anything else (a subclass, a library's lazy thenable, a promise with its own
  // `then`) is wrapped, which costs a turn but holds it to one answer.
  const promise = isOrdinary(value) ? value : new Promise((resolve) => resolve(value));
  void Promise.prototype.then.call(promise, onValue, onError);
}

function isOrdinary(value: unknown): value is Promise<unknown> {
  try {
    return value instanceof Promise && value.constructor === Promise;
  } catch {
    return false; // a proxy that throws: wrapped, so that its error becomes a rejection
  }
}
