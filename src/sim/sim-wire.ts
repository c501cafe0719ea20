/**
 * What HTTP's transports make of bytes before they travel, and of them when they have come: packed
 * where it pays and the other site takes it, and sent no faster than the limit allows. The decisions
 * are the real ones; packing itself is done in one step here, since the thread pool has a time of its
 * own, and each piece of a large object is packed alone.
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { MalformedBytesError } from '../base/byte-reader.ts'
import type { LinkTraffic } from '../replication/wire/link-traffic.ts'
import { acceptedParts, type HelloAnswer } from '../replication/wire/protocol.ts'
import type { Trace } from './trace.ts'

/** Bytes as they travel; `plainLength` is set when they are packed. */
export interface SentBytes {
  readonly bytes: Buffer
  readonly plainLength: number | undefined
}

export class SimWire {
  readonly traffic: LinkTraffic
  readonly #trace: Trace
  #isPackedTaken = false

  constructor(traffic: LinkTraffic, trace: Trace) {
    this.traffic = traffic
    this.#trace = trace
  }

  /** What the other site takes, as it last said. */
  heard({ accepts }: Pick<HelloAnswer, 'accepts'>): void {
    this.#isPackedTaken = accepts?.includes(acceptedParts.zstd) === true
  }

  /** A batch, once it may be sent. */
  async batch(pieces: readonly Uint8Array[], signal: AbortSignal): Promise<SentBytes> {
    const sent = this.#isPackedTaken ? this.#pack('batch', pieces) : plain(Buffer.concat(pieces))
    await this.traffic.bandwidth.spend(sent.bytes.length, { urgent: true, signal })
    return sent
  }

  /** Bytes of a large object, as fast as they may be sent. */
  async *body(
    bytes: AsyncIterable<Uint8Array>,
    { wanted, signal }: { readonly wanted: boolean; readonly signal: AbortSignal },
  ): AsyncGenerator<SentBytes> {
    for await (const piece of this.traffic.paced(bytes, { urgent: false, signal })) {
      yield wanted ? this.#pack('body', [piece]) : plain(Buffer.from(piece))
    }
  }

  /** The same for a site that this one pushes to. */
  pushed(bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<SentBytes> {
    return this.body(bytes, { wanted: this.#isPackedTaken, signal })
  }

  #pack(what: 'batch' | 'body', pieces: readonly Uint8Array[]): SentBytes {
    const bytes = Buffer.concat(pieces)
    const gate = this.traffic.gate(what)
    if (!gate.pays(pieces, bytes.length)) return plain(bytes)
    const packed = zstdCompressSync(bytes)
    if (!gate.learned(bytes.length, packed.length)) return plain(bytes)
    this.#trace.count(`packed-${what}`)
    this.traffic.saved(bytes.length - packed.length)
    return { bytes: packed, plainLength: bytes.length }
  }
}

/** @throws MalformedBytesError */
export function arrived({ bytes, plainLength }: SentBytes): Buffer {
  if (plainLength === undefined) return Buffer.from(bytes)
  const unpacked = zstdDecompressSync(bytes)
  if (unpacked.length === plainLength) return unpacked
  throw new MalformedBytesError(`${unpacked.length} bytes were packed, not ${plainLength}`)
}

function plain(bytes: Buffer): SentBytes {
  return { bytes, plainLength: undefined }
}
