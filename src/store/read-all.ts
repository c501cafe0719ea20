import type { IndexEntry, IndexRange, OrderedIndex } from '../index/ordered-index.ts'

const chunk = 512

/** Walks a range in chunks, closing the cursor on every way out. */
export async function* readChunks(
  index: OrderedIndex,
  range: IndexRange,
): AsyncGenerator<readonly IndexEntry[]> {
  const cursor = index.iterate(range)
  try {
    for (;;) {
      const entries = await cursor.next(chunk)
      if (entries.length === 0) return
      yield entries
    }
  } finally {
    await cursor.close()
  }
}

/** A whole range in memory: for tables that are small by nature. */
export async function readAll(index: OrderedIndex, range: IndexRange): Promise<IndexEntry[]> {
  const all: IndexEntry[] = []
  for await (const entries of readChunks(index, range)) all.push(...entries)
  return all
}
