/** What every OrderedIndex must do, run on each implementation. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { IndexClosedError, IndexInUseError } from '../../src/index/errors.ts'
import type {
  IndexCursor,
  IndexEntry,
  IndexOperation,
  IndexRange,
  OrderedIndex,
} from '../../src/index/ordered-index.ts'

/** One place that an index is kept in, empty at first. */
export interface IndexPlace {
  open(): Promise<OrderedIndex>
  remove(): Promise<void>
}

const everything: IndexRange = { gte: bytes(''), lt: Buffer.of(0xff, 0xff, 0xff, 0xff) }

export function describeOrderedIndex(name: string, makePlace: () => Promise<IndexPlace>): void {
  let place: IndexPlace
  let index: OrderedIndex

  beforeEach(async () => {
    place = await makePlace()
    index = await place.open()
  })
  afterEach(async () => {
    await index.close()
    await place.remove()
  })

  describe(`${name}: reading and writing`, () => {
    it('has no value under a key that was never written', () => {
      expect(index.get(bytes('a'))).toBeUndefined()
    })

    it('returns what was written, empty values and binary bytes included', async () => {
      const binary = Buffer.of(0, 255, 128, 10, 0)
      await index.write([
        put('a', 'one'),
        { type: 'put', key: binary, value: binary },
        put('e', ''),
      ])
      expect(index.get(bytes('a'))).toEqual(bytes('one'))
      expect(index.get(binary)).toEqual(binary)
      expect(index.get(bytes('e'))).toEqual(bytes(''))
    })

    it('takes plain Uint8Arrays, views into larger ones included', async () => {
      const whole = new Uint8Array([1, 2, 3, 4])
      await index.write([{ type: 'put', key: whole.subarray(1, 2), value: whole.subarray(2) }])
      expect(index.get(new Uint8Array([2]))).toEqual(Buffer.of(3, 4))
      expect(await scan({ gte: whole.subarray(1, 2), lt: whole.subarray(2, 3) })).toEqual([
        [Buffer.of(2), Buffer.of(3, 4)],
      ])
    })

    it('applies the operations of a batch in order', async () => {
      await index.write([put('a', '1'), del('a'), put('b', '1'), put('b', '2'), del('c')])
      expect(index.get(bytes('a'))).toBeUndefined()
      expect(index.get(bytes('b'))).toEqual(bytes('2'))
    })

    it('hands out bytes that the caller may change', async () => {
      await index.write([put('a', 'one')])
      index.get(bytes('a'))?.fill(0)
      const [entry] = await scan(everything)
      entry?.[1].fill(0)
      expect(index.get(bytes('a'))).toEqual(bytes('one'))
    })

    it('refuses a write that overlaps another', async () => {
      const first = index.write([put('a', '1')])
      await expect(index.write([put('b', '1')])).rejects.toThrow(AssertionError)
      await first
      expect(index.get(bytes('b'))).toBeUndefined()
    })

    it('takes an empty batch', async () => {
      await index.write([])
      expect(await scan(everything)).toEqual([])
    })

    it('knows its size', async () => {
      await index.write([put('a', 'x'.repeat(100_000))])
      expect(await index.size()).toBeGreaterThan(1000)
    })
  })

  describe(`${name}: cursors`, () => {
    beforeEach(() => index.write(['b', 'd', 'f', 'h'].map((key) => put(key, key))))

    it('returns a range in order, its start included and its end not', async () => {
      expect(await scanKeys({ gte: bytes('b'), lt: bytes('h') })).toBe('bdf')
      expect(await scanKeys({ gte: bytes('c'), lt: bytes('g') })).toBe('df')
      expect(await scanKeys({ gte: bytes('x'), lt: bytes('z') })).toBe('')
      expect(await scanKeys({ gte: bytes('h'), lt: bytes('b') })).toBe('')
    })

    it('returns a range in reverse with the same ends', async () => {
      expect(await scanKeys({ gte: bytes('b'), lt: bytes('h'), reverse: true })).toBe('fdb')
    })

    it('returns at most as many entries as asked for, and none at the end, however often asked', async () => {
      await withCursor(everything, async (cursor) => {
        expect(joined(await cursor.next(3))).toBe('bdf')
        expect(joined(await cursor.next(3))).toBe('h')
        expect(await cursor.next(3)).toEqual([])
        expect(await cursor.next(3)).toEqual([])
      })
    })

    it('sees the index as it was when the cursor was made', async () => {
      await withCursor(everything, async (cursor) => {
        await index.write([del('d'), put('e', 'e'), put('h', 'new')])
        expect(joined(await cursor.next(10))).toBe('bdfh')
        cursor.seek(bytes('a'))
        expect(joined(await cursor.next(10))).toBe('bdfh')
      })
      expect(await scanKeys(everything)).toBe('befh')
    })

    it('sees a write that was running when the cursor was made wholly or not at all', async () => {
      const write = index.write([put('e', 'e'), del('f')])
      await withCursor(everything, async (cursor) => {
        await write
        expect(['bdfh', 'bdeh']).toContain(joined(await cursor.next(10)))
      })
    })

    it('seeks to the first key at or after the one given, ahead or behind', async () => {
      await withCursor({ gte: bytes('c'), lt: bytes('h') }, async (cursor) => {
        expect(await keysFrom(cursor, 'f')).toBe('f')
        expect(await keysFrom(cursor, 'c')).toBe('df')
        expect(await keysFrom(cursor, 'e')).toBe('f')
        expect(await keysFrom(cursor, 'a')).toBe('df')
        expect(await keysFrom(cursor, 'g')).toBe('')
        expect(await keysFrom(cursor, 'h')).toBe('')
        expect(await keysFrom(cursor, 'z')).toBe('')
        expect(await keysFrom(cursor, 'd')).toBe('df')
      })
    })

    it('seeks in reverse to the first key at or before the one given', async () => {
      await withCursor({ gte: bytes('c'), lt: bytes('h'), reverse: true }, async (cursor) => {
        expect(await keysFrom(cursor, 'd')).toBe('d')
        expect(await keysFrom(cursor, 'e')).toBe('d')
        expect(await keysFrom(cursor, 'z')).toBe('fd')
        expect(await keysFrom(cursor, 'c')).toBe('')
        expect(await keysFrom(cursor, 'a')).toBe('')
        expect(await keysFrom(cursor, 'f')).toBe('fd')
      })
    })

    it('refuses to be read twice at once', async () => {
      await withCursor(everything, async (cursor) => {
        const first = cursor.next(1)
        await expect(cursor.next(1)).rejects.toThrow()
        expect(joined(await first)).toBe('b')
      })
    })

    it('reads a range that is larger than what one call holds', async () => {
      const many = Array.from({ length: 5000 }, (_, i) => put(`x${1e6 + i}`, 'v'.repeat(200)))
      await index.write(many)
      expect(await scan({ gte: bytes('x'), lt: bytes('y') }, 1000)).toHaveLength(5000)
    })
  })

  describe(`${name}: opening and closing`, () => {
    it('holds everything after it is closed and opened again', async () => {
      await index.write([put('a', '1'), put('b', '2')])
      await index.write([del('a')])
      await index.close()
      index = await place.open()
      expect(await scanKeys(everything)).toBe('b')
    })

    it('cannot be opened twice', async () => {
      await expect(place.open()).rejects.toThrow(IndexInUseError)
      await index.write([put('a', '1')])
      expect(index.get(bytes('a'))).toEqual(bytes('1'))
    })

    it('waits for a running write when it closes, and closes once', async () => {
      const write = index.write([put('a', '1')])
      await Promise.all([index.close(), index.close(), write])
      index = await place.open()
      expect(index.get(bytes('a'))).toEqual(bytes('1'))
    })

    it('says that it is closed', async () => {
      const cursor = index.iterate(everything)
      await index.close()
      expect(() => index.get(bytes('a'))).toThrow(IndexClosedError)
      expect(() => index.iterate(everything)).toThrow(IndexClosedError)
      await expect(index.write([put('a', '1')])).rejects.toThrow(IndexClosedError)
      await expect(cursor.next(1)).rejects.toThrow(IndexClosedError)
      await cursor.close()
    })
  })

  describe(`${name}: against a model`, () => {
    it('equals a sorted map under any sequence of batches, ranges and reopenings', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
          await emptyOut()
          const model = new Map<string, Buffer>()
          for (const next of steps) await runStep(next, model)
        }),
        { numRuns: 60 },
      )
    })
  })

  async function emptyOut(): Promise<void> {
    const entries = await scan(everything)
    await index.write(entries.map(([key]) => ({ type: 'del', key })))
  }

  async function runStep(next: Step, model: Map<string, Buffer>): Promise<void> {
    if (next.kind === 'write') {
      for (const operation of next.operations) applyToModel(model, operation)
      await index.write(next.operations)
      for (const { key } of next.operations) expect(index.get(key)).toEqual(model.get(hex(key)))
    } else if (next.kind === 'scan') {
      expect(await scan(next.range, next.limit)).toEqual(modelScan(model, next.range))
    } else {
      await index.close()
      index = await place.open()
    }
  }

  async function withCursor(
    range: IndexRange,
    use: (cursor: IndexCursor) => Promise<void>,
  ): Promise<void> {
    const cursor = index.iterate(range)
    try {
      await use(cursor)
    } finally {
      await cursor.close()
    }
  }

  async function scan(range: IndexRange, limit = 2): Promise<IndexEntry[]> {
    const all: IndexEntry[] = []
    await withCursor(range, async (cursor) => {
      for (;;) {
        const entries = await cursor.next(limit)
        if (entries.length === 0) return
        expect(entries.length).toBeLessThanOrEqual(limit)
        all.push(...entries)
      }
    })
    return all
  }

  async function scanKeys(range: IndexRange): Promise<string> {
    return joined(await scan(range))
  }
}

type Step =
  | { readonly kind: 'write'; readonly operations: readonly IndexOperation[] }
  | { readonly kind: 'scan'; readonly range: IndexRange; readonly limit: number }
  | { readonly kind: 'reopen' }

// Few and short keys, so that they meet each other; the bytes 0 and 255 are where orders break.
const keyBytes = fc
  .array(fc.constantFrom(0, 1, 97, 254, 255), { maxLength: 3 })
  .map((values) => Buffer.from(values))

const operation: fc.Arbitrary<IndexOperation> = fc.oneof(
  fc.record({
    type: fc.constant('put' as const),
    key: keyBytes,
    value: fc.uint8Array({ maxLength: 5 }),
  }),
  fc.record({ type: fc.constant('del' as const), key: keyBytes }),
)

const range: fc.Arbitrary<IndexRange> = fc.record({
  gte: keyBytes,
  lt: keyBytes,
  reverse: fc.boolean(),
})

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      operations: fc.array(operation, { maxLength: 6 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('scan' as const),
      range,
      limit: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
)

function applyToModel(model: Map<string, Buffer>, operation: IndexOperation): void {
  if (operation.type === 'del') model.delete(hex(operation.key))
  else model.set(hex(operation.key), Buffer.from(operation.value))
}

function modelScan(model: Map<string, Buffer>, range: IndexRange): IndexEntry[] {
  const entries = [...model]
    .map(([key, value]): IndexEntry => [Buffer.from(key, 'hex'), value])
    .filter(([key]) => Buffer.compare(key, range.gte) >= 0 && Buffer.compare(key, range.lt) < 0)
    .sort(([a], [b]) => Buffer.compare(a, b))
  return range.reverse ? entries.reverse() : entries
}

async function keysFrom(cursor: IndexCursor, key: string): Promise<string> {
  cursor.seek(bytes(key))
  return joined(await cursor.next(10))
}

function joined(entries: readonly IndexEntry[]): string {
  return entries.map(([key]) => key.toString()).join('')
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString('hex')
}

function bytes(text: string): Buffer {
  return Buffer.from(text)
}

function put(key: string, value: string): IndexOperation {
  return { type: 'put', key: bytes(key), value: bytes(value) }
}

function del(key: string): IndexOperation {
  return { type: 'del', key: bytes(key) }
}
