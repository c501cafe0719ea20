/**
 * A streamed upload as the store gets it: when its client sends nothing for a while, the store is told
 * by an empty piece, and what the upload holds of the budget goes to others. It is held again before
 * the next piece is handed on; until then the client is held back.
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

export async function* pacedBody(
  body: BodyStream,
  options: {
    readonly pace: ProgressWatch
    readonly held: HeldBytes
    /** What is held while bytes move. */
    readonly windowBytes: number
    readonly signal: AbortSignal
  },
): AsyncGenerator<Buffer> {
  const { pace, held, windowBytes, signal } = options
  let rests = 0
  try {
    for (;;) {
      const coming = body.next()
      let taken = await unlessSlow(coming, pace)
      if (taken === undefined) {
        yield nothing
        if (++rests <= restsMax) held.shrinkTo(slowPieceBytes)
        taken = await coming
        const room = held.growTo(windowBytes, signal)
        if (room !== undefined) await room
      }
      if (taken.done) return
      yield taken.value
    }
  } finally {
    await body.return()
  }
}

/** Undefined when nothing has come for a while. */
function unlessSlow(coming: Promise<Taken>, pace: ProgressWatch): Promise<Taken | undefined> {
  return new Promise((resolve, reject) => {
    const transfer = { progressAt: pace.now(), stalled: () => resolve(undefined) }
    pace.add(transfer)
    coming.then(resolve, reject).finally(() => pace.remove(transfer))
  })
}
