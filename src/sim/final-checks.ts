/** What must be true once nothing fails any more and everything has been shipped. */

import { checkEqual } from './compare-sites.ts'
import type { ConflictWitness } from './conflict-witness.ts'
import type { EventQueue } from './event-queue.ts'
import { type History, inputOf } from './history.ts'
import { recount } from './recount.ts'
import type { SimProcess, SimSite } from './sim-site.ts'
import { readContents, type SiteContents, type SlotName, slotOf } from './site-contents.ts'
import type { Trace } from './trace.ts'
import { demand } from './violation.ts'

export interface FinalChecksOptions {
  readonly sites: readonly SimSite[]
  readonly queue: EventQueue
  readonly trace: Trace
  readonly history: History
  readonly witness: ConflictWitness
  readonly slots: readonly SlotName[]
  readonly keepBoth: boolean
}

const lettersMax = 10_000
/** Longer than what a sender has abandoned is kept. */
const tidyMsMax = 5 * 60_000
const nudgeEveryMs = 5000
const verifyLookMs = 20

export class FinalChecks {
  readonly #options: FinalChecksOptions

  constructor(options: FinalChecksOptions) {
    this.#options = options
  }

  /** Every site is up and owes nothing to any other. */
  isQuiet(): boolean {
    return this.#options.sites.every(({ process }) => {
      if (process === undefined) return false
      for (const ledger of process.ledgers.values()) {
        const { pending, replaying } = ledger.counters()
        if (pending + replaying > 0) return false
      }
      return true
    })
  }

  /** What a remote refused is sent once more, as an operator does after the repair. */
  async replayLetters(): Promise<void> {
    const { sites, trace } = this.#options
    for (const site of sites) {
      for (const [remote, ledger] of processOf(site).ledgers) {
        const letters = await ledger.deadLetters(lettersMax)
        for (const { seq, reason } of letters) {
          trace.add('letter', `${site.name} for ${remote}: ${seq} ${reason}`)
        }
        const { count } = await ledger.replay({ from: 'failed' }, { dryRun: false })
        const say = (): string => `${count} of ${letters.length} dead letters were replayed`
        demand(count >= letters.length, 'letters', say)
      }
    }
  }

  /** @throws Violation */
  async run(): Promise<void> {
    const { sites, queue } = this.#options
    for (const site of sites) await this.#checkTidy(site)
    while (!this.isQuiet()) await queue.pause(nudgeEveryMs)
    const all = sites.map((site) => ({
      name: site.name,
      contents: readContents(site.indexDisk.durable),
      // Of the same moment: the cleaner goes on while objects are read.
      segments: processOf(site).volume.segments(),
    }))
    for (const [at, { name, contents, segments }] of all.entries()) {
      const site = sites[at]
      if (site === undefined) continue
      const process = processOf(site)
      recount(name, contents, segments)
      await this.#readAll(process, contents)
    }
    const [first, ...others] = all
    for (const other of others) if (first !== undefined) checkEqual(first, other)
    this.#options.witness.check(all.map(({ contents }) => contents))
    for (const { contents } of all) {
      for (const { conflict } of contents.conflicts) {
        const what = conflict.keptAs === undefined ? 'conflict' : 'conflict-kept'
        this.#options.trace.count(`${what}-${conflict.winner.kind}`)
      }
    }
    if (this.#options.keepBoth)
      for (const { name, contents } of all) this.#checkKept(name, contents)
    for (const site of sites) await this.#checkVerified(site)
  }

  /** What a site lists as kept is there at every site; that it is whole was read before. */
  #checkKept(lister: string, contents: SiteContents): void {
    for (const site of this.#options.sites) {
      for (const copy of this.#options.witness.keptCopies(contents)) {
        const say = (): string =>
          `${slotOf(copy)}, which ${lister} lists as kept, is not at ${site.name}`
        demand(processOf(site).engine.headObject(copy) !== undefined, 'keep-both', say)
      }
    }
  }

  /** What the sites find by comparing digests is what was found here by looking at everything. */
  async #checkVerified(site: SimSite): Promise<void> {
    const { replicator } = processOf(site)
    const { verifier } = replicator
    verifier.begin({ bucket: undefined, deep: true, repair: false }, replicator.verifiedRemotes())
    while (verifier.run?.running !== undefined) await this.#options.queue.pause(verifyLookMs)
    for (const { remote, report } of verifier.run?.results ?? []) {
      const { verdict, reason, listed, waiting } = report
      const say = (): string =>
        `${site.name} finds ${remote} ${verdict}: ${reason ?? JSON.stringify(listed)}, ${waiting} waiting`
      demand(verdict === 'equal', 'verified', say)
    }
  }

  /** Every object can be read, whole and as it was written. */
  async #readAll(process: SimProcess, contents: SiteContents): Promise<void> {
    const { engine, site } = process
    let count = 0
    for (const slot of contents.live.keys()) {
      const split = slot.indexOf('/')
      const name = { bucket: slot.slice(0, split), key: slot.slice(split + 1) }
      const object = engine.openObject(name)
      demand(
        object !== undefined,
        'visible',
        () => `${slot} at ${site} is stored and does not show`,
      )
      if (object === undefined) continue
      try {
        const pieces: Buffer[] = []
        for await (const piece of object.read()) pieces.push(piece)
        this.#options.history.compare(object.info, Buffer.concat(pieces))
      } finally {
        object.close()
      }
      count++
    }
    const totals = await engine.totals()
    demand(totals.count === count, 'totals', () => `${site} counts ${totals.count} of ${count}`)
  }

  /** Sweeps and pulls come to their end, and no segment is kept that nothing lies in. */
  async #checkTidy(site: SimSite): Promise<void> {
    const { queue } = this.#options
    const deadline = queue.time + tidyMsMax
    for (;;) {
      const untidy = this.#untidy(site)
      if (untidy === undefined) return
      demand(queue.time < deadline, 'tidy', () => `${site.name} ${untidy}`)
      await this.#nudge()
      await queue.pause(nudgeEveryMs)
    }
  }

  /** One more write: a store looks for empty segments when it has indexed something. */
  async #nudge(): Promise<void> {
    const { sites, slots, history } = this.#options
    const [site] = sites
    const [name] = slots
    if (site === undefined || name === undefined) return
    const record = history.beginPut(site.name, name, 10)
    await processOf(site).engine.putObject({ ...name, ...inputOf(record) })
    record.state = 'answered'
  }

  #untidy(site: SimSite): string | undefined {
    const process = processOf(site)
    const { uploads, buckets, segments, state } = readContents(site.indexDisk.durable)
    if (uploads.length > 0) return `keeps ${uploads.length} uploads that nobody continues`
    if (process.replicator.receiver.isReceiving) return 'holds on to objects that nobody sends'
    for (const [bucket, entry] of buckets) {
      if (entry.sweeping) return `does not finish sweeping ${bucket}`
    }
    const dead = process.volume.segments().filter((info) => {
      const counted = segments.get(info.segment)
      const isLive = counted?.generation === info.generation && counted.records > 0
      // What is not in the index yet may still be in a log segment.
      const isBehind =
        info.stream === 'bulk' || info.generation < (state?.checkpoint?.generation ?? 0)
      return info.state === 'sealed' && !isLive && isBehind
    })
    const names = dead.map(
      ({ segment, generation, stream }) => `${stream} ${segment}.${generation}`,
    )
    return names.length === 0 ? undefined : `keeps empty segments: ${names.join(', ')}`
  }
}

function processOf(site: SimSite): SimProcess {
  const { process } = site
  demand(process !== undefined, 'liveness', () => `${site.name} is down in the end`)
  return process as SimProcess
}
