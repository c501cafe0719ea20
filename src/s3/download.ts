/**
 * A large object on its way to one client. To one that takes what it is given the store reads several
 * pieces ahead, as the budget allows. One that takes nothing for a while holds what the socket holds
 * of one piece, and gets small pieces then, none of them read ahead, until it keeps up again.
 */
import type { ByteRange, OpenObject, ReadOptions } from '../store/model/object-store.ts'
import type { Exchange } from './exchange.ts'
import { HeldBytes } from './held-bytes.ts'
import { slowPieceBytes, streamWindowBytes } from './limits.ts'
import type { WatchedTransfer } from './progress-watch.ts'
import { writePieces } from './response-body.ts'
import type { S3Service } from './service.ts'

/** The most that is read at once. */
const pieceBytes = 2 ** 20
/** Handed out and read ahead, for a client that keeps up while the budget is at most half used. */
const piecesMax = 4
/** A slow client that took so many small pieces without a pause is slow no more. */
const quickPiecesMin = 32

export interface DownloadSource {
  readonly object: OpenObject
  readonly range: ByteRange
  /** Reading may end anywhere and begin anew there; what another site sends comes once. */
  readonly mayReadAnew: boolean
}

export class Download {
  readonly #service: S3Service
  readonly #object: OpenObject
  readonly #held: HeldBytes
  readonly #end: number
  readonly #mayReadAnew: boolean
  #at: number
  #pieces: AsyncIterator<Buffer, unknown>
  #isSlow = false
  /** What was read ahead was given up: reading begins anew behind what was taken. */
  #isCut = false
  #quickPieces = 0

  private constructor(service: S3Service, from: DownloadSource & { readonly held: HeldBytes }) {
    this.#service = service
    this.#object = from.object
    this.#held = from.held
    this.#at = from.range.start
    this.#end = from.range.end
    this.#mayReadAnew = from.mayReadAnew
    this.#pieces = this.#read()
  }

  /** `begin` sends the status: after the first piece was read, so that rot there is an error and no cut. */
  static async run(
    service: S3Service,
    exchange: Exchange,
    what: DownloadSource & { readonly begin: () => void },
  ): Promise<void> {
    const held = new HeldBytes(service.budget)
    const waiting = held.growTo(streamWindowBytes, exchange.signal)
    try {
      if (waiting !== undefined) await waiting
      const download = new Download(service, { ...what, held })
      const first = await download.#pieces.next()
      what.begin()
      await writePieces(exchange, download.#paced(first), service.watch)
    } finally {
      held.release()
    }
  }

  /** Whoever writes the pieces asks for the next one when the client has taken the last. */
  async *#paced(first: IteratorResult<Buffer, unknown>): AsyncGenerator<Buffer> {
    const { pace } = this.#service
    const transfer: WatchedTransfer = { progressAt: 0, stalled: () => this.#slowDown() }
    try {
      for (let result = first; !result.done; result = await this.#next()) {
        transfer.progressAt = pace.now()
        pace.add(transfer)
        // The piece is empty once it was taken.
        this.#at += result.value.length
        yield result.value
        pace.remove(transfer)
      }
    } finally {
      pace.remove(transfer)
      await this.#pieces.return?.()
    }
  }

  async #next(): Promise<IteratorResult<Buffer, unknown>> {
    if (this.#isCut) {
      this.#isCut = false
      this.#held.shrinkTo(slowPieceBytes)
      this.#pieces = this.#read()
    } else if (this.#isSlow && ++this.#quickPieces >= quickPiecesMin) {
      this.#isSlow = !this.#held.tryGrowTo(streamWindowBytes)
    }
    return await this.#pieces.next()
  }

  /** The client has taken nothing for a while. */
  #slowDown(): void {
    this.#quickPieces = 0
    if (this.#isSlow) return
    if (!this.#mayReadAnew) return
    this.#isSlow = true
    this.#isCut = true
    this.#held.shrinkTo(pieceBytes)
    // Only what was read ahead goes: the piece that the socket has stays.
    void this.#pieces.return?.()
  }

  #read(): AsyncIterator<Buffer, unknown> {
    const options: ReadOptions = {
      passing: true,
      pieceBytes: () => (this.#isSlow ? slowPieceBytes : pieceBytes),
      piecesAhead: () => this.#piecesAhead(),
    }
    const range = { start: this.#at, end: this.#end }
    return this.#object.read(range, options)[Symbol.asyncIterator]()
  }

  #piecesAhead(): number {
    if (this.#isSlow) return 0
    const { budget } = this.#service
    const isRoom = budget.heldBytes < budget.capacityBytes / 2
    if (isRoom) this.#held.tryGrowTo(piecesMax * pieceBytes)
    return Math.max(1, Math.floor(this.#held.bytes / pieceBytes) - 1)
  }
}
