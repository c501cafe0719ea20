import type { Clock } from '../../base/clock.ts'
import { giveBack } from '../../base/give-back.ts'
import { Bandwidth } from './bandwidth.ts'
import {
  type CompressedKind,
  CompressionGate,
  type CompressionMode,
  packedStream,
} from './compression.ts'

export interface LinkTrafficOptions {
  readonly clock: Clock
  readonly compression: CompressionMode
  /** Bytes per second; 0 for no limit. */
  readonly bandwidthLimit: number
  /** Goes on from there: what was sent before the link was paused, or changed. */
  readonly sent?: SentBytes
}

/** Since this process began. */
export interface SentBytes {
  /** Changes and the bytes of large objects. */
  wireBytes: number
  /** How many more it would have been without compression. */
  savedBytes: number
}

/** What goes over the wire to one remote: how fast, in what form, and how much it was. */
export class LinkTraffic {
  readonly bandwidth: Bandwidth
  readonly #gates: Readonly<Record<CompressedKind, CompressionGate>>
  readonly #sent: SentBytes

  constructor({ clock, compression, bandwidthLimit, sent }: LinkTrafficOptions) {
    this.#sent = sent ?? { wireBytes: 0, savedBytes: 0 }
    this.bandwidth = new Bandwidth(clock, bandwidthLimit)
    this.#gates = {
      batch: new CompressionGate(compression, 'batch'),
      body: new CompressionGate(compression, 'body'),
    }
  }

  get wireBytes(): number {
    return this.#sent.wireBytes
  }

  get savedBytes(): number {
    return this.#sent.savedBytes
  }

  gate(what: CompressedKind): CompressionGate {
    return this.#gates[what]
  }

  /**
   * The same bytes, counted, and as fast as the remote may be sent to.
   * @param options `passing`: a piece is good until the next one is asked for, and its memory is given back then
   */
  async *paced(
    bytes: AsyncIterable<Uint8Array>,
    options: { readonly urgent: boolean; readonly passing?: boolean; readonly signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    const { bandwidth } = this
    for await (const piece of bytes) {
      const { length } = piece
      for (let at = 0; at < length; ) {
        const step = bandwidth.isLimited
          ? piece.subarray(at, at + bandwidth.pieceBytes)
          : piece.subarray(at)
        await bandwidth.spend(step.length, options)
        this.sent(step.length)
        at += step.length
        yield step
      }
      if (options.passing === true) giveBack(piece)
    }
  }

  sent(wireBytes: number): void {
    this.#sent.wireBytes += wireBytes
  }

  saved(bytes: number): void {
    this.#sent.savedBytes += Math.max(0, bytes)
  }
}

/** Bytes as they are to travel. */
export interface WireBytes {
  readonly bytes: AsyncIterable<Uint8Array>
  readonly isPacked: boolean
}

/**
 * The bytes of a large object, compressed if the receiver wants that and the first of them say that
 * it pays. What it saves is noted when they end.
 */
export async function packedWhereItPays(
  bytes: AsyncIterable<Uint8Array>,
  options: { readonly length: number; readonly wanted: boolean; readonly traffic: LinkTraffic },
): Promise<WireBytes> {
  const { length, wanted, traffic } = options
  if (!wanted) return { bytes, isPacked: false }
  const iterator = bytes[Symbol.asyncIterator]()
  const first = await iterator.next()
  const whole = startingWith(first, iterator)
  const gate = traffic.gate('body')
  const pays = first.done !== true && gate.pays([first.value], first.value.length)
  return pays
    ? { bytes: tallied(packedStream(whole), { length, traffic, gate }), isPacked: true }
    : { bytes: whole, isPacked: false }
}

/** The pieces of an iterator whose first result is known already; ending it ends the iterator. */
export async function* startingWith<T>(
  first: IteratorResult<T>,
  rest: AsyncIterator<T>,
): AsyncGenerator<T> {
  try {
    for (let step = first; step.done !== true; step = await rest.next()) yield step.value
  } finally {
    await rest.return?.()
  }
}

async function* tallied(
  bytes: AsyncIterable<Uint8Array>,
  options: {
    readonly length: number
    readonly traffic: LinkTraffic
    readonly gate: CompressionGate
  },
): AsyncGenerator<Uint8Array> {
  const { length, traffic, gate } = options
  let wireLength = 0
  for await (const piece of bytes) {
    wireLength += piece.length
    yield piece
  }
  traffic.saved(length - wireLength)
  gate.learned(length, wireLength)
}
