import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ByteBudget } from '../../src/base/byte-budget.ts'
import { HeldBytes } from '../../src/s3/held-bytes.ts'
import { slowAfterMs, slowPieceBytes, streamWindowBytes } from '../../src/s3/limits.ts'
import { pacedBody } from '../../src/s3/paced-body.ts'
import { ProgressWatch } from '../../src/s3/progress-watch.ts'
import { ManualClock } from './manual-clock.ts'

/** The memory of a piece is gone when the next one is asked for, as it is in a stream from a socket. */
class Pieces {
  readonly #pieces: readonly Buffer[]
  readonly #asked: () => void
  #at = 0
  #last: Buffer | undefined

  constructor(pieces: readonly Buffer[], asked: () => void) {
    this.#pieces = pieces
    this.#asked = asked
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    this.#last?.fill(0)
    const piece = this.#pieces[this.#at++]
    if (piece === undefined) return { done: true, value: undefined }
    this.#asked()
    // Later than a watch that has found it late.
    await new Promise((resolve) => setImmediate(resolve))
    this.#last = Buffer.from(piece)
    return { done: false, value: this.#last }
  }

  async return(): Promise<IteratorResult<Buffer, undefined>> {
    return { done: true, value: undefined }
  }
}

/** What the store gets of `pieces`, each of which lets `waitMs` pass, and how much was held at each. */
async function paced(pieces: readonly Buffer[], waitMs: number) {
  const clock = new ManualClock()
  const pace = new ProgressWatch({ clock, idleMs: slowAfterMs })
  const held = new HeldBytes(new ByteBudget({ clock, capacityBytes: streamWindowBytes }))
  held.tryGrowTo(streamWindowBytes)
  const heldWhileWaiting: number[] = []
  const body = new Pieces(pieces, () => {
    queueMicrotask(() => {
      clock.advance(waitMs)
      heldWhileWaiting.push(held.bytes)
    })
  })
  const { signal } = new AbortController()
  const windowBytes = streamWindowBytes
  const got: Buffer[] = []
  let rests = 0
  for await (const piece of pacedBody(body, { pace, held, windowBytes, signal })) {
    if (piece.length === 0) rests++
    else expect(held.bytes).toBe(streamWindowBytes)
    got.push(Buffer.from(piece))
  }
  return { bytes: Buffer.concat(got), handedOn: got.length, rests, heldWhileWaiting }
}

describe('an upload that comes byte by byte', () => {
  it('holds little for nearly all of its time, and is whole', async () => {
    const sent = randomBytes(3 * slowPieceBytes + 5)
    const pieces: Buffer[] = []
    for (let at = 0; at < sent.length; at += 100) pieces.push(sent.subarray(at, at + 100))
    const { bytes, rests, handedOn, heldWhileWaiting } = await paced(pieces, slowAfterMs / 4)
    expect(bytes.equals(sent)).toBe(true)
    const whileHoldingAll = heldWhileWaiting.filter((held) => held > slowPieceBytes).length
    expect(whileHoldingAll).toBeLessThan(pieces.length / 20)
    expect(rests).toBeLessThan(5)
    expect(handedOn).toBeLessThan(pieces.length / 20)
  })

  it('is taken on with the piece that comes at once after many small ones', async () => {
    const sent = randomBytes(2 * slowPieceBytes)
    const cuts = [0, 1, 2, 3, 4, 5, 6, 7, slowPieceBytes + 2, sent.length]
    const pieces = cuts.slice(1).map((cut, index) => sent.subarray(cuts[index], cut))
    const { bytes, rests } = await paced(pieces, slowAfterMs / 2)
    expect(bytes.equals(sent)).toBe(true)
    expect(rests).toBeGreaterThan(0)
  })

  it('is not slow when as much comes in time', async () => {
    const pieces = Array.from({ length: 100 }, () => randomBytes(slowPieceBytes / 2))
    const { bytes, rests } = await paced(pieces, slowAfterMs / 4)
    expect(bytes.equals(Buffer.concat(pieces))).toBe(true)
    expect(rests).toBe(0)
  })
})
