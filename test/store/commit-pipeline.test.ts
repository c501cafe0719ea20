import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { MemoryIndex } from '../../src/index/memory-index.ts'
import { Accounts } from '../../src/store/tables/accounts.ts'
import { CommitPipeline } from '../../src/store/write/commit-pipeline.ts'
import type { Location, RecordInput } from '../../src/volume/volume.ts'
import { ManualClock, settleTasks } from '../replication/manual-clock.ts'

const nothing = Buffer.alloc(0)
const record: RecordInput = { kind: 1, seq: 0, label: nothing, head: nothing, body: [] }
const location: Location = { segment: 0, generation: 1, offset: 0, headLength: 28, bodyLength: 0 }

interface MadeOptions {
  /** Resolves at the end of a turn. */
  readonly endOfTurn?: () => Promise<void>
  /** What a write of the index fails with. */
  readonly failure?: () => string | undefined
}

/** A pipeline over a log that notes how many records each group has. */
async function makePipeline({ endOfTurn, failure }: MadeOptions = {}) {
  const groups: number[] = []
  const effects: string[] = []
  const clock = new ManualClock()
  const settle = async (): Promise<void> => {
    const reason = failure?.()
    if (reason !== undefined) throw new Error(reason)
  }
  const index = await MemoryIndex.open({ settle })
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
    clock,
    logger: silentLogger,
    onIndexed: () => undefined,
    endOfTurn,
  })
  const write = (name = ''): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    pipeline.append({
      record,
      bytes: 28,
      logged: () => undefined,
      effects: (batch) => {
        effects.push(name)
        batch.put(Buffer.from(name), nothing)
      },
      settled: (error) => (error === undefined ? resolve() : reject(error)),
    })
    return promise
  }
  return { pipeline, index, clock, groups, effects, write }
}

describe('the commit pipeline', () => {
  it('puts everything that is served in one turn of the event loop into one group', async () => {
    const turns: (() => void)[] = []
    const endOfTurn = (): Promise<void> => new Promise((resolve) => turns.push(resolve))
    const endTurn = (): void => turns.shift()?.()
    const { groups, write } = await makePipeline({ endOfTurn })
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

describe('while the index cannot be written, the commit pipeline', () => {
  /** A write and a task have met an index without room. */
  async function makeStalled() {
    let failure: string | undefined
    const made = await makePipeline({ failure: () => failure })
    failure = 'no space left on device'
    const { pipeline, write } = made
    const done = write('a')
    const told = pipeline.answered(done)
    const task = pipeline.runTask((batch) => batch.put(Buffer.from('task'), nothing))
    await expect(told).rejects.toMatchObject({ code: 'INDEX_FULL' })
    const heal = (): void => {
      failure = undefined
    }
    return { ...made, done, task, heal }
  }

  it('says so to who waits and to who comes, and lets what is logged take effect later, once', async () => {
    const { pipeline, index, clock, effects, write, done, task, heal } = await makeStalled()
    expect(pipeline.isIndexing).toBe(true)
    // Until then nobody takes away what a write that was answered so rests upon.
    const settled = pipeline.settled
    expect(settled).toBeDefined()
    expect(pipeline.refusal).toMatchObject({ code: 'INDEX_FULL' })
    await expect(write('b')).rejects.toBe(pipeline.refusal)
    await expect(pipeline.room()).rejects.toBe(pipeline.refusal)
    const later = pipeline.runTask((batch) => batch.put(Buffer.from('later'), nothing))
    clock.advance(1000)
    await settleTasks()
    expect(index.get(Buffer.from('a'))).toBeUndefined()
    heal()
    clock.advance(1000)
    await Promise.all([done, task, later, settled])
    expect(pipeline.settled).toBeUndefined()
    expect(pipeline.refusal).toBeUndefined()
    await write('c')
    expect(effects).toEqual(['a', 'c'])
    for (const name of ['a', 'task', 'later', 'c'])
      expect(index.get(Buffer.from(name))).toBeDefined()
    expect(index.get(Buffer.from('b'))).toBeUndefined()
  })

  it('releases what was waited for when nobody waits for it any more', async () => {
    const { pipeline } = await makeStalled()
    const room = Promise.withResolvers<string>()
    const late: string[] = []
    await expect(pipeline.answered(room.promise, (value) => late.push(value))).rejects.toThrow()
    room.resolve('room')
    await settleTasks()
    expect(late).toEqual(['room'])
  })

  it('gives up what it has when the site stops: the log has it', async () => {
    const { pipeline, done, task } = await makeStalled()
    const failed = Promise.allSettled([done, task])
    pipeline.stopWaiting()
    await pipeline.drained()
    expect(await failed).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }])
    expect(pipeline.refusal).toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })
})
