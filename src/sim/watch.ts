/** Looks, after every event, at what sites show, and now and then at everything that they count. */
import type { SortedMap } from '../index/sorted-map.ts'
import type { LedgerCounters } from '../store/model/object-store.ts'
import { ledgerKey } from '../store/tables/keys.ts'
import { decodeLedger } from '../store/tables/ledger-state.ts'
import { checkShipped } from './compare-sites.ts'
import type { Observer } from './observer.ts'
import { recount } from './recount.ts'
import type { SimProcess, SimSite } from './sim-site.ts'
import { readContents, type SiteContents } from './site-contents.ts'
import type { Trace } from './trace.ts'
import { demand } from './violation.ts'

export interface WatchOptions {
  readonly sites: readonly SimSite[]
  readonly observer: Observer
  readonly trace: Trace
}

/** Counting again costs: once in so many changes of an index. */
const recountEvery = 16

interface Watched {
  map: SortedMap | undefined
  process: SimProcess | undefined
  changes: number
  /** Of the index that `totals` were counted in. */
  index: object | undefined
  readonly totals: Map<string, LedgerCounters>
}

export class Watch {
  readonly #options: WatchOptions
  readonly #watched = new Map<string, Watched>()

  constructor(options: WatchOptions) {
    this.#options = options
  }

  /** @throws Violation */
  look(): void {
    for (const site of this.#options.sites) this.#lookAt(site)
  }

  /** For a run that does not end: what everybody waits for. */
  describe(): string {
    return this.#options.sites
      .map((site) => {
        const { process } = site
        if (process === undefined) return `${site.name} is down`
        const owed = [...process.ledgers].map(([remote, ledger]) => {
          const { low, high } = ledger.position()
          return `${ledger.counters().pending} pending for ${remote} (${low} to ${high})`
        })
        const { reasons } = process.engine.health()
        return `${site.name}: ${[...owed, ...reasons].join(', ') || 'fine'}`
      })
      .join('; ')
  }

  #lookAt(site: SimSite): void {
    const { process } = site
    const watched = this.#watchedOf(site)
    const map = site.indexDisk.durable
    if (process === undefined || (map === watched.map && process === watched.process)) return
    const isNew = process !== watched.process
    watched.map = map
    watched.process = process
    watched.changes++
    this.#options.observer.observe(site)
    this.#checkTotals(site, process, watched)
    if (isNew || watched.changes % recountEvery === 0) this.#recount(site, process)
  }

  /** What was counted durably once stays counted, as long as the index is there. */
  #checkTotals(site: SimSite, process: SimProcess, watched: Watched): void {
    if (watched.index !== site.indexDisk) watched.totals.clear()
    watched.index = site.indexDisk
    for (const [remote, ledger] of process.ledgers) {
      const say = (what: string) => (): string =>
        `${what} of ${site.name} for ${remote}: ${JSON.stringify(ledger.counters())}`
      const { queued, replicated, failed, superseded, pending } = ledger.counters()
      demand(queued === replicated + failed + superseded + pending, 'ledger', say('the sum'))
      const stored = site.indexDisk.durable.get(ledgerKey(remote))
      if (stored === undefined) continue
      const now = decodeLedger(stored, () => 0).counters()
      const before = watched.totals.get(remote) ?? now
      watched.totals.set(remote, now)
      for (const total of ['queued', 'replicated', 'failed', 'superseded'] as const) {
        const fell = (): string => `${total} fell from ${before[total]} to ${now[total]}`
        demand(now[total] >= before[total], 'totals', say(fell()))
      }
    }
  }

  #recount(site: SimSite, process: SimProcess): void {
    const contents = readContents(site.indexDisk.durable)
    recount(site.name, contents, process.volume.segments())
    for (const other of this.#options.sites) {
      if (other === site || other.process === undefined) continue
      const theirs: SiteContents = readContents(other.indexDisk.durable)
      checkShipped({ name: site.name, contents }, { name: other.name, contents: theirs })
      checkShipped({ name: other.name, contents: theirs }, { name: site.name, contents })
    }
  }

  #watchedOf(site: SimSite): Watched {
    const watched = this.#watched.get(site.name) ?? {
      map: undefined,
      process: undefined,
      changes: 0,
      index: undefined,
      totals: new Map(),
    }
    this.#watched.set(site.name, watched)
    return watched
  }
}
