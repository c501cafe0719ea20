/**
 * The MD5 and SHA-256 of a body that comes in pieces: the ETag, and what equality of sites rests on.
 * Who computes them, and on which thread, is the composition root's to say.
 */
import { createHash, type Hash } from 'node:crypto'

export interface BodyDigests {
  readonly md5: Buffer
  readonly sha256: Buffer
}

export interface BodyHasher {
  /**
   * Takes the next bytes. They must stay as they are until it resolves; undefined when that is now.
   * What fails fails every later call, too.
   */
  update(bytes: Uint8Array): Promise<void> | undefined
  /** Of all that was taken; the last call. */
  digest(): Promise<BodyDigests>
  /** Nobody asks for digests any more; harmless when there is nothing to give up. */
  close(): void
}

export type OpenHasher = () => BodyHasher

/** On the thread that asks. */
export class InlineHasher implements BodyHasher {
  readonly #md5: Hash = createHash('md5')
  readonly #sha256: Hash = createHash('sha256')

  update(bytes: Uint8Array): undefined {
    this.#md5.update(bytes)
    this.#sha256.update(bytes)
  }

  async digest(): Promise<BodyDigests> {
    return { md5: this.#md5.digest(), sha256: this.#sha256.digest() }
  }

  close(): void {
    // There is nothing that would go on.
  }
}
