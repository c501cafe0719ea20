/** Records of the log that are no mutations: uploads on their way, dead letters, conflicts. */
import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import type { PutMutation } from '../../src/store/model/mutation.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { MemoryStore } from './memory-store.ts'

const segmentBytes = 64 * 1024
/** Twice as many as the volume has segments. */
const rounds = 32
const pool = Buffer.from(seededRandom(1).bytes(64 * 1024))
const objectBytes = 3000

let store: MemoryStore

beforeEach(async () => {
  store = await MemoryStore.open({ segmentBytes, capacityBytes: 16 * segmentBytes, reclaim: {} })
})
afterEach(() => store.close())

/** A write of another site, which has seen nothing. */
function mutationOf(key: string, content: Buffer): PutMutation {
  return {
    kind: 'put',
    slot: objectSlot('photos', key),
    version: makeVersion(1_700_000_000_000, 0, 'elsewhere'),
    context: [],
    meta: {
      size: content.length,
      etag: hash('md5', content, 'hex'),
      contentHash: { algorithm: 'sha256', digest: hash('sha256', content, 'buffer') },
      lastModified: 0,
      headers: {},
      userMetadata: {},
    },
  }
}

/** Overwrites as much as a segment holds, so that what follows lies in the next one. */
async function overwrite(): Promise<void> {
  for (let i = 0; i < segmentBytes / objectBytes; i++) {
    await store.put(`k${i % 10}`, pool.subarray(i, i + objectBytes))
  }
}

const upload = (round: number) => ({
  content: pool.subarray(round, round + 2000),
  mutation: mutationOf(`upload-${round}`, pool.subarray(round, round + 2000)),
})

async function beginUpload(round: number): Promise<void> {
  const { content, mutation } = upload(round)
  const staged = await store.engine.stageUpload(mutation)
  await staged.append(content.subarray(0, 1000))
  await staged.checkpoint()
  await staged.close()
}

/** @returns the place that the remote has refused */
async function buryLetter(round: number): Promise<number> {
  await store.put(`letter-${round}`, Buffer.from('x'))
  const ledger = await store.engine.ledger('there')
  let buried = 0
  for (let places = await ledger.take(100); places.length > 0; places = await ledger.take(100)) {
    for (const place of places) {
      const isIt = place.slot.kind === 'object' && place.slot.key === `letter-${round}`
      if (isIt) {
        await ledger.bury(place, { reason: `no ${round}`, attempts: 1 })
        buried = place.seq
      } else await ledger.settle([{ place, result: 'replicated' }])
    }
  }
  return buried
}

async function collide(round: number): Promise<void> {
  const key = `conflict-${round}`
  await store.put(key, Buffer.from('here'))
  const bytes = Buffer.from('there')
  const change = { mutation: mutationOf(key, bytes), body: { kind: 'inline', bytes } as const }
  expect(await store.engine.apply([change], undefined)).toMatchObject([{ result: 'conflict' }])
}

async function expectLetters(letters: readonly number[]): Promise<void> {
  const ledger = await store.engine.ledger('there')
  for (const [round, seq] of letters.entries()) {
    expect(ledger.deadLetter(seq)).toMatchObject({ seq, reason: `no ${round}` })
  }
}

function expectConflicts(): void {
  const listed = store.engine.conflicts.conflicts(100)
  expect(listed.map(({ id }) => id)).toEqual(Array.from({ length: rounds }, (_, i) => rounds - i))
}

/** They go on where they were. */
async function finishUploads(heldBytes: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const { content, mutation } = upload(round)
    const staged = await store.engine.stageUpload(mutation)
    expect(staged.heldBytes).toBe(heldBytes)
    await staged.append(content.subarray(heldBytes))
    const change = { mutation, body: { kind: 'staged', upload: staged } as const }
    expect(await store.engine.apply([change], undefined)).toEqual([{ result: 'applied' }])
    expect((await store.get(`upload-${round}`))?.equals(content)).toBe(true)
  }
}

describe('a volume with an upload, a dead letter and a conflict in every segment of its log', () => {
  it('stays writable through overwrites without end, and has them all, also after restarts and a rebuild', async () => {
    await store.engine.ledger('there')
    const letters: number[] = []
    for (let round = 0; round < rounds; round++) {
      await beginUpload(round)
      letters.push(await buryLetter(round))
      await collide(round)
      await overwrite()
    }
    await expectLetters(letters)
    expectConflicts()
    await store.losePower()
    await expectLetters(letters)
    expectConflicts()
    await finishUploads(1000)
    await store.loseIndex()
    expectConflicts()
    for (let i = 0; i < 20; i++) await overwrite()
  })

  it('begins uploads anew when the index is built anew, and has their room again', async () => {
    for (let round = 0; round < rounds; round++) await beginUpload(round)
    await store.loseIndex()
    await finishUploads(0)
  })

  it('does not bring back what has ended, by way of a copy', async () => {
    const ledger = await store.engine.ledger('there')
    for (let round = 0; round < rounds; round++) {
      await beginUpload(round)
      await buryLetter(round)
      await collide(round)
      await overwrite()
    }
    for (let round = 0; round < rounds; round++) {
      await (await store.engine.stageUpload(upload(round).mutation)).abort()
      await store.engine.deleteObject({ bucket: 'photos', key: `conflict-${round}` })
    }
    await ledger.replay({ from: 'failed' }, { dryRun: false })
    for (const ending of ['power', 'index'] as const) {
      if (ending === 'power') await store.losePower()
      else await store.loseIndex()
      for (let round = 0; round < rounds; round++) {
        const staged = await store.engine.stageUpload(upload(round).mutation)
        expect(staged.heldBytes).toBe(0)
        await staged.close()
      }
      if (ending === 'index') continue
      const again = await store.engine.ledger('there')
      expect(again.counters()).toMatchObject({ openLetters: 0 })
    }
  })
})
