import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { type PendingRange, RangeWindow } from '../../src/replication/receive/range-window.ts'

interface Room {
  held: number
  capacity: number
}

function makeWindow(options: {
  readonly room: Room
  readonly start?: number
  readonly size?: number
}): RangeWindow {
  const { room, start = 0, size = 100 } = options
  return new RangeWindow({
    start,
    size,
    rangeBytes: 10,
    rangesMax: 4,
    takeRoom: (bytes) => {
      if (room.held + bytes > room.capacity) return false
      room.held += bytes
      return true
    },
    giveRoom: (bytes) => {
      room.held -= bytes
    },
  })
}

/** Bytes that say where they belong. */
function bytesAt(position: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (position + i) % 251))
}

describe('the ranges of an object', () => {
  test('come out in order, whole and once, however they are fetched, cut and taken', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed)
      const below = (limit: number): number => Math.floor(random.fraction() * limit)
      const room = { held: 0, capacity: below(4) * 10 }
      const start = below(20)
      const size = start + 1 + below(120)
      const window = makeWindow({ room, start, size })
      const open = new Set<PendingRange>()
      const taken: Uint8Array[] = []
      for (let position = start; position < size; ) {
        const range = random.fraction() < 0.4 ? window.open() : [...open][below(open.size)]
        if (range !== undefined && random.fraction() < 0.2) {
          window.leave(range)
          open.delete(range)
        } else if (range !== undefined) {
          open.add(range)
          const length = below(range.end - range.next + 1)
          window.put(range, bytesAt(range.next, length))
          if (range.next === range.end) {
            window.leave(range)
            open.delete(range)
          }
        }
        expect(room.held).toBeLessThanOrEqual(room.capacity)
        const piece = random.fraction() < 0.5 ? window.take() : undefined
        if (piece === undefined) continue
        taken.push(piece)
        position += piece.length
      }
      expect(window.take()).toBeUndefined()
      expect(Buffer.concat(taken).equals(bytesAt(start, size - start))).toBe(true)
      expect(room.held).toBe(0)
    }
  })

  test('are at least one, whatever room others hold, and not more than there is room for', () => {
    const room = { held: 30, capacity: 30 }
    const window = makeWindow({ room })
    expect(window.open()).toMatchObject({ next: 0, end: 10 })
    expect(window.open()).toBeUndefined()
    room.held = 15
    expect(window.open()).toMatchObject({ next: 10, end: 20 })
    expect(window.open()).toBeUndefined()
  })

  test('that are dropped give their room back, and begin again where the taken bytes end', () => {
    const room = { held: 0, capacity: 30 }
    const window = makeWindow({ room })
    const ranges = [window.open(), window.open(), window.open()] as PendingRange[]
    for (const range of ranges) window.put(range, bytesAt(range.next, 7))
    window.take()
    for (const range of ranges) window.leave(range)
    expect(room.held).toBe(20)
    window.drop()
    expect(room.held).toBe(0)
    expect(window.open()).toMatchObject({ next: 7, end: 17 })
  })
})
