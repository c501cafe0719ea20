import { systemClock } from '../../src/base/clock.ts'
import { systemRandom } from '../../src/base/random.ts'
import { type ComparedSite, Responder } from '../../src/replication/verify/responder.ts'
import { LinkTraffic } from '../../src/replication/wire/link-traffic.ts'
import { TicketBook } from '../../src/replication/wire/tickets.ts'
import type { ObjectMender } from '../../src/store/model/elsewhere.ts'
import type { ChangeFeed, StoreHoldings } from '../../src/store/model/object-store.ts'
import type { Survey } from '../../src/store/model/survey.ts'
import { identityOf, MemoryFeed } from './memory-site.ts'

const emptySurvey: Survey = {
  buckets: async () => [],
  digest: async () => ({ count: 0, digest: undefined }),
  cut: async (range) => [{ ...range, count: 0, digest: undefined }],
  list: async () => [],
  stateOf: () => ({ kind: 'absent', seq: 0, version: undefined, digest: '', bytes: 0 }),
}

/** Of a site that says nothing of what it has. */
export const noHoldings: StoreHoldings = {
  mark: () => ({ isSettled: true, seq: 0, movedTo: 0, upTo: [] }),
  onChange: () => () => undefined,
}

/** A site that holds nothing to compare: for tests that are about something else. */
export function emptySite(feed: ChangeFeed): ComparedSite {
  const mender: ObjectMender = { mend: async () => 'gone' }
  return { survey: emptySurvey, feed, mender, openObject: () => undefined, ledgers: () => [] }
}

export function emptyResponder(): Responder {
  const feed = new MemoryFeed({ clock: systemClock, siteId: 'empty' })
  const tickets = new TicketBook({ clock: systemClock, random: systemRandom })
  return new Responder({
    site: emptySite(feed),
    identity: identityOf('empty'),
    tickets,
    traffic: new LinkTraffic({ clock: systemClock, compression: 'off', bandwidthLimit: 0 }),
  })
}
