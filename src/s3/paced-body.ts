/**
 * A streamed upload as the store gets it: when its client sends next to nothing for a while, the store is
 * told by an empty piece, and what the upload holds of the budget goes to others. It is held again once
 * enough has come to be worth it; until then the client is held back.
 */
import type { HeldBytes } from './held-bytes.ts'
import { slowPieceBytes } from './limits.ts'
import type { ProgressWatch } from './progress-watch.ts'
import type { BodyStream } from './request-body.ts'

const nothing = Buffer.alloc(0)

/**
 * So often the store can put away what has come. An upload that rests oftener keeps what it holds, as the
 * store does what it cannot put away.
 */
const restsMax = 1024

type Taken = IteratorResult<Buffer, undefined>
type PacedSource = Pick<BodyStream, 'next' | 'return'>

export async function* pacedBody(
  body: PacedSource,
  options: {
    readonly pace: ProgressWatch
    readonly held: HeldBytes
    /** What is held while bytes move. */
    readonly windowBytes: number
    readonly signal: AbortSignal
  },
): AsyncGenerator<Buffer> {
  const { held, windowBytes, signal } = options
  const patience = new Patience(options.pace)
  let rests = 0
  try {
    for (;;) {
      const coming = body.next()
      let taken = await patience.unlessSlow(coming)
      if (taken === undefined) {
        yield nothing
        if (++rests <= restsMax) held.shrinkTo(slowPieceBytes)
        taken = await gathered(coming, body)
        const room = held.growTo(windowBytes, signal)
        if (room !== undefined) await room
      }
      if (taken.done) return
      patience.came(taken.value.length)
      yield taken.value
    }
  } finally {
    await body.return()
  }
}

/** Counts the time that a client has been waited for since it last sent a piece that was worth it. */
class Patience {
  readonly #pace: ProgressWatch
  #waitedMs = 0
  #bytes = 0

  constructor(pace: ProgressWatch) {
    this.#pace = pace
  }

  /** Undefined when too little has come for a while. */
  unlessSlow(coming: Promise<Taken>): Promise<Taken | undefined> {
    return new Promise((resolve, reject) => {
      const from = this.#pace.now()
      const transfer = { progressAt: from - this.#waitedMs, stalled: () => resolve(undefined) }
      this.#pace.add(transfer)
      coming.then(resolve, reject).finally(() => {
        this.#pace.remove(transfer)
        this.#waitedMs += this.#pace.now() - from
      })
    })
  }

  /** A client that sends byte by byte moves, and would hold as much as one that fills its line. */
  came(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes < slowPieceBytes) return
    this.#bytes = 0
    this.#waitedMs = 0
  }
}

/** The next bytes of a slow client, many at a time: all that is left, or as much as it holds. */
async function gathered(coming: Promise<Taken>, body: PacedSource): Promise<Taken> {
  const first = await coming
  if (first.done || first.value.length >= slowPieceBytes) return first
  const bytes = Buffer.allocUnsafeSlow(slowPieceBytes)
  let filled = first.value.copy(bytes)
  while (filled < slowPieceBytes) {
    const { done, value } = await body.next()
    if (done) break
    if (filled + value.length > slowPieceBytes) {
      return { done: false, value: Buffer.concat([bytes.subarray(0, filled), value]) }
    }
    // Copied, as a piece is good only until the next one is asked for.
    filled += value.copy(bytes, filled)
  }
  return { done: false, value: bytes.subarray(0, filled) }
}
