/** What can go wrong with a filter. Each class is one cause; none is retriable, because the same bytes fail again. */

export type BloomErrorCode = "BLOOM_PARAMETERS" | "BLOOM_INCOMPATIBLE" | "BLOOM_MALFORMED" | "BLOOM_GENERATION";

export class BloomError extends Error {
  readonly code: BloomErrorCode;
  readonly retriable = false;

  constructor(code: BloomErrorCode, message: string) {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A parameter is outside its limits; the message names it and the limits. */
export class BloomParameterError extends BloomError {
  constructor(message: string) {
    super("BLOOM_PARAMETERS", message);
  }
}

/** Two filters differ in geometry, k or seed: their bits do not mean the same keys and are never mixed. */
export class BloomIncompatibleError extends BloomError {
  constructor(message: string) {
    super("BLOOM_INCOMPATIBLE", message);
  }
}

/** Bytes from a peer or a file are not what they claim to be. Nothing of them was applied. */
export class BloomMalformedError extends BloomError {
  constructor(message: string) {
    super("BLOOM_MALFORMED", message);
  }
}

/** A generation id goes backwards, or names a generation that is not held. */
export class BloomGenerationError extends BloomError {
  constructor(message: string) {
    super("BLOOM_GENERATION", message);
  }
}
