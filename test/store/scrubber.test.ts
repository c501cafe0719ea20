import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { encodeLabel } from '../../src/store/mutation.ts'
import type { HealOutcome } from '../../src/store/scrub-pass.ts'
import { Scrubber, type ScrubberOptions, type ScrubMemory } from '../../src/store/scrubber.ts'
import { objectSlot } from '../../src/store/slot.ts'
import { ManualClock, settleTasks } from '../replication/manual-clock.ts'
import { TestStore } from './open-store.ts'
import { spoil } from './spoil.ts'

const hour = 3_600_000
const day = 24 * hour
let store: TestStore
let clock: ManualClock
let saved: ScrubMemory[]
let asked: string[]
let outcome: HealOutcome

beforeEach(async () => {
  store = await TestStore.open()
  clock = new ManualClock()
  saved = []
  asked = []
  outcome = { problem: 'nobody has it' }
})

afterEach(() => store.remove())

function scrubber(changes: Partial<ScrubberOptions> = {}): Scrubber {
  return new Scrubber({
    store: store.engine,
    heal: async ({ key }) => {
      asked.push(key)
      return outcome
    },
    rate: 0,
    intervalMs: 0,
    memory: undefined,
    save: async (memory) => {
      saved.push(memory)
    },
    clock,
    logger: silentLogger,
    ...changes,
  })
}

/** Resolves when nothing runs any more. */
async function ended(scrub: Scrubber): Promise<void> {
  while (scrub.running !== undefined) await new Promise((resolve) => setImmediate(resolve))
}

/** As it stands in front of the record, in the log. */
function labelOf(key: string): Buffer {
  const slot = objectSlot('box', key)
  const { version } = store.engine.survey.stateOf(slot)
  if (version === undefined) throw new Error('nothing is known of it')
  return encodeLabel(slot, version)
}

const content = (seed: number, bytes: number): Buffer =>
  Buffer.from(seededRandom(seed).bytes(bytes))

describe('a scrub', () => {
  it('reads every object of every bucket once, the chunks of large ones included', async () => {
    const keys = Array.from({ length: 600 }, (_, i) => i)
    await Promise.all(keys.map((i) => store.put('many', `k${i}`, `v${i}`)))
    await store.put('large', 'x', content(1, 900_000))
    const scrub = scrubber()
    expect(scrub.begin()).toBe(true)
    expect(scrub.begin()).toBe(false)
    await ended(scrub)
    const bytes = 900_000 + 10 * 2 + 90 * 3 + 500 * 4
    expect(scrub.last).toMatchObject({ objects: 601, bytes, damaged: 0, reason: undefined })
    expect(scrub.totals).toMatchObject({ objects: 601, bytes })
  })

  it.each([
    ['a small object', 20_000],
    ['the last chunk of a large one', 900_000],
  ])('finds damage in %s, has it healed, and says what came of it', async (_, bytes) => {
    const body = content(2, bytes)
    await store.put('box', 'bad', body)
    await store.put('box', 'good', 'sound')
    await spoil(join(store.folder, 'volume'), body.subarray(-500))
    const scrub = scrubber()
    scrub.begin()
    await ended(scrub)
    expect(asked).toEqual(['bad'])
    expect(scrub.last).toMatchObject({ objects: 2, damaged: 1, healed: 0 })
    const found = { what: 'object', bucket: 'box', key: 'bad' }
    expect(scrub.last?.listed).toEqual([{ ...found, result: 'damaged', problem: 'nobody has it' }])
    outcome = 'healed'
    scrub.begin()
    await ended(scrub)
    expect(scrub.last).toMatchObject({ damaged: 1, healed: 1 })
    expect(scrub.totals).toMatchObject({ damaged: 2, healed: 1 })
  })

  it('writes the damaged trace of a deletion anew, so that the index can be built from the log', async () => {
    await store.put('box', 'gone-forever', 'x')
    await store.engine.deleteObject({ bucket: 'box', key: 'gone-forever' })
    // Filled up, the segment is sealed, and the next one begun.
    for (let i = 0; i < 40; i++) await store.put('box', `fill${i}`, content(i, 30_000))
    await spoil(join(store.folder, 'volume'), labelOf('gone-forever'))
    const scrub = scrubber()
    scrub.begin()
    await ended(scrub)
    const found = { what: 'deletion', bucket: 'box', key: 'gone-forever', result: 'healed' }
    expect(scrub.last?.listed).toEqual([{ ...found, problem: undefined }])
    scrub.begin()
    await ended(scrub)
    expect(scrub.last?.damaged).toBe(0)
  })

  it('goes on where it was after a restart, and begins anew after it was stopped', async () => {
    for (let i = 0; i < 20; i++) await store.put('box', `k${String(i).padStart(2, '0')}`, 'x')
    const first = scrubber({ rate: 4096 })
    first.begin()
    while ((first.running?.objects ?? 0) < 5) {
      clock.step(hour)
      await settleTasks()
    }
    await first.close()
    const memory = saved.at(-1)
    const done = memory?.run?.objects ?? 0
    expect(done).toBeGreaterThan(1)
    expect(done).toBeLessThan(20)
    const second = scrubber({ memory })
    second.start()
    await ended(second)
    expect(second.last?.objects).toBe(20)
    expect(second.totals.objects).toBe(20 - done)

    const third = scrubber({ rate: 4096, memory: saved.at(-1) })
    third.begin()
    await third.cancel()
    expect(third.last?.reason).toBe('it was stopped')
    expect(saved.at(-1)?.run).toBeUndefined()
  })

  it('begins by itself once the interval is over, counted from the last one, over restarts', async () => {
    await store.put('box', 'k', 'x')
    const first = scrubber({ intervalMs: 2 * day })
    first.start()
    expect(first.nextAt).toBe(clock.now() + 2 * day)
    for (let hours = 0; hours < 47; hours++) {
      clock.advance(hour)
      await settleTasks()
    }
    expect(saved.at(-1)?.run).toBeUndefined()
    expect(first.running).toBeUndefined()
    expect(first.last).toBeUndefined()
    while (first.last === undefined) {
      clock.advance(hour)
      await settleTasks()
    }
    await ended(first)
    expect(first.last?.objects).toBe(1)
    await first.close()
    const second = scrubber({ intervalMs: 2 * day, memory: saved.at(-1) })
    expect(second.nextAt).toBe((first.last?.finishedAt ?? 0) + 2 * day)
    await second.close()
  })
})
