/**
 * The hashes of a body that comes in pieces: MD5 for the ETag of what a client sends, SHA-256 for what
 * equality of sites rests on. Who computes them, and on which thread, is the composition root's to say.
 */
import { createHash, type Hash, hash } from 'node:crypto'

export interface BodyDigests {
  readonly md5: Buffer
  readonly sha256: Buffer
}

/** Of a small body, at once. */
export function digestsOf(bytes: Uint8Array): BodyDigests {
  return { md5: hash('md5', bytes, 'buffer'), sha256: hash('sha256', bytes, 'buffer') }
}

/** What is given the bytes of a body on their way into the store. */
export interface ByteHasher {
  /**
   * Takes the next bytes. They must stay as they are until it resolves; undefined when that is now.
   * What fails fails every later call, too.
   */
  update(bytes: Uint8Array): Promise<void> | undefined
  /** Nobody asks for digests any more; harmless when there is nothing to give up. */
  close(): void
}

/** Of a body that a client sends. */
export interface BodyHasher extends ByteHasher {
  /** Of all that was taken; the last call. */
  digest(): Promise<BodyDigests>
}

/** Of a body whose ETag is known: its SHA-256 says whether it came whole. */
export interface ContentHasher extends ByteHasher {
  /** Of all that was taken; the last call. */
  digest(): Promise<Buffer>
}

/** Who hashes large bodies. */
export interface Hashing {
  openBody(): BodyHasher
  openContent(): ContentHasher
}

/** On the thread that asks. */
export const inlineHashing: Hashing = {
  openBody: () => new InlineBodyHasher(),
  openContent: () => new InlineContentHasher(),
}

class InlineContentHasher implements ContentHasher {
  readonly #sha256: Hash = createHash('sha256')

  update(bytes: Uint8Array): undefined {
    this.#sha256.update(bytes)
  }

  async digest(): Promise<Buffer> {
    return this.#sha256.digest()
  }

  close(): void {
    // There is nothing that would go on.
  }
}

class InlineBodyHasher implements BodyHasher {
  readonly #md5: Hash = createHash('md5')
  readonly #content = new InlineContentHasher()

  update(bytes: Uint8Array): undefined {
    this.#md5.update(bytes)
    this.#content.update(bytes)
  }

  async digest(): Promise<BodyDigests> {
    return { md5: this.#md5.digest(), sha256: await this.#content.digest() }
  }

  close(): void {
    // There is nothing that would go on.
  }
}
