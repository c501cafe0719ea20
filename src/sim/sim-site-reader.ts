/** Single objects of another site, read over the simulated network: what HTTP does for it otherwise. */

import { ObjectGoneError, RemoteUnreachableError } from '../replication/wire/errors.ts'
import { parseReadQuestion, type VersionedObject } from '../replication/wire/read-documents.ts'
import type { SiteReader } from '../replication/wire/site-reader.ts'
import type { OpenObject } from '../store/model/object-store.ts'
import { callOf, type Peer, type TransportOptions } from './sim-transport.ts'
import { Violation } from './violation.ts'

export class SimSiteReader implements SiteReader {
  readonly #options: TransportOptions
  readonly #to: string
  readonly #closed = new AbortController()

  constructor(options: TransportOptions & { readonly to: string }) {
    this.#options = options
    this.#to = options.to
  }

  look(question: string, signal: AbortSignal): Promise<Buffer> {
    const asked = parseReadQuestion(question)
    if (asked.ask !== 'object') throw new Violation('reads', 'a look asks for bytes')
    return this.#call('look', signal, async ({ reads }) => Buffer.from(await reads.look(asked)))
  }

  /** The other site reads everything before the first piece leaves; then they travel one by one. */
  async readBytes(
    question: string,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<AsyncIterable<Buffer>> {
    const asked = parseReadQuestion(question)
    if (asked.ask !== 'bytes') throw new Violation('reads', 'bytes are asked for with a look')
    const { start, end } = asked
    const served = await this.#call(`read ${start}-${end}`, signal, async (peer) => {
      let pieces: readonly Buffer[] = []
      await peer.reads.withObject(asked, async (object) => {
        pieces = await piecesOf(object, asked)
      })
      return { peer, pieces }
    })
    return this.#travelling(served, signal)
  }

  async bringBytes(
    object: VersionedObject,
    { bytes }: { readonly bytes: () => AsyncIterable<Uint8Array> },
    signal: AbortSignal,
  ): Promise<void> {
    const result = await this.#call('mend', signal, ({ reads }) => reads.mend(object, bytes()))
    if (result !== 'mended') throw new ObjectGoneError(`the other site answers: ${result}`)
  }

  async close(): Promise<void> {
    this.#closed.abort()
  }

  async *#travelling(
    { peer, pieces }: { readonly peer: Peer; readonly pieces: readonly Buffer[] },
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    for (const piece of pieces) {
      const serve = async (now: Peer): Promise<Buffer> => {
        if (now.reads === peer.reads) return piece
        throw new RemoteUnreachableError('the site was started again')
      }
      yield await this.#options.network.piece(
        callOf(this.#options, {
          what: 'read piece',
          to: this.#to,
          signal: this.#both(signal),
          serve,
        }),
      )
    }
  }

  #call<T>(what: string, signal: AbortSignal, serve: (peer: Peer) => Promise<T>): Promise<T> {
    return this.#options.network.call(
      callOf(this.#options, { what, to: this.#to, signal: this.#both(signal), serve }),
    )
  }

  #both(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#closed.signal])
  }
}

async function piecesOf(
  object: OpenObject,
  range: { readonly start: number; readonly end: number },
): Promise<readonly Buffer[]> {
  const pieces: Buffer[] = []
  for await (const piece of object.read(range)) pieces.push(Buffer.from(piece))
  return pieces
}
