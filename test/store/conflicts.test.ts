import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import type { ConflictPolicy } from '../../src/store/model/bucket-register.ts'
import type { IncomingChange, WriteConflict } from '../../src/store/model/object-store.ts'
import { wantsEverything } from '../../src/store/model/place-filter.ts'
import { siteOf } from '../../src/store/model/version.ts'
import { TestStore } from './open-store.ts'

const opened: TestStore[] = []
afterEach(async () => {
  for (const store of opened.splice(0)) await store.remove()
})

async function openPair(conflictPolicy: ConflictPolicy): Promise<readonly [TestStore, TestStore]> {
  const pair = [
    await TestStore.open({ siteId: 'site-a', conflictPolicy, segmentBytes: 256 * 1024 }),
    await TestStore.open({ siteId: 'site-b', conflictPolicy, segmentBytes: 256 * 1024 }),
  ] as const
  opened.push(...pair)
  return pair
}

/** Everything that is in the feed of `from`, as it is now. */
async function changesOf(from: TestStore): Promise<readonly IncomingChange[]> {
  const changes: IncomingChange[] = []
  for (const place of await from.engine.feed.readPlaces(0, 1000)) {
    const change = from.engine.feed.loadChange(place)
    if (change === undefined) continue
    const { mutation, object } = change
    const bytes = await object?.readWhole()
    object?.close()
    changes.push({
      mutation,
      body: bytes === undefined ? { kind: 'none' } : { kind: 'inline', bytes },
    })
  }
  return changes
}

/** With what `from` says at the end, as a link does: that all it had is there now. */
async function ship(from: TestStore, to: TestStore): Promise<void> {
  for (const change of await changesOf(from)) await to.engine.apply([change], undefined)
  const { volumeId, incarnation } = from.volume.identity
  const scope = wantsEverything
  const { seq: through, upTo } = from.engine.holdings.mark(scope, to.volume.identity)
  const mark = { volumeId, incarnation, through, epoch: 1, ended: false }
  await to.engine.apply([], { ...mark, holdings: { scope, upTo } })
}

async function exchange(a: TestStore, b: TestStore): Promise<void> {
  for (const [from, to] of [
    [a, b],
    [b, a],
    [a, b],
  ] as const)
    await ship(from, to)
}

const textOf = async (store: TestStore, key: string): Promise<string | undefined> =>
  (await store.get('docs', key))?.toString()

function onlyConflict(store: TestStore): WriteConflict {
  const conflicts = store.engine.conflicts.conflicts(10)
  expect(conflicts).toHaveLength(1)
  return conflicts[0] as WriteConflict
}

async function remove(store: TestStore, key: string): Promise<void> {
  await store.engine.deleteObject({ bucket: 'docs', key })
}

/** Both have written `a`; the write of `b` is the later one. */
async function collide(a: TestStore, b: TestStore): Promise<void> {
  await a.put('docs', 'a', 'from a')
  b.skewMs = 5000
  await b.put('docs', 'a', 'from b')
}

describe('a delete', () => {
  it('never removes a version that its author had not seen, silently', async () => {
    for (const policy of ['last-write-wins', 'keep-both'] as const) {
      const [a, b] = await openPair(policy)
      await a.put('docs', 'a', 'seen')
      await a.put('docs', 'b', 'seen')
      await ship(a, b)
      // Made later than the deletes of `b` say: what is newer stays, whoever deleted what was before.
      await remove(b, 'b')
      a.skewMs = 5000
      await a.put('docs', 'b', 'unseen, and newer')
      a.skewMs = 0
      await a.put('docs', 'a', 'unseen')
      b.skewMs = 10_000
      await remove(b, 'a')
      await exchange(a, b)
      for (const store of [a, b]) {
        expect(await textOf(store, 'b')).toBe('unseen, and newer')
        const listed = store.engine.conflicts.conflicts(10).find(({ key }) => key === 'a')
        if (store === b || listed !== undefined) {
          expect(listed).toMatchObject({
            loser: { kind: 'put', size: 6 },
            winner: { kind: 'delete' },
          })
        }
        const kept = (await store.keys('docs')).filter((key) => key.startsWith('a.conflict-'))
        expect(kept).toHaveLength(policy === 'keep-both' ? 1 : 0)
        for (const key of kept) expect(await textOf(store, key)).toBe('unseen')
      }
    }
  })
})

describe('a conflict', () => {
  it('is listed with who, when, size and ETag of both sides, through a restart and a rebuild', async () => {
    const [a, b] = await openPair('last-write-wins')
    await collide(a, b)
    const lost = a.engine.headObject({ bucket: 'docs', key: 'a' })
    await ship(a, b)
    const conflict = onlyConflict(b)
    expect(conflict).toMatchObject({
      bucket: 'docs',
      key: 'a',
      loser: { kind: 'put', version: lost?.version, size: 6, etag: lost?.meta.etag },
      winner: { kind: 'put', size: 6 },
      keptAs: undefined,
    })
    expect(siteOf(conflict.winner.version)).toBe('site-b')
    await b.reopen()
    expect(onlyConflict(b)).toEqual(conflict)
    await b.loseIndex()
    expect(onlyConflict(b)).toEqual(conflict)
    expect(b.engine.conflicts.conflictTotals()).toEqual({
      noticed: 1,
      kept: 0,
      dropped: 0,
      open: 1,
    })
  })

  it('is listed once, however often the loser is sent', async () => {
    const [a, b] = await openPair('keep-both')
    await a.put('docs', 'a', 'from a')
    await b.put('docs', 'b', 'seen')
    await b.engine.purgeBucket('docs')
    for (let times = 0; times < 3; times++) await ship(a, b)
    expect(onlyConflict(b).winner.kind).toBe('purge')
  })

  it('is none between two deletes', async () => {
    const [a, b] = await openPair('keep-both')
    await a.put('docs', 'a', 'x')
    await ship(a, b)
    await remove(a, 'a')
    await remove(b, 'a')
    await exchange(a, b)
    expect(b.engine.conflicts.conflictTotals().noticed).toBe(0)
  })
})

describe('a write that lost, where both are kept,', () => {
  it('is at both sites under one name, whichever of them noticed', async () => {
    const [a, b] = await openPair('keep-both')
    await collide(a, b)
    await exchange(a, b)
    const { keptAs = '' } = onlyConflict(b)
    expect(keptAs).toMatch(/^a\.conflict-site-a-[0-9a-f]{16}$/)
    for (const store of [a, b]) {
      expect(await store.keys('docs')).toEqual(['a', keptAs])
      expect(await textOf(store, 'a')).toBe('from b')
      expect(await textOf(store, keptAs)).toBe('from a')
    }
    const [ours, theirs] = [a, b].map((store) =>
      store.engine.headObject({ bucket: 'docs', key: keptAs }),
    )
    expect(ours?.version).toBe(theirs?.version)
    expect(ours?.meta).toEqual(theirs?.meta)
  })

  it('is one and the same when both sites notice at once', async () => {
    const [a, b] = await openPair('keep-both')
    await collide(a, b)
    const [ofA, ofB] = [await changesOf(a), await changesOf(b)]
    await Promise.all([a.engine.apply(ofB, undefined), b.engine.apply(ofA, undefined)])
    await exchange(a, b)
    expect(onlyConflict(a).keptAs).toBe(onlyConflict(b).keptAs)
    expect(await a.keys('docs')).toEqual(await b.keys('docs'))
    expect(await a.keys('docs')).toHaveLength(2)
  })

  it('is whole when it is too large for a record, stored here or coming in', async () => {
    const large = randomBytes(200_000)
    for (const direction of ['stored', 'incoming'] as const) {
      const [a, b] = await openPair('keep-both')
      await a.put('docs', 'a', large)
      b.skewMs = 5000
      await b.put('docs', 'a', 'from b')
      if (direction === 'stored') await ship(b, a)
      else await ship(a, b)
      const store = direction === 'stored' ? a : b
      const { keptAs = '' } = onlyConflict(store)
      expect((await store.get('docs', keptAs))?.equals(large)).toBe(true)
      await store.loseIndex()
      expect((await store.get('docs', keptAs))?.equals(large)).toBe(true)
    }
  })

  it('is kept from a delete, and a delete that lost leaves nothing but its line', async () => {
    const [a, b] = await openPair('keep-both')
    await a.put('docs', 'a', 'first')
    await ship(a, b)
    await a.put('docs', 'a', 'second')
    b.skewMs = 5000
    await remove(b, 'a')
    await exchange(a, b)
    expect(await textOf(a, 'a')).toBeUndefined()
    expect(await textOf(a, onlyConflict(b).keptAs ?? '')).toBe('second')

    const [c, d] = await openPair('keep-both')
    await c.put('docs', 'a', 'first')
    await ship(c, d)
    await remove(c, 'a')
    d.skewMs = 5000
    await d.put('docs', 'a', 'second')
    await exchange(c, d)
    expect(onlyConflict(d)).toMatchObject({ loser: { kind: 'delete' }, keptAs: undefined })
    expect(await c.keys('docs')).toEqual(['a'])
  })

  it('is kept from a purge that had not seen it, until a purge has', async () => {
    const [a, b] = await openPair('keep-both')
    await a.put('docs', 'seen', 'x')
    await ship(a, b)
    await a.put('docs', 'unseen', 'y')
    b.skewMs = 5000
    await b.engine.purgeBucket('docs')
    await exchange(a, b)
    await a.engine.purgeBucket('elsewhere').catch(() => undefined)
    const { keptAs = '' } = onlyConflict(b)
    expect(await b.keys('docs')).toEqual([keptAs])
    expect(await textOf(b, keptAs)).toBe('y')
    // The site that had it finds it when it sweeps, and makes the same copy.
    await a.reopen()
    await exchange(a, b)
    expect(await a.keys('docs')).toEqual([keptAs])
    a.skewMs = 10_000
    await a.engine.purgeBucket('docs')
    await exchange(a, b)
    for (const store of [a, b]) expect(await store.keys('docs')).toEqual([])
  })

  it('is kept also when a new write takes the place of what a purge hides', async () => {
    const [a, b] = await openPair('keep-both')
    await a.put('docs', 'a', 'unseen')
    b.skewMs = 5000
    await b.put('docs', 'z', 'z')
    await b.engine.purgeBucket('docs')
    const shipped = ship(b, a)
    await shipped
    a.skewMs = 10_000
    await a.put('docs', 'a', 'new')
    await exchange(a, b)
    const { keptAs = '' } = onlyConflict(a)
    expect(await textOf(b, 'a')).toBe('new')
    expect(await textOf(b, keptAs)).toBe('unseen')
  })
})

describe('clocks that are minutes apart', () => {
  it('lose no write silently: the one behind loses, is listed and is kept', async () => {
    const [a, b] = await openPair('keep-both')
    await a.put('docs', 'a', 'by the clock that is ahead')
    b.skewMs = -240_000
    await b.put('docs', 'a', 'really later')
    await exchange(a, b)
    for (const store of [a, b]) expect(await textOf(store, 'a')).toBe('by the clock that is ahead')
    expect(await textOf(a, onlyConflict(b).keptAs ?? '')).toBe('really later')
  })

  it('beyond the limit are an alarm at the site that waits', async () => {
    const [a, b] = await openPair('last-write-wins')
    a.skewMs = 600_000
    await a.put('docs', 'a', 'from the future')
    await ship(a, b)
    expect(await textOf(b, 'a')).toBeUndefined()
    expect(b.engine.health().reasons.join()).toMatch(/clock is \d+ s ahead/)
    b.skewMs = 600_000
    await ship(a, b)
    expect(await textOf(b, 'a')).toBe('from the future')
    expect(b.engine.health().reasons).toEqual([])
  })

  it('do not matter to who has seen the other: the later write wins by what it had seen', async () => {
    const [a, b] = await openPair('last-write-wins')
    await a.put('docs', 'a', 'first')
    await ship(a, b)
    b.skewMs = -240_000
    await b.put('docs', 'a', 'second')
    await exchange(a, b)
    for (const store of [a, b]) {
      expect(await textOf(store, 'a')).toBe('second')
      expect(store.engine.conflicts.conflictTotals().noticed).toBe(0)
    }
  })
})

describe('resolving a conflict', () => {
  it('for the winner drops the copy everywhere, and the line here', async () => {
    const [a, b] = await openPair('keep-both')
    await collide(a, b)
    await exchange(a, b)
    await b.engine.conflicts.resolveConflict(onlyConflict(b).id, 'winner')
    await exchange(a, b)
    for (const store of [a, b]) expect(await store.keys('docs')).toEqual(['a'])
    expect(await textOf(a, 'a')).toBe('from b')
    expect(b.engine.conflicts.conflictTotals()).toMatchObject({ noticed: 1, open: 0 })
    await b.reopen()
    expect(b.engine.conflicts.conflicts(10)).toEqual([])
  })

  it('for the loser makes it current everywhere, as a write that has seen both', async () => {
    const [a, b] = await openPair('keep-both')
    await collide(a, b)
    await exchange(a, b)
    await b.engine.conflicts.resolveConflict(onlyConflict(b).id, 'loser')
    await exchange(a, b)
    for (const store of [a, b]) {
      expect(await store.keys('docs')).toEqual(['a'])
      expect(await textOf(store, 'a')).toBe('from a')
    }
    expect(a.engine.headObject({ bucket: 'docs', key: 'a' })?.meta.headers).toEqual({
      'content-type': 'text/plain',
    })
  })

  it('leaves alone what somebody has written in place of the copy', async () => {
    const [a, b] = await openPair('keep-both')
    await collide(a, b)
    await exchange(a, b)
    const { id, keptAs = '' } = onlyConflict(b)
    await b.put('docs', keptAs, 'mine')
    await expect(b.engine.conflicts.resolveConflict(id, 'loser')).rejects.toMatchObject({
      code: 'LOSER_NOT_KEPT',
    })
    await b.engine.conflicts.resolveConflict(id, 'winner')
    expect(await textOf(b, keptAs)).toBe('mine')
  })

  for (const policy of ['last-write-wins', 'keep-both'] as const) {
    it(`at one site takes it off the list of the other (${policy}), also in an index built anew`, async () => {
      const [a, b] = await openPair(policy)
      await a.put('docs', 'other', 'x')
      await collide(a, b)
      // Both are under way at once, so that both notice.
      const [fromA, fromB] = [await changesOf(a), await changesOf(b)]
      for (const change of fromA) await b.engine.apply([change], undefined)
      for (const change of fromB) await a.engine.apply([change], undefined)
      const { id } = onlyConflict(a)
      onlyConflict(b)
      await a.engine.conflicts.resolveConflict(id, 'winner')
      await exchange(a, b)
      for (const store of [a, b]) {
        expect(store.engine.conflicts.conflictTotals()).toMatchObject({ noticed: 1, open: 0 })
        await store.loseIndex()
        expect(store.engine.conflicts.conflictTotals()).toMatchObject({ noticed: 1, open: 0 })
        expect(await store.keys('docs')).toEqual(['a', 'other'])
        expect(await textOf(store, 'a')).toBe('from b')
      }
    })
  }

  it('is for who has seen both: no other write, and no deletion of the copy, takes it off a list', async () => {
    const [a, b] = await openPair('keep-both')
    await collide(a, b)
    await exchange(a, b)
    const { keptAs = '' } = onlyConflict(b)
    a.skewMs = 10_000
    await a.put('docs', 'a', 'overwritten')
    await remove(a, keptAs)
    await exchange(a, b)
    expect(await b.keys('docs')).toEqual(['a'])
    expect(onlyConflict(b).keptAs).toBe(keptAs)
  })

  it('holds at a site that meets the writes only afterwards: it neither lists nor keeps the loser', async () => {
    const [a, b] = await openPair('keep-both')
    const [c] = await openPair('keep-both')
    await collide(a, b)
    // What C gets of B is from before B has heard of the loser.
    const [early, lost] = [await changesOf(b), await changesOf(a)]
    await exchange(a, b)
    await b.engine.conflicts.resolveConflict(onlyConflict(b).id, 'winner')
    const marks = (await changesOf(b)).filter(({ mutation }) => mutation.kind === 'delete')
    expect(marks).toHaveLength(1)
    for (const change of [...early, ...marks, ...lost]) await c.engine.apply([change], undefined)
    expect(await c.keys('docs')).toEqual(['a'])
    expect(await textOf(c, 'a')).toBe('from b')
    expect(c.engine.conflicts.conflictTotals()).toMatchObject({ noticed: 0, open: 0 })
  })

  it('for a copy that fell to a purge leaves the copy where it is', async () => {
    const [a, b] = await openPair('keep-both')
    await collide(a, b)
    await exchange(a, b)
    const { keptAs = '' } = onlyConflict(b)
    const c = await TestStore.open({ siteId: 'site-c', segmentBytes: 256 * 1024 })
    opened.push(c)
    c.skewMs = 10_000
    await c.put('docs', 'c', 'c')
    await c.engine.purgeBucket('docs')
    await ship(c, b)
    // Waits for the sweep, and finds the copy.
    await expect(b.engine.deleteBucket('docs')).rejects.toThrow('still holds objects')
    const found = b.engine.conflicts.conflicts(10)
    const inPlace = found.find(({ key }) => key === keptAs)
    expect(inPlace).toMatchObject({ keptAs, winner: { kind: 'purge' } })
    await b.engine.conflicts.resolveConflict(inPlace?.id ?? 0, 'loser')
    expect(await textOf(b, keptAs)).toBe('from a')
    expect(b.engine.conflicts.conflict(inPlace?.id ?? 0)).toBeUndefined()
  })

  it('is refused for what is not listed, or not kept', async () => {
    const [a, b] = await openPair('last-write-wins')
    await collide(a, b)
    await ship(a, b)
    const desk = b.engine.conflicts
    await expect(desk.resolveConflict(99, 'winner')).rejects.toMatchObject({
      code: 'NO_SUCH_CONFLICT',
    })
    await expect(desk.resolveConflict(onlyConflict(b).id, 'loser')).rejects.toMatchObject({
      code: 'LOSER_NOT_KEPT',
    })
  })
})

describe("a bucket's own policy", () => {
  it('travels to the other site, holds there, and survives a rebuild', async () => {
    const [a, b] = await openPair('last-write-wins')
    await a.put('docs', 'other', 'x')
    await a.engine.conflicts.setConflictPolicy('docs', 'keep-both')
    await ship(a, b)
    expect(b.engine.conflicts.conflictPolicy('docs')).toEqual({ policy: 'keep-both', isOwn: true })
    await b.loseIndex()
    expect(b.engine.conflicts.conflictPolicy('docs')).toEqual({ policy: 'keep-both', isOwn: true })
    await collide(a, b)
    await exchange(a, b)
    expect(await textOf(b, onlyConflict(b).keptAs ?? '')).toBe('from a')
  })

  it('ends with the bucket, and can be taken back', async () => {
    const [a] = await openPair('last-write-wins')
    await a.engine.createBucket('docs')
    await a.engine.conflicts.setConflictPolicy('docs', 'keep-both')
    await a.engine.conflicts.setConflictPolicy('docs', undefined)
    const byDefault = { policy: 'last-write-wins', isOwn: false }
    expect(a.engine.conflicts.conflictPolicy('docs')).toEqual(byDefault)
    await a.engine.conflicts.setConflictPolicy('docs', 'keep-both')
    await a.engine.deleteBucket('docs')
    expect(() => a.engine.conflicts.conflictPolicy('docs')).toThrow('does not exist')
    await a.engine.createBucket('docs')
    expect(a.engine.conflicts.conflictPolicy('docs')).toEqual(byDefault)
  })
})
