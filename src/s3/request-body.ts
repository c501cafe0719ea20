/** Bodies on their way in: small ones at once, large ones as a stream that holds its socket back. */

import { giveBackWhole } from '../base/give-back.ts'
import { S3Error } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { copyOutBytesMax, uploadQueueBytesMax } from './limits.ts'
import type { PayloadCheck } from './payload-check.ts'
import type { ProgressWatch, WatchedTransfer } from './progress-watch.ts'

/**
 * All `length` bytes of the body. From events rather than by async iteration, which costs several
 * promises for each chunk; most small bodies come in one.
 * @throws S3Error IncompleteBody when the client goes, RequestTimeout when it stands still
 */
export function collectBody(
  exchange: Exchange,
  options: { readonly length: number; readonly watch: ProgressWatch },
): Promise<Buffer> {
  const { request } = exchange
  const { length, watch } = options
  return new Promise((resolve, reject) => {
    let target: Buffer | undefined
    const transfer: WatchedTransfer = {
      progressAt: watch.now(),
      stalled: () => fail(stoodStill(exchange)),
    }
    const settle = (): void => {
      watch.remove(transfer)
      request.off('close', onClose)
      request.off('error', onClose)
    }
    const onData = (chunk: Buffer): void => {
      const at = exchange.bytesIn
      exchange.bytesIn += chunk.length
      if (chunk.length === length) {
        settle()
        resolve(copyOut(chunk))
        return
      }
      transfer.progressAt = watch.now()
      target ??= Buffer.allocUnsafe(length)
      target.set(chunk, at)
      if (exchange.bytesIn === length) {
        settle()
        resolve(target)
      }
    }
    const fail = (error: S3Error): void => {
      settle()
      request.off('data', onData)
      reject(error)
    }
    const onClose = (cause?: unknown): void => fail(new S3Error('IncompleteBody', { cause }))
    watch.add(transfer)
    request.on('data', onData)
    request.on('close', onClose)
    request.on('error', onClose)
    exchange.askForBody()
  })
}

function stoodStill(exchange: Exchange): S3Error {
  exchange.hangUpAfterAnswer()
  return new S3Error('RequestTimeout')
}

/** A small slice of a large buffer would keep all of it alive while the bytes wait for their group. */
function copyOut(chunk: Buffer): Buffer {
  const shared = chunk.buffer.byteLength > 2 * chunk.length
  return shared && chunk.length < copyOutBytesMax ? Buffer.from(chunk) : chunk
}

interface Taker {
  resolve(result: IteratorResult<Buffer>): void
  reject(reason: S3Error): void
}

/**
 * A large body as an async iterable for one reader, who asks for one piece at a time, and is done with it
 * by then: its memory is given back. The socket is paused while enough waits here. The client is asked
 * for the body with the first `next()`: a store that refuses before it reads has refused before anything
 * was sent.
 */
export class BodyStream implements AsyncIterable<Buffer>, AsyncIterator<Buffer, undefined> {
  readonly #exchange: Exchange
  readonly #watch: ProgressWatch
  readonly #check: PayloadCheck | undefined
  readonly #transfer: WatchedTransfer
  readonly #queue: Buffer[] = []
  #queuedBytes = 0
  #taker: Taker | undefined
  #handedOut: Buffer | undefined
  #state: 'idle' | 'flowing' | 'ended' | 'detached' = 'idle'
  #failure: S3Error | undefined

  constructor(
    exchange: Exchange,
    options: { readonly watch: ProgressWatch; readonly check: PayloadCheck | undefined },
  ) {
    this.#exchange = exchange
    this.#watch = options.watch
    this.#check = options.check
    this.#transfer = {
      progressAt: 0,
      stalled: () => this.#fail(stoodStill(exchange)),
    }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Buffer, undefined>> {
    if (this.#state === 'idle') this.#attach()
    this.#takeBack()
    const piece = this.#queue.shift()
    if (piece !== undefined) {
      this.#taken(piece)
      return Promise.resolve({ done: false, value: this.#handOut(piece) })
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#state !== 'flowing') return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => {
      // Standing still counts from here: while the store is busy, nobody asks the client for more.
      this.#transfer.progressAt = this.#watch.now()
      this.#watch.add(this.#transfer)
      this.#taker = { resolve, reject }
    })
  }

  /** The reader wants no more. The rest of the body stays where it is. */
  return(): Promise<IteratorResult<Buffer, undefined>> {
    this.#detach()
    return Promise.resolve({ done: true, value: undefined })
  }

  #attach(): void {
    const { request } = this.#exchange
    this.#state = 'flowing'
    if (this.#exchange.clientGone) {
      this.#fail(new S3Error('IncompleteBody'))
      return
    }
    request.on('data', this.#onData)
    request.on('end', this.#onEnd)
    request.on('close', this.#onClose)
    request.on('error', this.#onClose)
    this.#exchange.askForBody()
  }

  #detach(): void {
    const { request } = this.#exchange
    if (this.#state === 'flowing') {
      request.off('data', this.#onData)
      request.off('end', this.#onEnd)
      request.off('close', this.#onClose)
      request.off('error', this.#onClose)
      request.pause()
    }
    this.#state = 'detached'
    this.#watch.remove(this.#transfer)
    this.#queue.length = 0
    this.#queuedBytes = 0
  }

  #handOut(piece: Buffer): Buffer {
    this.#handedOut = piece
    return piece
  }

  #takeBack(): void {
    const piece = this.#handedOut
    this.#handedOut = undefined
    if (piece !== undefined) giveBackWhole(piece)
  }

  #taken(piece: Buffer): void {
    this.#queuedBytes -= piece.length
    if (this.#state === 'flowing' && this.#queuedBytes < uploadQueueBytesMax) {
      this.#exchange.request.resume()
    }
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#exchange.bytesIn += chunk.length
    this.#check?.update(chunk)
    const taker = this.#takeTaker()
    if (taker !== undefined) {
      taker.resolve({ done: false, value: this.#handOut(chunk) })
      return
    }
    this.#queue.push(chunk)
    this.#queuedBytes += chunk.length
    if (this.#queuedBytes >= uploadQueueBytesMax) this.#exchange.request.pause()
  }

  readonly #onEnd = (): void => {
    this.#state = 'ended'
    try {
      this.#check?.verify()
    } catch (thrown) {
      if (!(thrown instanceof S3Error)) throw thrown
      this.#fail(thrown)
    }
    this.#takeTaker()?.resolve({ done: true, value: undefined })
  }

  readonly #onClose = (cause?: unknown): void => {
    if (this.#state === 'flowing') this.#fail(new S3Error('IncompleteBody', { cause }))
  }

  #fail(error: S3Error): void {
    this.#failure = error
    const taker = this.#takeTaker()
    this.#detach()
    taker?.reject(error)
  }

  #takeTaker(): Taker | undefined {
    const taker = this.#taker
    if (taker === undefined) return undefined
    this.#taker = undefined
    this.#watch.remove(this.#transfer)
    return taker
  }
}
