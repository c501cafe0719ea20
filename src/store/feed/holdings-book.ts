/** What this site has all of, and may say so: to its remotes, and with its purges. */

import { type Holdings, isWholly } from '../model/holdings.ts'
import type { HoldingsMark, StoreHoldings } from '../model/object-store.ts'
import { isEverything, isSameFilter, type PlaceFilter } from '../model/place-filter.ts'
import {
  type Context,
  contextCovers,
  contextSitesMax,
  counterMax,
  joinContext,
  makeVersion,
  siteOf,
  timeOf,
  type Version,
  type VersionClock,
} from '../model/version.ts'
import type { Accounts } from '../tables/accounts.ts'
import type { Peers } from './peers.ts'

export interface HoldingsBookOptions {
  readonly versions: VersionClock
  readonly accounts: Accounts
  readonly peers: Peers
  readonly sequencer: { readonly lastSeq: number }
}

export class HoldingsBook implements StoreHoldings {
  readonly #options: HoldingsBookOptions

  constructor(options: HoldingsBookOptions) {
    this.#options = options
  }

  /** What a purge of the bucket with this version may say that its author had seen. */
  ofPurge(bucket: string, version: Version, seen: Context): Context {
    const held = this.#from(({ scope }) => isWholly(scope, bucket))
    const context: Version[] = []
    for (const site of seen.map(siteOf)) {
      if (site === siteOf(version)) continue
      const upTo = held.find((one) => siteOf(one) === site)
      if (upTo === undefined) continue
      // No context names what is newer than the write that it belongs to.
      const below = timeOf(version) > 0 ? timeOf(version) - 1 : 0
      context.push(upTo < version ? upTo : makeVersion(below, counterMax, site))
    }
    return context
  }

  mark(
    scope: PlaceFilter,
    remote: { readonly volumeId: string; readonly siteId: string },
  ): HoldingsMark {
    const { versions, accounts, peers, sequencer } = this.#options
    const told = peers.get(remote.volumeId)?.holdings?.upTo ?? []
    const held = this.#from(
      (holdings) => isEverything(holdings.scope) || isSameFilter(holdings.scope, scope),
    )
    const upTo = joinContext(held, [versions.issued]).filter(
      (version) => siteOf(version) !== remote.siteId && !contextCovers(told, version),
    )
    return {
      isSettled: !accounts.isSweeping,
      seq: sequencer.lastSeq,
      movedTo: accounts.movedTo,
      upTo: upTo.slice(0, contextSitesMax),
    }
  }

  onChange(listener: () => void): () => void {
    return this.#options.peers.onHoldings(listener)
  }

  #from(counts: (holdings: Holdings) => boolean): Context {
    let held: Context = []
    for (const { holdings } of this.#options.peers.all())
      if (holdings !== undefined && counts(holdings)) held = joinContext(held, holdings.upTo)
    return held
  }
}
