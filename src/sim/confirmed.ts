/** Sync mode, looked at from outside: an answered write is on the disks of the remotes it waited for. */
import type { Version } from '../store/model/version.ts'
import type { Observer } from './observer.ts'
import type { SimSite } from './sim-site.ts'
import { type SlotName, slotOf } from './site-contents.ts'
import { demand } from './violation.ts'

export interface ConfirmedOptions {
  readonly sites: readonly SimSite[]
  readonly observer: Observer
  /** Remotes that must have a write; undefined in async mode. */
  readonly min: number | undefined
}

export class Confirmed {
  readonly #options: ConfirmedOptions

  constructor(options: ConfirmedOptions) {
    this.#options = options
  }

  /** A put was answered at `site` with this version. @throws Violation */
  put(site: SimSite, name: SlotName, version: Version): void {
    const { observer } = this.#options
    const have = (remote: SimSite): boolean =>
      remote.process === undefined || observer.view(remote, remote.process, name).reached >= version
    const all = this.#demand(site, { name, have, what: version })
    for (const remote of all) {
      const { process } = remote
      if (process !== undefined) observer.putAnswered(remote, process, { ...name, version })
    }
  }

  /** A delete or a purge was answered at `site` that was begun when `version` was there. @throws Violation */
  removed(site: SimSite, name: SlotName, version: Version | undefined): void {
    if (version === undefined) return
    const have = (remote: SimSite): boolean => {
      const live = remote.process?.engine.headObject(name)
      return live === undefined || live.version > version
    }
    const all = this.#demand(site, { name, have, what: `the removal of ${version}` })
    for (const remote of all) this.#options.observer.removed(remote, name, version)
  }

  /** The remotes of which none may lack it; what is down may have it. */
  #demand(
    site: SimSite,
    write: {
      readonly name: SlotName
      readonly have: (remote: SimSite) => boolean
      readonly what: string
    },
  ): readonly SimSite[] {
    const { sites, min } = this.#options
    if (min === undefined || site.remotes.length === 0) return []
    const remotes = sites.filter(({ name }) => site.remotes.includes(name))
    const needed = Math.min(min, remotes.length)
    const say = (): string =>
      `${slotOf(write.name)}: ${write.what} was answered at ${site.name}, and no ${needed} remotes have it`
    demand(remotes.filter(write.have).length >= needed, 'sync', say)
    return remotes.length === needed ? remotes : []
  }
}
