/** Finds the requests in what a client sends over one connection, so that they can be sent again. */

const headBytesMax = 64 * 1024
/** Longer requests are passed over. */
const requestBytesMax = 2 * 2 ** 20
const endOfHead = '\r\n\r\n'

export class RequestRecorder {
  readonly #onRequest: (request: Buffer) => void
  #head = Buffer.alloc(0)
  /** Of the request that is being read; undefined when it is not kept. */
  #pieces: Buffer[] | undefined
  #left = 0
  /** No HTTP, or a body without a length: requests cannot be told apart from here on. */
  #isLost = false

  constructor(onRequest: (request: Buffer) => void) {
    this.#onRequest = onRequest
  }

  /** Part of a body has come, and the rest has not. */
  get isInBody(): boolean {
    return this.#left > 0
  }

  feed(bytes: Buffer): void {
    let rest = bytes
    while (rest.length > 0 && !this.#isLost) {
      rest = this.#left > 0 ? this.#feedBody(rest) : this.#feedHead(rest)
    }
  }

  #feedBody(bytes: Buffer): Buffer {
    const taken = bytes.subarray(0, this.#left)
    this.#pieces?.push(taken)
    this.#left -= taken.length
    if (this.#left === 0) this.#end()
    return bytes.subarray(taken.length)
  }

  #feedHead(bytes: Buffer): Buffer {
    const before = this.#head.length
    this.#head = Buffer.concat([this.#head, bytes])
    const end = this.#head.indexOf(endOfHead)
    if (end === -1) {
      this.#isLost = this.#head.length > headBytesMax
      return bytes.subarray(bytes.length)
    }
    const head = this.#head.subarray(0, end + endOfHead.length)
    const text = head.toString('latin1').toLowerCase()
    this.#isLost = text.includes('\r\ntransfer-encoding:')
    this.#left = Number(/\r\ncontent-length: *(\d+)/.exec(text)?.[1] ?? 0)
    this.#pieces = this.#left <= requestBytesMax ? [head] : undefined
    this.#head = Buffer.alloc(0)
    if (this.#left === 0) this.#end()
    return bytes.subarray(head.length - before)
  }

  #end(): void {
    if (this.#pieces !== undefined && !this.#isLost) this.#onRequest(Buffer.concat(this.#pieces))
    this.#pieces = undefined
  }
}
