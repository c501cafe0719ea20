/**
 * Pushed bytes on their way in: a bounded number at a time, and of each object one. A sender whose
 * connection broke comes again before this end has noticed: what comes last goes on.
 */
import { BadRangeError, PushBusyError, RemoteUnreachableError } from '../wire/errors.ts'
import type { PushedRange } from '../wire/transport.ts'
import type { HeldUpload } from './held-uploads.ts'

export interface Intake {
  readonly abort: AbortController
  /** Resolves when it has ended. */
  readonly done: Promise<void>
}

/** What bytes are pushed to. */
interface Receptive {
  readonly abort: AbortController
  readonly isFetching: boolean
  intake: Intake | undefined
}

export interface PushedBytes {
  readonly range: PushedRange
  readonly bytes: AsyncIterable<Uint8Array>
  readonly signal: AbortSignal
}

const intakesMax = 8

export class PushIntakes {
  readonly #running = new Set<Promise<void>>()

  /**
   * Runs `take` for what `find` finds, when what ran for it before has ended.
   *
   * @throws PushBusyError; what `find` and `take` fail with
   */
  async run<P extends Receptive>(
    find: () => P,
    take: (pull: P, signal: AbortSignal) => Promise<number>,
  ): Promise<number> {
    let pull = find()
    for (; pull.intake !== undefined; pull = find()) {
      pull.intake.abort.abort()
      await pull.intake.done
    }
    if (pull.isFetching) throw new PushBusyError('these bytes are being fetched from elsewhere')
    if (this.#running.size >= intakesMax) {
      throw new PushBusyError(`${intakesMax} objects are being taken in at this moment`)
    }
    const abort = new AbortController()
    let end = (): void => undefined
    const done = new Promise<void>((resolve) => {
      end = resolve
    })
    pull.intake = { abort, done }
    this.#running.add(done)
    try {
      return await take(pull, AbortSignal.any([abort.signal, pull.abort.signal]))
    } finally {
      pull.intake = undefined
      this.#running.delete(done)
      end()
    }
  }

  /** Resolves when all have ended, once they were told to. */
  async close(): Promise<void> {
    await Promise.all(this.#running)
  }
}

/** What of a pushed range is not held yet. @throws BadRangeError */
export async function* missingBytes(
  held: HeldUpload,
  pushed: PushedBytes,
): AsyncGenerator<Uint8Array> {
  const { range, bytes, signal } = pushed
  const { heldBytes } = held.upload
  const { size } = held.mutation.meta
  const fits = range.size === size && range.start <= range.end && range.end <= size
  if (!fits || range.start > heldBytes) {
    throw new BadRangeError(
      `bytes ${range.start} to ${range.end} of ${range.size} were pushed, ${heldBytes} of ${size} are here`,
    )
  }
  let position = range.start
  for await (const piece of untilAborted(bytes, signal)) {
    const known = Math.min(piece.length, Math.max(0, heldBytes - position))
    position += piece.length
    if (position > range.end) throw new BadRangeError('more bytes were pushed than announced')
    if (known < piece.length) yield piece.subarray(known)
  }
}

/** The bytes until they end or fail: then `note` is told, and what came before counts. */
export async function* untilFailure(
  bytes: AsyncIterable<Uint8Array>,
  note: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]()
  try {
    for (;;) {
      const step = await iterator.next().catch((error: unknown) => {
        note(error)
        return undefined
      })
      if (step === undefined || step.done === true) return
      yield step.value
    }
  } finally {
    await iterator.return?.()
  }
}

async function* untilAborted(
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]()
  let stop = (): void => undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(new RemoteUnreachableError('what was pushed is not wanted any more'))
  })
  aborted.catch(() => undefined) // it matters only while a piece is waited for
  signal.addEventListener('abort', stop, { once: true })
  try {
    if (signal.aborted) stop()
    for (;;) {
      const step = await Promise.race([iterator.next(), aborted])
      if (step.done === true) return
      yield step.value
    }
  } finally {
    signal.removeEventListener('abort', stop)
    // Not awaited: it may wait for bytes that never come.
    iterator.return?.().catch(() => undefined)
  }
}
