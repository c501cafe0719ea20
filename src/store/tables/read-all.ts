import type { IndexEntry, IndexRange, OrderedIndex } from '../../index/ordered-index.ts'

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

/**
 * The same for who waits for a batch in between, and may so wait for the index to be opened anew, which
 * waits for cursors: none is open meanwhile, and each chunk is what is there by then.
 */
export async function* readSteps(
  index: OrderedIndex,
  { gte: from, lt }: Pick<IndexRange, 'gte' | 'lt'>,
): AsyncGenerator<readonly IndexEntry[]> {
  for (let gte = from; ; ) {
    const cursor = index.iterate({ gte, lt })
    let entries: readonly IndexEntry[]
    try {
      entries = await cursor.next(chunk)
    } finally {
      await cursor.close()
    }
    const last = entries.at(-1)
    if (last === undefined) return
    yield entries
    const [key] = last
    gte = Buffer.concat([key, Buffer.of(0)])
  }
}

/** A whole range in memory: for tables that are small by nature. */
export async function readAll(index: OrderedIndex, range: IndexRange): Promise<IndexEntry[]> {
  const all: IndexEntry[] = []
  for await (const entries of readChunks(index, range)) all.push(...entries)
  return all
}
