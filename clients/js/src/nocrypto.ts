/** In the place of Node's module `crypto` (build.mjs): the platform's WebCrypto, or none. */

export const webcrypto = globalThis.crypto;
