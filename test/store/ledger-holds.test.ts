import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FeedPlace, RemoteLedger } from '../../src/store/model/object-store.ts'
import type { TakeGuard } from '../../src/store/model/take-guard.ts'
import { TestStore } from './open-store.ts'

let store: TestStore
let ledger: RemoteLedger
beforeEach(async () => {
  store = await TestStore.open()
  ledger = await store.engine.ledger('default')
})
afterEach(() => store.remove())

const reopen = async (): Promise<void> => {
  await store.reopen()
  ledger = await store.engine.ledger('default')
}

const held: number[] = []

/** Lets so many removed objects pass. */
const letPass = (allowed: number): TakeGuard => ({
  isWaiting: () => false,
  needsBase: () => true,
  judge: (_place, removal, memory) => {
    if (removal === undefined || removal.isDecided) return 'take'
    if (memory.windowSince === 0) memory.base = removal.base ?? 0
    memory.windowSince = 1
    if (memory.removed + removal.objects > allowed) return 'hold'
    memory.removed += removal.objects
    return 'take'
  },
  held: ({ seq }) => held.push(seq),
})

const putMany = (count: number, prefix = 'k') =>
  Promise.all(Array.from({ length: count }, (_, i) => store.put('photos', `${prefix}${i}`, `${i}`)))

const remove = (key: string) => store.engine.deleteObject({ bucket: 'photos', key })

async function removeMany(from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await remove(`k${i}`)
}

const settle = (places: readonly FeedPlace[]): Promise<void> =>
  ledger.settle(places.map((place) => ({ place, result: 'replicated', remote: 'applied' })))

async function takeAll(guard?: TakeGuard): Promise<readonly FeedPlace[]> {
  const all: FeedPlace[] = []
  for (;;) {
    const places = await ledger.take(1000, guard)
    if (places.length === 0) return all
    all.push(...places)
    await settle(places)
  }
}

const keysOf = (places: readonly FeedPlace[]): readonly string[] =>
  places.map(({ slot }) => (slot.kind === 'object' ? slot.key : slot.kind))

describe('a ledger that holds deletes back', () => {
  it('keeps them pending, never acknowledged past, over a restart, while puts flow', async () => {
    await putMany(10)
    await takeAll(letPass(2))
    await removeMany(0, 6)
    expect(keysOf(await takeAll(letPass(2)))).toEqual(['k0', 'k1'])
    expect(ledger.counters()).toMatchObject({ pending: 4, held: 4, heldObjects: 4, ahead: 0 })
    await reopen()
    expect(ledger.counters()).toMatchObject({ pending: 4, held: 4, heldObjects: 4 })
    const [firstHeld] = (await store.engine.feed.readPlaces(0, 1000)).filter((place) =>
      ledger.isHeld(place),
    )
    await store.put('photos', 'new', 'new')
    await remove('k7')
    // Without a limit, too: what is held is held until somebody decides.
    expect(keysOf(await takeAll())).toEqual(['new'])
    expect(ledger.counters()).toMatchObject({ pending: 5, held: 5 })
    expect(ledger.position().low).toBe((firstHeld?.seq ?? 0) - 1)
    expect(await ledger.oldestPending()).toBe(firstHeld?.since)
  })

  it('hands them out once they are released, and counts the next ones anew', async () => {
    await putMany(10)
    await takeAll()
    await removeMany(0, 5)
    expect(keysOf(await takeAll(letPass(2)))).toEqual(['k0', 'k1'])
    expect(await ledger.release()).toEqual({ count: 3, objects: 3 })
    expect(ledger.counters()).toMatchObject({ pending: 3, held: 0 })
    await reopen()
    expect(keysOf(await takeAll(letPass(2)))).toEqual(['k2', 'k3', 'k4'])
    expect(ledger.counters()).toMatchObject({ pending: 0 })
    expect(ledger.position().low).toBe(store.engine.feed.head())
    await removeMany(5, 8)
    expect(keysOf(await takeAll(letPass(2)))).toEqual(['k5', 'k6'])
    expect(ledger.counters()).toMatchObject({ pending: 1, held: 1 })
  })

  it('gives them up when they are discarded: failed, not sent, over a restart', async () => {
    await putMany(10)
    await takeAll()
    await removeMany(0, 5)
    await takeAll(letPass(2))
    expect(await ledger.discardHeld({ ahead: false })).toEqual({ count: 3, objects: 3 })
    expect(ledger.counters()).toMatchObject({ pending: 0, failed: 3, held: 0 })
    await reopen()
    expect(await takeAll(letPass(2))).toEqual([])
    expect(ledger.counters()).toMatchObject({ pending: 0, failed: 3 })
    expect(ledger.position().low).toBe(store.engine.feed.head())
  })

  it('gives up what was not looked at yet, if it is told to', async () => {
    await putMany(4)
    await takeAll()
    await removeMany(0, 2)
    await store.put('photos', 'new', 'new')
    expect(await ledger.discardHeld({ ahead: true })).toEqual({ count: 2, objects: 2 })
    await remove('k3')
    await reopen()
    expect(keysOf(await takeAll(letPass(10)))).toEqual(['new', 'k3'])
    expect(ledger.counters()).toMatchObject({ pending: 0, failed: 2 })
  })

  it('lets a newer write of a key pass, and forgets the delete that it replaces', async () => {
    await putMany(4)
    await takeAll()
    await removeMany(0, 3)
    await takeAll(letPass(0))
    await store.put('photos', 'k1', 'again')
    expect(ledger.counters()).toMatchObject({ held: 2, heldObjects: 2, pending: 3 })
    expect(keysOf(await takeAll(letPass(0)))).toEqual(['k1'])
    await remove('k1')
    expect(await takeAll(letPass(0))).toEqual([])
    expect(ledger.counters()).toMatchObject({ held: 3, pending: 3 })
  })

  it('counts a purge as the objects that it hides, also those of one that was not sent yet', async () => {
    await putMany(7)
    await takeAll()
    await store.engine.purgeBucket('photos')
    await takeAll(letPass(6))
    expect(ledger.counters()).toMatchObject({ held: 1, heldObjects: 7 })
    await putMany(2, 'later')
    await store.engine.purgeBucket('photos')
    await takeAll(letPass(6))
    const { held: purges, heldObjects } = ledger.counters()
    expect(purges).toBe(1)
    expect(heldObjects).toBeGreaterThanOrEqual(7)
    await ledger.release()
    expect(keysOf(await takeAll(letPass(6)))).toEqual(['floor'])
    await putMany(3, 'even-later')
    await store.engine.purgeBucket('photos')
    // The first two are known to the remote by now.
    expect(keysOf(await takeAll(letPass(3)))).toContain('floor')
  })

  it('holds as before when everything is sent again', async () => {
    await putMany(6)
    await takeAll()
    await removeMany(0, 4)
    expect(keysOf(await takeAll(letPass(2)))).toEqual(['k0', 'k1'])
    await ledger.replay({ from: store.engine.feed.head() - 1 }, { dryRun: false })
    expect(ledger.counters()).toMatchObject({ pending: 2, held: 0 })
    expect(await takeAll(letPass(2))).toEqual([])
    expect(ledger.counters()).toMatchObject({ pending: 2, held: 2 })
    await ledger.replay({ from: 0 }, { dryRun: false })
    const again = await takeAll(letPass(2))
    expect([...keysOf(again)].sort()).toEqual(['bucket', 'k0', 'k1', 'k4', 'k5'])
    expect(ledger.counters()).toMatchObject({ pending: 2, held: 2 })
    expect(await ledger.replay({ select: {} }, { dryRun: true })).toMatchObject({ count: 5 })
  })

  it('decides anew about what was let go, when the position goes back to before it and a limit is met', async () => {
    await putMany(6)
    await takeAll()
    await removeMany(0, 4)
    expect(keysOf(await takeAll(letPass(1)))).toEqual(['k0'])
    await ledger.release()
    const first = await ledger.take(1, letPass(1))
    await settle(first)
    expect(keysOf(first)).toEqual(['k1'])
    await ledger.replay({ from: 0 }, { dryRun: false })
    expect([...keysOf(await takeAll(letPass(0)))].sort()).toEqual(['bucket', 'k4', 'k5'])
    const places = await store.engine.feed.readPlaces(0, 1000)
    const isHeld = places.filter((place) => ledger.isHeld(place))
    expect(keysOf(isHeld)).toEqual(['k0', 'k1', 'k2', 'k3'])
    expect(ledger.counters()).toMatchObject({ pending: 4, held: 4 })
    expect(await ledger.release()).toEqual({ count: 4, objects: 4 })
    expect(keysOf(await takeAll(letPass(0)))).toEqual(['k0', 'k1', 'k2', 'k3'])
    expect(ledger.counters()).toMatchObject({ pending: 0, held: 0 })
  })

  it.each(['release', 'discard'] as const)(
    'decides with a %s about the deletes that the remote wants, and not about others among them',
    async (decision) => {
      const others = { buckets: [], excludeBuckets: ['other'], prefixes: [], excludePrefixes: [] }
      await store.engine.remotes.change('default', { filter: others })
      await putMany(6)
      for (let i = 0; i < 6; i++) await store.put('other', `k${i}`, 'x')
      await takeAll()
      for (let i = 0; i < 6; i++) {
        await store.engine.deleteObject({ bucket: 'other', key: `k${i}` })
        await remove(`k${i}`)
      }
      expect(keysOf(await takeAll(letPass(1)))).toEqual(['k0'])
      const places = await store.engine.feed.readPlaces(0, 1000)
      expect(places.filter((place) => ledger.isHeld(place))).toHaveLength(5)
      const held = { count: 5, objects: 5 }
      if (decision === 'release') expect(await ledger.release()).toEqual(held)
      else expect(await ledger.discardHeld({ ahead: false })).toEqual(held)
      const letGo = decision === 'release' ? ['k1', 'k2', 'k3', 'k4', 'k5'] : []
      const sent = await takeAll(letPass(1))
      expect(keysOf(sent)).toEqual(letGo)
      expect(sent.every(({ slot }) => slot.bucket === 'photos')).toBe(true)
      expect(ledger.counters()).toMatchObject({ pending: 0, held: 0, failed: 5 - letGo.length })
      await reopen()
      expect(ledger.position().low).toBe(store.engine.feed.head())
    },
  )

  it('asks for the number of objects that there were when the window began', async () => {
    await putMany(8)
    await takeAll()
    await removeMany(0, 1)
    let base = 0
    const guard: TakeGuard = {
      ...letPass(1),
      judge: (_place, removal) => {
        base = removal?.base ?? base
        return 'take'
      },
    }
    await takeAll(guard)
    expect(base).toBe(8)
  })
})
