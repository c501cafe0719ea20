import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { BadRangeError, TicketGoneError } from '../../src/replication/wire/errors.ts'
import { TicketBook } from '../../src/replication/wire/tickets.ts'
import type { OpenObject } from '../../src/store/model/object-store.ts'
import { ManualClock } from './manual-clock.ts'
import { unlimitedTraffic } from './memory-pair.ts'
import { MemoryFeed } from './memory-site.ts'

function setUp(options: { readonly leasesMax?: number } = {}) {
  const clock = new ManualClock()
  const feed = new MemoryFeed({ clock, siteId: 'site-a' })
  const traffic = unlimitedTraffic(clock)
  const book = new TicketBook({ clock, random: seededRandom(1), leaseMs: 60_000, ...options })
  const object = (body: Buffer): OpenObject => {
    const opened = feed.loadChange(feed.write(`key-${feed.head()}`, body))?.object
    if (opened === undefined) throw new Error('a put has an object')
    return opened
  }
  const issue = (body: Buffer) => {
    const issued = book.issue(object(body), traffic)
    if (issued === undefined) throw new Error('there is room')
    return { ticket: Buffer.from(issued.ticket).toString('hex'), lease: issued.lease }
  }
  return { clock, feed, book, object, issue, traffic }
}

async function readAll(bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of bytes) pieces.push(piece)
  return Buffer.concat(pieces)
}

describe('a ticket', () => {
  test('opens exactly the range asked for of exactly its object', async () => {
    const { book, issue } = setUp()
    const { ticket } = issue(Buffer.from('0123456789'))
    const reading = book.read(ticket, { start: 2, end: 5 })
    expect(reading.size).toBe(10)
    expect((await readAll(reading.bytes)).toString()).toBe('234')
  })

  test('opens nothing outside its object', () => {
    const { book, issue } = setUp()
    const { ticket } = issue(Buffer.from('0123456789'))
    for (const range of [
      { start: 0, end: 11 },
      { start: 5, end: 5 },
      { start: 10, end: 11 },
    ]) {
      expect(() => book.read(ticket, range)).toThrow(BadRangeError)
    }
  })

  test('ends after its lease, and not as long as ranges renew it', () => {
    const { book, clock, feed, issue } = setUp()
    const { ticket } = issue(Buffer.from('0123456789'))
    for (let i = 0; i < 5; i++) {
      clock.advance(50_000)
      book.read(ticket, { start: 0, end: 1 })
    }
    expect(feed.openObjects).toBe(1)
    clock.advance(80_000)
    expect(feed.openObjects).toBe(0)
    expect(() => book.read(ticket, { start: 0, end: 1 })).toThrow(
      expect.objectContaining({ code: 'TICKET_GONE', end: 'expired' }),
    )
  })

  test('is useless after its lease, also before anybody has swept it away', () => {
    const { book, clock, issue } = setUp()
    // The first one's sweep comes before the second one's lease is over, the next one after it.
    issue(Buffer.from('first'))
    clock.advance(10_000)
    const { ticket } = issue(Buffer.from('second'))
    clock.advance(60_000)
    expect(() => book.read(ticket, { start: 0, end: 1 })).toThrow(
      expect.objectContaining({ code: 'TICKET_GONE', end: 'expired' }),
    )
  })

  test('that was superseded says so, also to a transfer under way, and frees the bytes', async () => {
    const { book, feed, issue } = setUp()
    const { ticket, lease } = issue(Buffer.alloc(200_000, 1))
    const bytes = book.read(ticket, { start: 0, end: 200_000 }).bytes[Symbol.asyncIterator]()
    await bytes.next()
    lease.end('superseded')
    expect(feed.openObjects).toBe(1)
    await expect(bytes.next()).rejects.toMatchObject({ end: 'superseded' })
    expect(feed.openObjects).toBe(0)
    expect(() => book.read(ticket, { start: 0, end: 1 })).toThrow(TicketGoneError)
  })

  test('is unknown when it was made up', () => {
    const { book } = setUp()
    expect(() => book.read('00'.repeat(32), { start: 0, end: 1 })).toThrow(
      expect.objectContaining({ end: 'unknown' }),
    )
  })

  test('is not issued beyond the bound on pinned objects, until one comes back', () => {
    const { book, feed, object, issue, traffic } = setUp({ leasesMax: 2 })
    const first = issue(Buffer.from('a'))
    issue(Buffer.from('b'))
    const third = object(Buffer.from('c'))
    let freed = 0
    book.onFree(() => freed++)
    expect(book.hasRoom).toBe(false)
    expect(book.issue(third, traffic)).toBeUndefined()
    first.lease.end('superseded')
    first.lease.end('expired')
    expect(freed).toBe(1)
    expect(book.issue(third, traffic)).toBeDefined()
    book.close()
    expect(feed.openObjects).toBe(0)
  })
})
