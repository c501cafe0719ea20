import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BudgetExhaustedError } from '../../src/base/byte-budget.ts'
import { seededRandom } from '../../src/base/random.ts'
import { RemoteUnreachableError } from '../../src/replication/wire/errors.ts'
import { parseMendedObject, parseReadQuestion } from '../../src/replication/wire/read-documents.ts'
import type { SiteReader } from '../../src/replication/wire/site-reader.ts'
import { CorruptObjectError } from '../../src/store/model/errors.ts'
import { wantsEverything } from '../../src/store/model/place-filter.ts'
import { spoil } from '../store/spoil.ts'
import { eventually } from './http-site.ts'
import { bring, DirectReader, ReadingSite } from './read-sites.ts'

let here: ReadingSite
let there: ReadingSite
const opened: ReadingSite[] = []

async function openSite(
  siteId: string,
  options: { timeoutMs?: number; segmentBytes?: number } = {},
) {
  const site = await ReadingSite.open(siteId, options)
  opened.push(site)
  return site
}

async function openBoth(): Promise<void> {
  here = await openSite('here')
  there = await openSite('there')
}

afterEach(async () => {
  for (const site of opened.splice(0)) await site.close()
})

const readsThere = () => here.readsFrom('there', new DirectReader(there.store))
const put = (site: ReadingSite, key: string, content: string | Buffer) =>
  site.store.put('box', key, content)
const remove = (site: ReadingSite, key: string) =>
  site.store.engine.deleteObject({ bucket: 'box', key })

describe('an object that is not here yet', () => {
  beforeEach(openBoth)

  it('is read from the remote that has it, and leaves nothing here', async () => {
    await readsThere()
    await put(there, 'x', 'from there')
    expect(await here.readElsewhere('x')).toBe('from there')
    expect(await here.readElsewhere('y')).toBeUndefined()
    expect(here.store.engine.headObject({ bucket: 'box', key: 'x' })).toBeUndefined()
    expect(await here.store.engine.listBuckets()).toEqual([])
    expect(here.counted()).toEqual({ served: 1, absent: 1 })
  })

  it('is the newest that any remote has', async () => {
    const third = await openSite('third')
    await put(there, 'x', 'old')
    await put(third, 'x', 'new')
    await here.readsFrom('third', new DirectReader(third.store))
    await readsThere()
    expect(await here.readElsewhere('x')).toBe('new')
  })

  it('is asked for only where the link is to carry it', async () => {
    const filter = { ...wantsEverything, buckets: ['box'], excludePrefixes: ['private/'] }
    await here.readsFrom('there', new DirectReader(there.store), filter)
    for (const key of ['public', 'private/x']) await put(there, key, key)
    await there.store.put('other', 'x', 'x')
    expect(await here.readElsewhere('public')).toBe('public')
    expect(await here.readElsewhere('private/x')).toBeUndefined()
    expect(await here.readElsewhere('x', 'other')).toBeUndefined()
    expect(here.counted()).toEqual({ served: 1 })
  })

  it('is told only as far as the link from there carries it', async () => {
    await readsThere()
    for (const key of ['public', 'private/x']) await put(there, key, key)
    const { volumeId, incarnation } = here.store.volume.identity
    const filter = { ...wantsEverything, excludePrefixes: ['private/'] }
    const link = { filter, settings: '', state: 'linked' } as const
    const { ledger } = await there.store.engine.remotes.link('here', link)
    const peer = { volumeId, incarnation, through: 0, head: 0, sendAllUpTo: 0 }
    await ledger.confirmPeer(peer)
    expect(await here.readElsewhere('public')).toBe('public')
    expect(await here.readElsewhere('private/x')).toBeUndefined()
  })
})

describe('what was deleted', () => {
  beforeEach(openBoth)

  it('here is not shown again for a remote that still has it', async () => {
    await readsThere()
    await put(there, 'x', 'old')
    await bring('x', there.store, here.store)
    await remove(here, 'x')
    expect(await here.readElsewhere('x')).toBeUndefined()
    expect(here.counted()).toEqual({ deleted: 1 })
  })

  it('here is shown again when it was written anew by somebody who knew of that', async () => {
    await readsThere()
    await put(there, 'x', 'old')
    await bring('x', there.store, here.store)
    await remove(here, 'x')
    await bring('x', here.store, there.store)
    await put(there, 'x', 'again')
    expect(await here.readElsewhere('x')).toBe('again')
  })

  it('here is not shown again for a write that had not seen that, however new', async () => {
    await readsThere()
    await put(there, 'x', 'old')
    await bring('x', there.store, here.store)
    await remove(here, 'x')
    there.store.skewMs = 60_000
    await put(there, 'x', 'newer, and unaware')
    expect(await here.readElsewhere('x')).toBeUndefined()
  })

  it('at one remote is not shown for another that has not heard of it', async () => {
    const third = await openSite('third')
    await put(there, 'x', 'old')
    await bring('x', there.store, third.store)
    await remove(third, 'x')
    await readsThere()
    await here.readsFrom('third', new DirectReader(third.store))
    expect(await here.readElsewhere('x')).toBeUndefined()
  })

  it('with its whole bucket, here or at a remote, is not shown either; what came later is', async () => {
    await readsThere()
    const third = await openSite('third')
    await here.readsFrom('third', new DirectReader(third.store))
    await put(there, 'x', 'old')
    await put(third, 'other', 'old')
    await third.store.engine.purgeBucket('box')
    expect(await here.readElsewhere('x')).toBeUndefined()
    await bring('', third.store, here.store)
    here.remotes = here.remotes.slice(0, 1)
    expect(await here.readElsewhere('x')).toBeUndefined()
    await put(there, 'y', 'later')
    expect(await here.readElsewhere('y')).toBe('later')
  })

  it('that was seen at a remote alone does not appear when it arrives, and goes there too', async () => {
    await readsThere()
    await put(there, 'x', 'seen')
    const seen = there.store.engine.headObject({ bucket: 'box', key: 'x' })?.version
    // The clock here is behind: it is what was seen that counts.
    here.store.skewMs = -60_000
    await here.store.engine.deleteObject({ bucket: 'box', key: 'x', seen })
    expect(await here.readElsewhere('x')).toBeUndefined()
    await expect(bring('x', there.store, here.store)).rejects.toThrow('it was superseded')
    await bring('x', here.store, there.store)
    expect(await there.store.keys('box')).toEqual([])
    const { noticed } = there.store.engine.conflicts.conflictTotals()
    expect(noticed).toBe(0)
    // What is known to be deleted is not deleted again.
    expect(await here.store.engine.deleteObject({ bucket: 'box', key: 'x', seen })).toBe(false)
  })

  it('while the remote was being asked is not shown', async () => {
    await put(there, 'x', 'old')
    await bring('x', there.store, here.store)
    const reader = new DirectReader(there.store)
    const look = reader.look.bind(reader)
    reader.look = async (question) => {
      const answer = await look(question)
      await remove(here, 'x')
      return answer
    }
    await here.readsFrom('there', reader)
    expect(await here.readElsewhere('x')).toBeUndefined()
  })
})

/** Answers when it is let. */
class SilentReader implements SiteReader {
  calls = 0
  #end: (() => void)[] = []

  look(_question: string, signal: AbortSignal): Promise<Buffer> {
    this.calls++
    return new Promise((_, reject) => {
      const end = (): void => reject(new RemoteUnreachableError('no answer'))
      signal.addEventListener('abort', end, { once: true })
      this.#end.push(end)
    })
  }

  readBytes(): Promise<AsyncIterable<Buffer>> {
    throw new Error('nothing was found')
  }

  bringBytes(): Promise<void> {
    throw new Error('nothing is brought')
  }

  async close(): Promise<void> {
    for (const end of this.#end) end()
  }
}

describe('a remote that does not answer', () => {
  beforeEach(openBoth)

  it('is waited for once, and then left alone for a while', async () => {
    here = await openSite('impatient', { timeoutMs: 50 })
    const silent = new SilentReader()
    await here.readsFrom('there', silent)
    for (let i = 0; i < 5; i++) expect(await here.readElsewhere('x')).toBeUndefined()
    expect(silent.calls).toBe(1)
    expect(here.counted()).toEqual({ unreachable: 5 })
    const warned = here.lines.filter(({ message }) => message === 'A remote cannot be read from')
    expect(warned).toHaveLength(1)
  })

  it('does not keep another one from answering', async () => {
    // Enough for the one that answers.
    here = await openSite('impatient', { timeoutMs: 2000 })
    await here.readsFrom('silent', new SilentReader())
    await readsThere()
    await put(there, 'x', 'from there')
    expect(await here.readElsewhere('x')).toBe('from there')
  })

  it('holds no more reads than the bound, and frees them when their readers leave', async () => {
    const silent = new SilentReader()
    await here.readsFrom('there', silent)
    const reader = new AbortController()
    const { signal } = reader
    const name = { bucket: 'box', key: 'x' }
    const reads = Array.from({ length: 40 }, () => here.proxy.open(name, { bytes: false, signal }))
    await eventually(() => silent.calls === 32, '32 reads are under way')
    reader.abort()
    expect((await Promise.allSettled(reads)).map(({ status }) => status)).not.toContain('fulfilled')
    here.remotes = []
    await readsThere()
    await put(there, 'x', 'from there')
    expect(await here.readElsewhere('x')).toBe('from there')
  })

  it('refuses those that find no place in time', async () => {
    here = await openSite('impatient', { timeoutMs: 2000 })
    await readsThere()
    await put(there, 'x', 'from there')
    const { signal } = new AbortController()
    const name = { bucket: 'box', key: 'x' }
    const open = () => here.proxy.open(name, { bytes: true, signal })
    const objects = await Promise.all(Array.from({ length: 32 }, open))
    await expect(open()).rejects.toThrow(BudgetExhaustedError)
    for (const object of objects) object?.close()
    expect(await here.readElsewhere('x')).toBe('from there')
    expect(here.counted()).toMatchObject({ refused: 1 })
  })
})

const small = Buffer.from(seededRandom(1).bytes(20_000))
const large = Buffer.from(seededRandom(2).bytes(900_000))

describe.each([
  ['small', small],
  ['large', large],
])('a %s object with damaged bytes', (_, body) => {
  beforeEach(async () => {
    await openBoth()
    await put(here, 'x', body)
    await bring('x', here.store, there.store)
    // In the middle: what comes before is sound, and given out.
    const middle = body.length >> 1
    await spoil(join(here.store.folder, 'volume'), body.subarray(middle, middle + 1000))
  })

  it('is read to its end with the bytes of a remote, and mended behind it', async () => {
    await readsThere()
    const before = here.store.engine.headObject({ bucket: 'box', key: 'x' })
    expect((await here.readOwn('x')).equals(body)).toBe(true)
    await eventually(() => here.tally.mended === 1, 'it is mended')
    expect((await here.store.get('box', 'x'))?.equals(body)).toBe(true)
    expect(here.store.engine.headObject({ bucket: 'box', key: 'x' })).toEqual(before)
    expect(here.tally).toMatchObject({ damagedReads: 1, rescuedReads: 1, mendFailures: 0 })
    expect(here.lines.map(({ message }) => message)).toEqual([
      'Stored bytes are damaged',
      'Damaged bytes were replaced by those of a remote',
    ])
  })

  it('is an error as long as no remote has that very version', async () => {
    await readsThere()
    await put(there, 'x', 'newer')
    await expect(here.readOwn('x')).rejects.toThrow(CorruptObjectError)
    await eventually(() => here.tally.mendFailures === 1, 'mending was tried')
    await expect(here.readOwn('x')).rejects.toThrow(CorruptObjectError)
    expect(here.tally).toMatchObject({ damagedReads: 2, rescuedReads: 0, mended: 0 })
  })

  it('is an error at a site without remotes, and counted', async () => {
    await expect(here.readOwn('x')).rejects.toThrow(CorruptObjectError)
    expect(here.tally).toMatchObject({ damagedReads: 1, rescuedReads: 0, mendFailures: 0 })
  })

  it('is not taken from a remote whose own bytes are damaged', async () => {
    await readsThere()
    const middle = body.length >> 1
    await spoil(join(there.store.folder, 'volume'), body.subarray(middle, middle + 1000))
    await expect(here.readOwn('x')).rejects.toThrow(CorruptObjectError)
    await eventually(() => here.tally.mendFailures === 1, 'mending was tried')
    expect(here.tally.mended).toBe(0)
  })
})

describe('an object that is damaged here and at the remote, in different places', () => {
  const spoilAt = (site: ReadingSite, body: Buffer, at: number) =>
    spoil(join(site.store.folder, 'volume'), body.subarray(at, at + 1000))

  it('is put together from both, for the reader and for good', async () => {
    await openBoth()
    await readsThere()
    await put(here, 'x', large)
    await bring('x', here.store, there.store)
    // Apart by less than what is read at a time, and by more.
    for (const at of [80_000, 500_000]) await spoilAt(here, large, at)
    for (const at of [10_000, 300_000, 850_000]) await spoilAt(there, large, at)
    expect((await here.readOwn('x')).equals(large)).toBe(true)
    await eventually(() => here.tally.mended === 1, 'it is mended')
    expect((await here.store.get('box', 'x'))?.equals(large)).toBe(true)
    expect(here.tally).toMatchObject({ damagedReads: 1, rescuedReads: 1, mendFailures: 0 })
  })

  it('is put together from both as well where it is small enough to lie in the log', async () => {
    const segmentBytes = 4 * 2 ** 20
    here = await openSite('here', { segmentBytes })
    there = await openSite('there', { segmentBytes })
    await readsThere()
    const body = large.subarray(0, here.store.volume.limits.inlineBytesMax)
    await put(here, 'x', body)
    await bring('x', here.store, there.store)
    await spoilAt(here, body, 80_000)
    for (const at of [10_000, 150_000]) await spoilAt(there, body, at)
    expect((await here.readOwn('x')).equals(body)).toBe(true)
    await eventually(() => here.tally.mended === 1, 'it is mended')
    expect((await here.store.get('box', 'x'))?.equals(body)).toBe(true)
    expect(here.tally).toMatchObject({ damagedReads: 1, rescuedReads: 1, mendFailures: 0 })
  })
})

describe('a question of a read', () => {
  it.each([
    ['{}'],
    ['{"volumeId":"v","ask":"everything"}'],
    ['{"volumeId":"v","ask":"object","inlineMax":1}'],
    ['{"volumeId":"v","ask":"object","inlineMax":1,"slot":{"kind":"floor","bucket":"b"}}'],
    ['{"volumeId":"v","ask":"bytes","slot":{"kind":"object","bucket":"b","key":"k"}}'],
  ])('that makes no sense is refused: %s', (text) => {
    expect(() => parseReadQuestion(text)).toThrow()
    expect(() => parseMendedObject(Buffer.from(text).toString('base64url'))).toThrow()
  })

  it('asks for no larger body than there is room for', () => {
    const slot = { kind: 'object', bucket: 'b', key: 'k' }
    const question = { volumeId: 'v', ask: 'object', slot, inlineMax: 10 ** 9 }
    const parsed = parseReadQuestion(JSON.stringify(question))
    expect(parsed).toMatchObject({ inlineMax: 64 * 1024 })
  })
})
