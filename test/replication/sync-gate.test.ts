import { describe, expect, test } from 'vitest'
import { makeShipment } from '../../src/replication/send/shipment.ts'
import {
  type LinkWatcher,
  SyncGate,
  type SyncVerdict,
} from '../../src/replication/send/sync-gate.ts'
import type { FeedPlace, Settlement } from '../../src/store/model/object-store.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryFeed, MemoryLedger } from './memory-site.ts'

const timeoutMs = 1000

class Rig {
  readonly clock = new ManualClock()
  readonly feed = new MemoryFeed({ clock: this.clock, siteId: 'site-a' })
  readonly gate: SyncGate
  readonly ledgers: MemoryLedger[] = []
  readonly links: LinkWatcher[] = []

  constructor(options: {
    readonly remotes?: number
    readonly min?: number
    readonly max?: number
  }) {
    const { remotes = 1, min = 1, max } = options
    this.gate = new SyncGate({
      feed: this.feed,
      clock: this.clock,
      timeoutMs,
      min,
      ...(max === undefined ? {} : { waitsMax: max }),
    })
    for (let at = 0; at < remotes; at++) {
      const ledger = new MemoryLedger(this.feed, this.clock, at === 0 ? 'default' : `other-${at}`)
      this.ledgers.push(ledger)
      const link = this.gate.add(ledger)
      this.links.push(link)
      link.presence(true)
    }
  }

  /** What has become of a wait; undefined while it goes on. */
  confirm(place: FeedPlace): { verdict: SyncVerdict | undefined } {
    const found: { verdict: SyncVerdict | undefined } = { verdict: undefined }
    void this.gate.confirm(place.slot).then((verdict) => {
      found.verdict = verdict
    })
    return found
  }

  /** The remote's answer, and what the ledger makes of it. */
  async answer(
    place: FeedPlace,
    result: Settlement['result'] = 'replicated',
    at = 0,
  ): Promise<void> {
    const settled = [{ shipment: makeShipment(place), result }]
    await this.ledgers[at]?.take(1000)
    this.links[at]?.answered(settled)
    await this.ledgers[at]?.settle([{ place, result }])
    this.links[at]?.settled(settled)
    await Promise.resolve()
  }
}

describe('a write in sync mode', () => {
  test('is confirmed by the acknowledgement of its own place', async () => {
    const rig = new Rig({})
    const one = rig.confirm(rig.feed.write('one', Buffer.from('1')))
    const two = rig.confirm(rig.feed.write('two', Buffer.from('2')))
    const place = rig.feed.placeOf(
      rig.feed.entries()[1]?.mutation.slot ?? { kind: 'bucket', bucket: '' },
    )
    await rig.answer(place as FeedPlace)
    expect(two.verdict).toEqual({ confirmed: true })
    expect(one.verdict).toBeUndefined()
    expect(rig.gate.waiting).toBe(1)
  })

  test('that was overwritten is confirmed by the acknowledgement of the newer one', async () => {
    const rig = new Rig({})
    const wait = rig.confirm(rig.feed.write('one', Buffer.from('1')))
    const newer = rig.feed.write('one', Buffer.from('2'))
    await rig.answer(newer)
    expect(wait.verdict).toEqual({ confirmed: true })
  })

  test('is not confirmed by a newer one that is only on its way into the index', async () => {
    const rig = new Rig({})
    const older = rig.feed.write('one', Buffer.from('1'))
    const early = rig.confirm(older)
    const newer = rig.feed.write('one', Buffer.from('2'))
    // The ledger knows already, the feed shows the older one still, and an answer makes the gate look.
    await rig.ledgers[0]?.take(10)
    rig.ledgers[0]?.leaving.add(older.seq)
    const placeOf = rig.feed.placeOf.bind(rig.feed)
    rig.feed.placeOf = () => older
    const late = rig.confirm(older)
    rig.links[0]?.settled([{ shipment: makeShipment(older), result: 'replicated' }])
    await Promise.resolve()
    expect([early.verdict, late.verdict]).toEqual([undefined, undefined])
    rig.feed.placeOf = placeOf
    await rig.answer(newer)
    expect([early.verdict, late.verdict]).toEqual([{ confirmed: true }, { confirmed: true }])
  })

  test('goes on waiting for a remote whose link is exchanged', async () => {
    const rig = new Rig({})
    const place = rig.feed.write('one', Buffer.from('1'))
    const wait = rig.confirm(place)
    const [ledger] = rig.ledgers
    if (ledger !== undefined) rig.links[0] = rig.gate.add(ledger)
    await Promise.resolve()
    expect(wait.verdict).toBeUndefined()
    await rig.answer(place)
    expect(wait.verdict).toEqual({ confirmed: true })
  })

  test('is confirmed when the remote turns out to have made what replaced it', async () => {
    const rig = new Rig({})
    const wait = rig.confirm(rig.feed.write('one', Buffer.from('1')))
    await rig.answer(rig.feed.write('one', Buffer.from('2'), 'site-b'), 'skipped')
    expect(wait.verdict).toEqual({ confirmed: true })
  })

  test('waits for nothing when the remote has it already, and for nothing that never was', async () => {
    const rig = new Rig({})
    const place = rig.feed.write('one', Buffer.from('1'))
    await rig.answer(place)
    expect(await rig.gate.confirm(place.slot)).toEqual({ confirmed: true })
    expect(await rig.gate.confirm({ kind: 'floor', bucket: 'box' })).toEqual({ confirmed: true })
  })

  test('waits on while the link is replaced, and is confirmed over the one that takes its place', async () => {
    const rig = new Rig({})
    const { gate, feed, clock } = rig
    const before = rig.confirm(feed.write('one', Buffer.from('1')))
    gate.suspend('default')
    const between = feed.write('two', Buffer.from('2'))
    const during = rig.confirm(between)
    expect([gate.isOpen, gate.waiting]).toEqual([true, 2])
    clock.advance(timeoutMs - 1)
    rig.links[0] = gate.add(rig.ledgers[0] as MemoryLedger)
    const late = rig.confirm(feed.write('three', Buffer.from('3')))
    await rig.answer(between)
    expect([during.verdict, before.verdict, late.verdict]).toEqual([
      { confirmed: true },
      undefined,
      undefined,
    ])
    // The new link has not greeted anybody yet, and has the time of a wait for it.
    clock.advance(timeoutMs - 1)
    await Promise.resolve()
    expect([before.verdict?.confirmed, late.verdict]).toEqual([false, undefined])
    clock.advance(1)
    await Promise.resolve()
    expect(late.verdict?.confirmed).toBe(false)
  })

  test('is given up after the time-out, by name', async () => {
    const rig = new Rig({})
    const wait = rig.confirm(rig.feed.write('one', Buffer.from('1')))
    rig.clock.advance(timeoutMs - 1)
    await Promise.resolve()
    expect(wait.verdict).toBeUndefined()
    rig.clock.advance(1)
    await Promise.resolve()
    expect(wait.verdict).toEqual({
      confirmed: false,
      reason: 'timeout',
      failures: [{ remote: 'default', reason: 'timeout' }],
      seq: 1,
    })
    expect(rig.gate.waiting).toBe(0)
  })

  test.each(['later', 'refused'] as const)(
    'is given up at once when the remote says %s',
    async (reason) => {
      const rig = new Rig({})
      const place = rig.feed.write('one', Buffer.from('1'))
      const wait = rig.confirm(place)
      rig.links[0]?.unable(place, reason)
      await Promise.resolve()
      expect(wait.verdict).toMatchObject({ confirmed: false, reason })
    },
  )

  test('is not confirmed by a dead letter', async () => {
    const rig = new Rig({})
    const place = rig.feed.write('one', Buffer.from('1'))
    await rig.ledgers[0]?.take(10)
    await rig.ledgers[0]?.bury(place, { reason: 'no', attempts: 1 })
    expect(await rig.gate.confirm(place.slot)).toMatchObject({
      confirmed: false,
      reason: 'refused',
    })
  })

  test('waits for a remote that went away only as long as that may take, later ones not at all', async () => {
    const rig = new Rig({})
    rig.links[0]?.presence(false)
    rig.clock.advance(timeoutMs - 10)
    const place = rig.feed.write('one', Buffer.from('1'))
    const wait = rig.confirm(place)
    rig.clock.advance(10)
    await Promise.resolve()
    expect(wait.verdict).toMatchObject({ confirmed: false, reason: 'away' })
    expect(await rig.gate.confirm(place.slot)).toMatchObject({ confirmed: false, reason: 'away' })
    rig.links[0]?.presence(true)
    const again = rig.confirm(place)
    await rig.answer(place)
    expect(again.verdict).toEqual({ confirmed: true })
  })

  test('needs as many remotes as it is told, and no more', async () => {
    const rig = new Rig({ remotes: 3, min: 2 })
    const place = rig.feed.write('one', Buffer.from('1'))
    const wait = rig.confirm(place)
    await rig.answer(place, 'replicated', 0)
    expect(wait.verdict).toBeUndefined()
    rig.links[1]?.unable(place, 'later')
    await Promise.resolve()
    expect(wait.verdict).toBeUndefined()
    await rig.answer(place, 'replicated', 2)
    expect(wait.verdict).toEqual({ confirmed: true })
  })

  test('waits for no remote that does not want it', async () => {
    const rig = new Rig({ remotes: 2, min: 2 })
    const [first, second] = rig.ledgers as [MemoryLedger, MemoryLedger]
    first.wants = () => false
    const place = rig.feed.write('one', Buffer.from('1'))
    const wait = rig.confirm(place)
    await rig.answer(place, 'replicated', 1)
    expect(wait.verdict).toEqual({ confirmed: true })
    second.wants = () => false
    const two = rig.feed.write('two', Buffer.from('2'))
    expect(await rig.gate.confirm(two.slot)).toEqual({ confirmed: true })
  })

  test('is given up as soon as too few remotes are left', async () => {
    const rig = new Rig({ remotes: 2, min: 2 })
    const place = rig.feed.write('one', Buffer.from('1'))
    const wait = rig.confirm(place)
    rig.links[1]?.unable(place, 'refused')
    await Promise.resolve()
    // The other one may have it, or get it soon: it is not to blame.
    const failures = [{ remote: rig.ledgers[1]?.remote, reason: 'refused' }]
    expect(wait.verdict).toMatchObject({ confirmed: false, reason: 'refused', failures })
    const two = rig.feed.write('two', Buffer.from('2'))
    const next = rig.confirm(two)
    await rig.answer(two, 'replicated', 0)
    rig.clock.advance(timeoutMs)
    await Promise.resolve()
    expect(next.verdict).toMatchObject({
      failures: [{ remote: rig.ledgers[1]?.remote, reason: 'timeout' }],
    })
  })

  test('is not waited for beyond the bound, nor once the site closes', async () => {
    const rig = new Rig({ max: 1 })
    const one = rig.confirm(rig.feed.write('one', Buffer.from('1')))
    const two = rig.feed.write('two', Buffer.from('2'))
    expect(await rig.gate.confirm(two.slot)).toMatchObject({ reason: 'crowded' })
    rig.gate.close()
    await Promise.resolve()
    expect(one.verdict).toMatchObject({ confirmed: false, reason: 'closing' })
    expect(await rig.gate.confirm(two.slot)).toMatchObject({ reason: 'closing' })
  })

  test('waits no longer for a remote that is removed', async () => {
    const rig = new Rig({})
    const place = rig.feed.write('one', Buffer.from('1'))
    const wait = rig.confirm(place)
    rig.gate.remove('default')
    await Promise.resolve()
    expect(wait.verdict).toMatchObject({ confirmed: false, reason: 'away' })
    expect(rig.gate.isOpen).toBe(false)
    expect(await rig.gate.confirm(place.slot)).toEqual({ confirmed: true })
  })

  test('survives a replay: the acknowledgement of what is sent again counts', async () => {
    const rig = new Rig({})
    const place = rig.feed.write('one', Buffer.from('1'))
    const wait = rig.confirm(place)
    await rig.ledgers[0]?.take(10)
    await rig.ledgers[0]?.replay({ from: 0 }, { dryRun: false })
    await rig.answer(place)
    expect(wait.verdict).toEqual({ confirmed: true })
  })
})
