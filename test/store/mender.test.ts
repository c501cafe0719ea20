import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { CorruptObjectError } from '../../src/store/model/errors.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import { TestStore } from './open-store.ts'
import { spoil } from './spoil.ts'

let store: TestStore

beforeEach(async () => {
  store = await TestStore.open()
})

afterEach(() => store.remove())

const small = Buffer.from(seededRandom(1).bytes(20_000))
/** Several chunks in the bulk log, whose segments have 1 MiB here. */
const large = Buffer.from(seededRandom(2).bytes(900_000))

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000)
}

const mend = async (key: string, bytes: Buffer) => {
  const info = store.engine.headObject({ bucket: 'box', key })
  if (info === undefined) throw new Error('it is not there')
  return store.engine.mender.mend({ bucket: 'box', key }, info.version, pieces(bytes))
}

async function damaged(key: string, body: Buffer): Promise<void> {
  await store.put('box', key, body)
  await spoil(join(store.folder, 'volume'), body.subarray(5000, 6000))
  await expect(store.get('box', key)).rejects.toThrow(CorruptObjectError)
}

describe.each([
  ['a small object', small],
  ['a large object', large],
])('the damaged bytes of %s', (_, body) => {
  it('are replaced under the same seq and version, also after a restart', async () => {
    await damaged('x', body)
    const before = store.engine.survey.stateOf(objectSlot('box', 'x'))
    const { engine } = store
    expect(await mend('x', body)).toBe('mended')
    expect((await store.get('box', 'x'))?.equals(body)).toBe(true)
    expect(engine.survey.stateOf(objectSlot('box', 'x'))).toEqual(before)
    expect(engine.feed.head()).toBe(before.seq)
    await store.reopen()
    expect((await store.get('box', 'x'))?.equals(body)).toBe(true)
  })

  it('are not replaced by anything that does not have the hash', async () => {
    await damaged('x', body)
    const other = Buffer.from(body)
    other[0] = (other[0] ?? 0) ^ 1
    for (const wrong of [other, body.subarray(1), Buffer.concat([body, body])]) {
      expect(await mend('x', wrong)).toBe('mismatch')
    }
    await expect(store.get('box', 'x')).rejects.toThrow(CorruptObjectError)
  })

  it('give way to a newer version that is written meanwhile', async () => {
    await damaged('x', body)
    const { version } = store.engine.headObject({ bucket: 'box', key: 'x' }) ?? {}
    if (version === undefined) throw new Error('it is there')
    async function* slow(): AsyncGenerator<Buffer> {
      yield* pieces(body)
      await store.put('box', 'x', 'newer')
    }
    const name = { bucket: 'box', key: 'x' }
    expect(await store.engine.mender.mend(name, version, slow())).toBe('gone')
    expect(String(await store.get('box', 'x'))).toBe('newer')
  })
})

it('a mended object gives its damaged chunks back, and takes no more room than before', async () => {
  await damaged('x', large)
  const used = (): number => store.volume.usage().usedBytes
  expect(await mend('x', large)).toBe('mended')
  const after = used()
  for (let round = 0; round < 6; round++) expect(await mend('x', large)).toBe('mended')
  expect(used()).toBeLessThanOrEqual(after + 3 * 2 ** 20)
  expect((await store.get('box', 'x'))?.equals(large)).toBe(true)
})

it('the damaged bytes of a small object do not keep the index from being built anew', async () => {
  await damaged('x', small)
  await store.put('box', 'y', 'sound')
  // The start seals the segment; before that, damage could be a torn write.
  await store.reopen()
  await store.loseIndex()
  await expect(store.get('box', 'x')).rejects.toThrow(CorruptObjectError)
  expect(String(await store.get('box', 'y'))).toBe('sound')
  expect(await mend('x', small)).toBe('mended')
  await store.loseIndex()
  expect((await store.get('box', 'x'))?.equals(small)).toBe(true)
  expect(await store.engine.totals()).toEqual({ count: 2, bytes: small.length + 5 })
})

it('the mended bytes of a large object stay when the index is built anew from the log', async () => {
  await damaged('x', large)
  expect(await mend('x', large)).toBe('mended')
  await store.loseIndex()
  expect((await store.get('box', 'x'))?.equals(large)).toBe(true)
  expect(await store.engine.totals()).toEqual({ count: 1, bytes: large.length })
  await store.put('box', 'x', 'another')
  await store.loseIndex()
  expect(String(await store.get('box', 'x'))).toBe('another')
})
