import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { MemoryIndex } from '../../src/index/memory-index.ts'
import { Accounts } from '../../src/store/accounts.ts'
import { CommitPipeline } from '../../src/store/commit-pipeline.ts'
import type { Location, RecordInput } from '../../src/volume/volume.ts'

const nothing = Buffer.alloc(0)
const record: RecordInput = { kind: 1, seq: 0, label: nothing, head: nothing, body: [] }
const location: Location = { segment: 0, generation: 1, offset: 0, headLength: 28, bodyLength: 0 }

/** A pipeline over a log that notes how many records each group has, and whose turns end when told. */
async function makePipeline() {
  const groups: number[] = []
  const turns: (() => void)[] = []
  const index = await MemoryIndex.open()
  const pipeline = new CommitPipeline({
    log: {
      limits: { groupBytesMax: 4096 },
      async appendGroup(records) {
        groups.push(records.length)
        return records.map(() => location)
      },
      logPosition: () => ({ segment: 0, generation: 1, offset: 4096 }),
    },
    index,
    accounts: await Accounts.load(index, []),
    logger: silentLogger,
    onIndexed: () => undefined,
    endOfTurn: () => new Promise((resolve) => turns.push(resolve)),
  })
  const write = (): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    pipeline.append({
      record,
      bytes: 28,
      logged: () => undefined,
      effects: () => undefined,
      settled: (error) => (error === undefined ? resolve() : reject(error)),
    })
    return promise
  }
  return { groups, write, endTurn: () => turns.shift()?.() }
}

describe('the commit pipeline', () => {
  it('puts everything that is served in one turn of the event loop into one group', async () => {
    const { groups, write, endTurn } = await makePipeline()
    const first = write()
    await Promise.resolve()
    const others = [write(), write()]
    expect(groups).toEqual([])
    endTurn()
    await Promise.all([first, ...others])
    expect(groups).toEqual([3])
    const later = write()
    endTurn()
    await later
    expect(groups).toEqual([3, 1])
  })
})
