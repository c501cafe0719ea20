import { handOver } from '../base/hand-over.ts'
import type { Exchange } from './exchange.ts'
import { progressBytes } from './limits.ts'
import type { ProgressWatch, WatchedTransfer } from './progress-watch.ts'

/**
 * Writes the pieces behind headers that are out already, no faster than the client takes them, and
 * ends the answer. A client that does not take {@link progressBytes} in the idle time is cut off; one that goes
 * away ends the writing without an error. Whoever opened what the pieces come from closes it afterwards.
 */
export async function writePieces(
  exchange: Exchange,
  pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  watch: ProgressWatch,
): Promise<void> {
  const { response } = exchange
  const transfer: WatchedTransfer = {
    progressAt: watch.now(),
    stalled() {
      // A pipelined answer whose turn has not come yet is not the one that stands still.
      if (response.socket !== null) return void response.destroy()
      transfer.progressAt = watch.now()
      watch.add(transfer)
    },
  }
  watch.add(transfer)
  try {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; at += progressBytes) {
        const part = piece.subarray(at, at + progressBytes)
        await handOver(response, part)
        if (response.destroyed) return
        exchange.bytesOut += part.length
        transfer.progressAt = watch.now()
      }
    }
    response.end()
  } finally {
    watch.remove(transfer)
  }
}
