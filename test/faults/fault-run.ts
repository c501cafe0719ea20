/**
 * Two sites under load that ship to each other, both of which are killed again and again while the
 * network between them does everything that a network can do, clocks are set and tokens exchanged.
 * Then all is well again, and nothing may be lost. What happens is drawn from a seed; when exactly it
 * happens is the machine's affair.
 */
import { expect } from 'vitest'
import { type Random, randomBelow, seededRandom } from '../../src/base/random.ts'
import { listBucket } from '../e2e/site-contents.ts'
import type { TestBed } from '../e2e/site-process.ts'
import { FaultyPair, other } from './faulty-pair.ts'
import { SharedLoad, sharedBucket } from './shared-load.ts'
import { fair, type Weather } from './weather.ts'
import type { ListedLoser, SiteNumber } from './write-history.ts'

export interface FaultRunOptions {
  readonly seed: number
  readonly kills: number
  /** Looks at everything after so many kills, and in the end. */
  readonly killsBetweenLooks: number
  /** What becomes of connections that were half open. */
  readonly afterHalfOpen: 'silence' | 'reset'
}

export interface FaultRunSummary {
  readonly writes: number
  readonly resets: number
  readonly replayed: number
  readonly conflicts: number
}

/** Less than half of the skew that sites accept of each other. */
const stepMsMax = 120_000

export async function runFaults(bed: TestBed, options: FaultRunOptions): Promise<FaultRunSummary> {
  const pair = await FaultyPair.start(bed)
  const run = new FaultRun(pair, options)
  try {
    return await run.run()
  } finally {
    await pair.close()
  }
}

class FaultRun {
  readonly #pair: FaultyPair
  readonly #options: FaultRunOptions
  readonly #random: Random
  readonly #load: SharedLoad
  #conflicts = 0

  constructor(pair: FaultyPair, options: FaultRunOptions) {
    this.#pair = pair
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#load = new SharedLoad(pair.sites, options.seed)
  }

  async run(): Promise<FaultRunSummary> {
    const { kills, killsBetweenLooks } = this.#options
    this.#load.start()
    for (let kill = 1; kill <= kills; kill++) {
      await this.#trouble()
      await this.#kill()
      if (kill % killsBetweenLooks === 0 || kill === kills) {
        await this.#load.stop()
        await this.#look()
        if (kill < kills) this.#load.start()
      }
    }
    const [a, b] = this.#pair.proxies
    return {
      writes: this.#load.history.count,
      resets: a.resets + b.resets,
      replayed: a.replayed + b.replayed,
      conflicts: this.#conflicts,
    }
  }

  /** Everything but death, for a while. */
  async #trouble(): Promise<void> {
    const { proxies } = this.#pair
    for (const proxy of proxies) {
      proxy.weather = this.#drawWeather()
      if (this.#hits(0.4)) proxy.resetInBody()
    }
    const site = this.#drawSite()
    if (this.#hits(0.3)) await this.#pair.rotateToken(site)
    if (this.#hits(0.3)) await this.#pair.setClock(site, this.#between(-stepMsMax, stepMsMax))
    for (let count = 0; count < 3; count++) {
      await this.#load.answers(this.#between(5, 40))
      for (const proxy of proxies) if (this.#hits(0.5)) proxy.replay(this.#random)
    }
  }

  /** One is killed, or both; what is written to the other one meanwhile waits for it. */
  async #kill(): Promise<void> {
    const site = this.#drawSite()
    const victims = this.#hits(0.2) ? ([0, 1] as const) : [site]
    for (const victim of victims) this.#load.setUp(victim, false)
    await Promise.all(victims.map((victim) => this.#pair.sites[victim].kill()))
    if (victims.length === 1) {
      await this.#load.answers(this.#between(0, 60))
      // Sometimes the survivor dies before the other one is back.
      if (this.#hits(0.15)) {
        this.#load.setUp(other(site), false)
        await this.#pair.sites[other(site)].kill()
        await this.#start(other(site))
      }
    }
    for (const victim of victims) await this.#start(victim)
  }

  async #start(site: SiteNumber): Promise<void> {
    await this.#pair.startSite(site)
    this.#load.setUp(site, true)
  }

  /** Every answered write is accounted for, and both sites hold the same. */
  async #look(): Promise<void> {
    await this.#pair.rest()
    const { sites, proxies } = this.#pair
    const conflicts = await this.#pair.conflicts()
    this.#conflicts = conflicts.length
    const losers = conflicts
      .filter(({ loser }) => loser.kind !== 'purge')
      .map(({ key, loser }): ListedLoser => ({ key, etag: quoted(loser.etag) }))
    const [atA, atB] = await Promise.all(sites.map((site) => listBucket(site, sharedBucket)))
    expect(atB).toEqual(atA)
    const objects = new Map(atA?.map(({ key, etag }) => [key, quoted(etag) ?? '']))
    const wasCutOff = (site: SiteNumber, from: number, to: number): boolean =>
      proxies[other(site)].wasClosed(from, to)
    expect(this.#load.history.findings({ objects, losers, wasCutOff })).toEqual([])
    for (const [key, etag] of objects) {
      const { body } = await sites[0].send('GET', `/${sharedBucket}/${key}`)
      expect(this.#load.bytesOf(etag)?.equals(body), `the bytes of ${key}`).toBe(true)
    }
    await this.#pair.expectEqual()
  }

  #drawWeather(): Weather {
    const { afterHalfOpen } = this.#options
    switch (this.#between(0, 7)) {
      case 0:
        return { kind: 'cut' }
      case 1:
        return { kind: 'half-open', ends: afterHalfOpen }
      case 2:
        return { kind: 'delayed', ms: this.#between(1, 60) }
      case 3:
        return { kind: 'throttled', bytesPerSecond: this.#between(50, 2000) * 1000 }
      default:
        return fair
    }
  }

  #drawSite(): SiteNumber {
    return this.#hits(0.5) ? 0 : 1
  }

  #hits(share: number): boolean {
    return this.#random.fraction() < share
  }

  /** Both bounds included. */
  #between(from: number, to: number): number {
    return from + randomBelow(this.#random, to - from + 1)
  }
}

/** As listings, documents and headers have it. */
function quoted(etag: string | null): string | undefined {
  return etag === null ? undefined : `"${etag.replaceAll(/&quot;|"/g, '')}"`
}
