import { afterEach, describe, expect, test } from 'vitest'
import { eventually, HttpSite } from './http-site.ts'

/** A pair at rest notices at its next heartbeat. */
const soonNoticed = { heartbeatMs: 1000 }

const opened: HttpSite[] = []
afterEach(async () => {
  for (const site of opened.splice(0).reverse()) await site.close()
})

async function openPair(): Promise<readonly [HttpSite, HttpSite]> {
  const a = await HttpSite.open({ siteId: 'site-a', options: soonNoticed })
  opened.push(a)
  const b = await HttpSite.open({ siteId: 'site-b', options: soonNoticed })
  opened.push(b)
  return [a, b]
}

/** Nothing is pending from `from` to `to`, and both have made durable how far they are. */
async function atRest(from: HttpSite, to: HttpSite): Promise<void> {
  const { volumeId } = from.store.volume.identity
  await eventually(() => from.ledger.counters().pending === 0, 'nothing is pending')
  await eventually(() => {
    const { low } = from.ledger.position()
    const confirmed = from.ledger.confirmedPeer()
    return (
      to.store.engine.peerMark(volumeId)?.through === low &&
      confirmed?.through === low &&
      confirmed.head === to.store.engine.feed.head()
    )
  }, 'both know that')
}

async function putMany(site: HttpSite, name: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await site.store.put('files', `${name}-${i}`, `${name} ${i}`)
}

/** What a site's log warned of in words. */
function warnings(site: HttpSite): readonly string[] {
  return site.lines
    .filter(
      ({ level, message }) =>
        level === 'warn' && message.toLowerCase().includes('sending everything'),
    )
    .map(({ message, fields }) => `${message}: ${String(fields.reason)}`)
}

const headWords = 'its feed ended at'
const markWords = 'it remembered'
const ownWords = 'This site was set back'

describe('a remote that was set back to an older copy of its folder', () => {
  test.each([
    ['while this site runs', false],
    ['before this site is started again', true],
  ])('%s is sent everything again', async (_when, restarted) => {
    const [a, b] = await openPair()
    await a.connectTo({ url: b.url })
    await putMany(a, 'early', 10)
    await atRest(a, b)
    const copy = await b.snapshot()
    await putMany(a, 'late', 10)
    await atRest(a, b)
    if (restarted) await a.stop()
    await b.restore(copy)
    expect(await b.store.keys('files')).toHaveLength(10)
    if (restarted) await a.restart()
    await eventually(async () => (await b.store.keys('files')).length === 20, 'all are there')
    await atRest(a, b)
    expect(warnings(a)).toEqual([expect.stringContaining(headWords)])
  })

  test('is noticed by what it remembers of this site when its feed has grown past it since', async () => {
    const [a, b] = await openPair()
    await a.connectTo({ url: b.url })
    await putMany(a, 'early', 3)
    await atRest(a, b)
    const copy = await b.snapshot()
    await putMany(a, 'late', 3)
    await atRest(a, b)
    await a.stop()
    await b.restore(copy)
    await putMany(b, 'own', 10)
    await a.restart()
    await eventually(async () => (await b.store.keys('files')).length === 16, 'all are there')
    expect(warnings(a)).toEqual([expect.stringContaining(markWords)])
  })

  test('gets back what it made itself, also when this site is restarted in between', async () => {
    const [a, b] = await openPair()
    await a.connectTo({ url: b.url })
    await b.connectTo({ url: a.url })
    await putMany(b, 'early', 2)
    await atRest(b, a)
    await atRest(a, b)
    const copy = await b.snapshot()
    await putMany(b, 'lost', 5)
    await b.store.put('files', 'lost-large', Buffer.alloc(3 * 2 ** 20, 7))
    await atRest(b, a)
    await atRest(a, b)
    const { replicated } = a.ledger.counters()
    await b.stop()
    await a.stop()
    await b.restore(copy)
    await b.stop()
    await a.restart()
    await eventually(async () => (await a.status()).state === 'unreachable', 'nobody is there')
    await a.restart()
    await b.restart()
    await eventually(async () => (await b.store.keys('files')).length === 8, 'all are there')
    await atRest(a, b)
    expect(a.ledger.counters().replicated).toBeGreaterThan(replicated)
    const bodies = await Promise.all([a, b].map((site) => site.store.get('files', 'lost-large')))
    expect(bodies[0]?.equals(bodies[1] ?? Buffer.of(1))).toBe(true)
    // What it makes from now on is not sent back to it.
    const sent = a.ledger.counters().replicated
    await putMany(b, 'new', 5)
    await atRest(b, a)
    await atRest(a, b)
    expect(a.ledger.counters().replicated).toBe(sent)
  })
})

describe('a site that was set back to an older copy of its own folder', () => {
  test('says so and sends everything again, once', async () => {
    const [a, b] = await openPair()
    await a.connectTo({ url: b.url })
    await putMany(a, 'early', 10)
    await atRest(a, b)
    const copy = await a.snapshot()
    await putMany(a, 'late', 10)
    await atRest(a, b)
    await a.restore(copy)
    await putMany(a, 'new', 1)
    await eventually(
      async () => (await b.store.keys('files')).length === 21,
      'the new one is there',
    )
    expect(warnings(a)).toEqual([expect.stringContaining(ownWords)])
    await eventually(async () => a.ledger.counters().replicated > 20, 'everything was sent again')
    await b.restart()
    await a.restart()
    await putMany(a, 'newer', 1)
    await eventually(async () => (await b.store.keys('files')).length === 22, 'and the newer one')
    expect(warnings(a)).toHaveLength(1)
  })

  test('gets back from the other site what it lacks', async () => {
    const [a, b] = await openPair()
    await a.connectTo({ url: b.url })
    await b.connectTo({ url: a.url })
    await putMany(a, 'early', 3)
    await atRest(a, b)
    await atRest(b, a)
    const copy = await a.snapshot()
    await putMany(a, 'late', 3)
    await atRest(a, b)
    await atRest(b, a)
    await a.restore(copy)
    await eventually(async () => (await a.store.keys('files')).length === 6, 'all are back')
    expect(warnings(b)).toEqual([expect.stringContaining(headWords)])
    // B may have sent them before A has asked B anything.
    await eventually(() => warnings(a).length > 0, 'A has noticed')
    expect(warnings(a)).toEqual([expect.stringContaining(ownWords)])
  })
})

test('restarts, of either and in the middle of writes, are not taken for more than they are', async () => {
  const [a, b] = await openPair()
  await a.connectTo({ url: b.url })
  const writing = putMany(a, 'key', 120)
  for (let i = 1; i <= 3; i++) {
    await eventually(() => b.store.engine.feed.head() > i * 25, 'some have arrived')
    await b.restart()
  }
  await writing
  await atRest(a, b)
  const { queued } = a.ledger.counters()
  for (let i = 0; i < 3; i++) {
    await a.restart()
    await putMany(a, `more-${i}`, 3)
    await eventually(() => a.ledger.counters().pending === 0, 'nothing is pending')
  }
  expect(warnings(a)).toEqual([])
  expect(a.ledger.counters().queued).toBe(queued + 9)
})

test('a replay that was asked for is not taken for a rollback afterwards', async () => {
  const [a, b] = await openPair()
  await a.connectTo({ url: b.url })
  await putMany(a, 'key', 10)
  await atRest(a, b)
  await b.stop()
  await a.ledger.replay({ from: 0 }, { dryRun: false })
  await a.restart()
  await b.restart()
  await atRest(a, b)
  expect(warnings(a)).toEqual([])
})
