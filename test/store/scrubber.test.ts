import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { DirectoryDevice } from '../../src/device/directory-device.ts'
import { encodeLabel, type PutMutation } from '../../src/store/model/mutation.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import type { HealOutcome } from '../../src/store/scrub/scrub-pass.ts'
import { Scrubber, type ScrubberOptions, type ScrubMemory } from '../../src/store/scrub/scrubber.ts'
import { recordKinds } from '../../src/store/tables/records.ts'
import { VolumeInspection } from '../../src/volume/inspection/volume-inspection.ts'
import { ManualClock, settleTasks } from '../replication/manual-clock.ts'
import { fill } from './fill.ts'
import { TestStore } from './open-store.ts'
import { putElsewhere } from './put-elsewhere.ts'
import { spoil, spoilAt } from './spoil.ts'

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

/** Filled up, the segment is sealed, and the next one begun. */
async function fillSegment(): Promise<void> {
  for (let i = 0; i < 40; i++) await store.put('box', `fill${i}`, content(i, 30_000))
}

/** An upload with one part of 1000 bytes, a letter that was refused, and a conflict. */
async function leaveUnplaced(): Promise<{ upload: PutMutation; letter: number }> {
  const ledger = await store.engine.ledger('there')
  await store.put('box', 'refused', 'x')
  const places = await ledger.take(10)
  const place = places.find(({ slot }) => slot.kind === 'object')
  if (place === undefined) throw new Error('nothing is to be shipped')
  await ledger.bury(place, { reason: 'not here', attempts: 1 })
  const upload = putElsewhere('upload', content(3, 2000))
  const staged = await store.engine.stageUpload(upload)
  await staged.append(content(3, 2000).subarray(0, 1000))
  await staged.checkpoint()
  await staged.close()
  await store.put('box', 'both', 'here')
  const bytes = Buffer.from('there')
  const change = { mutation: putElsewhere('both', bytes), body: { kind: 'inline', bytes } as const }
  await store.engine.apply([change], undefined)
  return { upload, letter: place.seq }
}

/** The header of the last record of the kind in the log, on the disk. */
async function spoilRecord(kind: number): Promise<void> {
  const listed = []
  for (const segment of store.volume.segments()) {
    listed.push(...(await store.volume.recordsOf(segment)))
  }
  const record = listed.findLast((one) => one.kind === kind)
  if (record === undefined) throw new Error('no finished segment has such a record')
  await spoilAt(join(store.folder, 'volume'), record.location)
}

/** The same of each kind, of a store that is closed, where the record may stand in the newest segment. */
async function spoilOnDisk(kinds: readonly number[]): Promise<void> {
  const path = join(store.folder, 'volume')
  const inspection = await VolumeInspection.open(await DirectoryDevice.open(path))
  const last = new Map<number, { readonly segment: number; readonly offset: number }>()
  try {
    for (const entry of inspection.segments) {
      for await (const step of inspection.steps(entry)) {
        if (step.type !== 'group') continue
        for (const { kind, offset } of step.records) {
          last.set(kind, { segment: entry.segment, offset })
        }
      }
    }
  } finally {
    await inspection.close()
  }
  for (const kind of kinds) {
    const place = last.get(kind)
    if (place === undefined) throw new Error(`there is no record of kind ${kind}`)
    await spoilAt(path, place)
  }
}

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
    await fillSegment()
    await spoil(join(store.folder, 'volume'), labelOf('gone-forever'))
    const scrub = scrubber()
    scrub.begin()
    await ended(scrub)
    const found = { what: 'deletion', bucket: 'box', key: 'gone-forever', result: 'healed' }
    expect(scrub.last?.listed).toEqual([{ ...found, problem: undefined }])
    scrub.begin()
    await ended(scrub)
    expect(scrub.last?.damaged).toBe(0)
    await store.loseIndex()
    expect(store.engine.survey.stateOf(objectSlot('box', 'gone-forever')).version).toBeDefined()
    expect(await store.get('box', 'fill0')).toEqual(content(0, 30_000))
  })

  it('writes damaged records of uploads, dead letters and conflicts anew, so that the index can be built from the log', async () => {
    const { upload, letter } = await leaveUnplaced()
    const conflicts = store.engine.conflicts.conflicts(10)
    expect(conflicts).toHaveLength(1)
    await fillSegment()
    for (const kind of ['upload', 'part', 'deadletter', 'conflict'] as const) {
      await spoilRecord(recordKinds[kind])
    }
    const scrub = scrubber()
    scrub.begin()
    await ended(scrub)
    expect(scrub.last).toMatchObject({ damaged: 4, healed: 4 })
    const found = scrub.last?.listed.map(({ what, key }) => `${what} ${key}`)
    expect(found?.sort()).toEqual([
      'conflict both',
      'letter refused',
      'upload upload',
      'upload upload',
    ])
    scrub.begin()
    await ended(scrub)
    expect(scrub.last?.damaged).toBe(0)

    await store.reopen()
    const staged = await store.engine.stageUpload(upload)
    expect(staged.heldBytes).toBe(1000)
    await staged.close()
    const ledger = await store.engine.ledger('there')
    expect(ledger.deadLetter(letter)).toMatchObject({ reason: 'not here' })
    await store.loseIndex()
    expect(store.engine.conflicts.conflicts(10)).toEqual(conflicts)
  })

  it('writes damaged records of buckets and purges anew, so that the index can be built from the log', async () => {
    await store.put('box', 'purged', 'x')
    await store.engine.purgeBucket('box')
    await store.put('box', 'kept', 'y')
    await store.engine.conflicts.setConflictPolicy('box', 'keep-both')
    await fillSegment()
    for (const kind of ['bucket', 'purge'] as const) await spoilRecord(recordKinds[kind])
    const before = store.engine.survey.stateOf({ kind: 'floor', bucket: 'box' }).version
    expect(before).toBeDefined()
    const scrub = scrubber()
    scrub.begin()
    await ended(scrub)
    const found = scrub.last?.listed.map(({ what, result }) => `${what} ${result}`)
    expect(found?.sort()).toEqual(['bucket healed', 'purge healed'])
    await store.loseIndex()
    expect(store.engine.survey.stateOf({ kind: 'floor', bucket: 'box' }).version).toBe(before)
    expect(store.engine.conflicts.conflictPolicy('box')).toEqual({
      policy: 'keep-both',
      isOwn: true,
    })
    expect(await store.get('box', 'purged')).toBeUndefined()
    expect((await store.get('box', 'kept'))?.toString()).toBe('y')
  })

  it('writes anew what was damaged in the newest segment before a start finished it', async () => {
    const { letter } = await leaveUnplaced()
    await store.put('box', 'gone-forever', 'x')
    await store.engine.deleteObject({ bucket: 'box', key: 'gone-forever' })
    await store.put('other', 'purged', 'x')
    await store.engine.purgeBucket('other')
    // Once it is swept.
    await store.engine.deleteBucket('other')
    await store.engine.conflicts.setConflictPolicy('box', 'keep-both')
    const conflicts = store.engine.conflicts.conflicts(10)
    const { version } = store.engine.survey.stateOf(objectSlot('box', 'gone-forever'))
    await store.close()
    const { upload, part, deadletter, conflict, delete: deletion, purge, bucket } = recordKinds
    await spoilOnDisk([upload, part, deadletter, conflict, deletion, purge, bucket])
    await store.reopen()
    const ledger = await store.engine.ledger('there')
    expect(ledger.deadLetter(letter)).toMatchObject({ reason: 'not here' })
    const scrub = scrubber()
    scrub.begin()
    await ended(scrub)
    const found = scrub.last?.listed.map(({ what, result }) => `${what} ${result}`)
    expect(found?.sort()).toEqual([
      'bucket healed',
      'conflict healed',
      'deletion healed',
      'letter healed',
      'purge healed',
      'upload healed',
      'upload healed',
    ])
    scrub.begin()
    await ended(scrub)
    expect(scrub.last?.damaged).toBe(0)
    await store.loseIndex()
    expect(store.engine.conflicts.conflicts(10)).toEqual(conflicts)
    expect(store.engine.survey.stateOf(objectSlot('box', 'gone-forever')).version).toBe(version)
    expect(await store.get('other', 'purged')).toBeUndefined()
    expect(store.engine.conflicts.conflictPolicy('box').policy).toBe('keep-both')
  })

  it('says what keeps a damaged record from being written anew', async () => {
    const body = content(2, 20_000)
    await store.put('box', 'bad', body)
    await store.put('box', 'gone-forever', 'x')
    await store.engine.deleteObject({ bucket: 'box', key: 'gone-forever' })
    await fillSegment()
    await spoil(join(store.folder, 'volume'), body.subarray(-500))
    await spoil(join(store.folder, 'volume'), labelOf('gone-forever'))
    const scrub = scrubber()
    for (const _ of ['first', 'second']) {
      scrub.begin()
      await ended(scrub)
      expect(scrub.last?.listed).toMatchObject([
        { what: 'object', key: 'bad', result: 'damaged' },
        {
          ...{ what: 'deletion', key: 'gone-forever', result: 'damaged' },
          problem: expect.stringMatching(
            /record header .*; writing it anew failed: .*body block 0/,
          ),
        },
      ])
    }
    await store.engine.deleteObject({ bucket: 'box', key: 'bad' })
    scrub.begin()
    await ended(scrub)
    expect(scrub.last).toMatchObject({ damaged: 1, healed: 1 })
  })

  it('leaves a damaged record where it is while there is no room, and heals it when there is', async () => {
    const segmentBytes = 256 * 1024
    await store.remove()
    store = await TestStore.open({ segmentBytes, capacityBytes: 12 * segmentBytes })
    await store.put('box', 'gone-forever', 'x')
    await store.engine.deleteObject({ bucket: 'box', key: 'gone-forever' })
    const keys = Array.from({ length: 100 }, (_, i) => `k${100 + i}`)
    await Promise.all(keys.map((key, i) => store.put('box', key, content(i, 3000))))
    await spoil(join(store.folder, 'volume'), labelOf('gone-forever'))
    const large = await fill(store, 60_000)
    const scrub = scrubber()
    scrub.begin()
    await ended(scrub)
    expect(scrub.last?.listed).toMatchObject([{ problem: expect.stringContaining('no room') }])
    for (const key of large) await store.engine.deleteObject({ bucket: 'photos', key })
    scrub.begin()
    await ended(scrub)
    expect(scrub.last).toMatchObject({ damaged: 1, healed: 1 })
    await store.loseIndex()
    expect(await store.keys('box')).toEqual(keys)
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
