/** What replication does with the ledger of a remote: takes places, settles them, buries some, replays. */
import type { FeedPlace } from '../../store/model/object-store.ts'
import { demand } from '../violation.ts'
import type { CrashClient } from './crash-client.ts'

export class LedgerWork {
  readonly #client: CrashClient
  #isBusy = false

  constructor(client: CrashClient) {
    this.#client = client
  }

  /** Takes some places: the remote has most of them now, and refuses a few for good. */
  async ship(): Promise<void> {
    await this.#alone(async () => {
      const { chance, model } = this.#client.parts
      const { ledger } = this.#client.life
      const taken = await this.#client.run('take', () => ledger.take(chance.between(1, 8)))
      if (taken.kind !== 'answered') return
      const places = taken.value
      ledger.launched(places)
      await this.#client.pause()
      const refused = places.filter(() => chance.hits(0.1))
      const settled = places.filter((place) => !refused.includes(place) && chance.hits(0.8))
      const settlements = settled.map((place) => ({ place, result: 'replicated' }) as const)
      const settling = await this.#client.run(`settle ${seqsOf(settled)}`, () =>
        ledger.settle(settlements),
      )
      if (settling.kind === 'answered') for (const { seq } of settled) model.settled.add(seq)
      for (const place of refused) await this.#bury(place)
      ledger.landed(places)
    })
  }

  /** Somebody looks at what was refused, or sends what was sent once more. */
  async decide(): Promise<void> {
    await this.#alone(async () => {
      const { chance, model } = this.#client.parts
      const { ledger } = this.#client.life
      const from = chance.pick(['failed', 0, ledger.position().low] as const)
      // Whatever becomes of it: they may be pending again.
      if (from === 'failed') model.buried.clear()
      else for (const seq of model.settled) if (seq > from) model.settled.delete(seq)
      if (from === 'failed' && chance.hits(0.5)) {
        await this.#client.run('discard', () => ledger.discard('all'))
        return
      }
      // A replay goes for what is buried, too.
      model.buried.clear()
      await this.#client.run(`replay ${from}`, () => ledger.replay({ from }, { dryRun: false }))
    })
  }

  async #bury(place: FeedPlace): Promise<void> {
    const { model } = this.#client.parts
    const { ledger } = this.#client.life
    if (!ledger.isPending(place)) return
    const letter = { reason: 'no such thing', attempts: 3 }
    const { kind } = await this.#client.run(`bury ${place.seq}`, () => ledger.bury(place, letter))
    if (kind !== 'answered') return
    model.buried.add(place.seq)
    demand(!ledger.isPending(place), 'letters', () => `${place.seq} is buried and pending`)
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    await work()
    this.#isBusy = false
  }
}

function seqsOf(places: readonly FeedPlace[]): string {
  return places.map(({ seq }) => seq).join(' ')
}
