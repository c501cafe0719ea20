/**
 * Which site each link leads to. A site takes the latest link of a volume for the only one, so of two
 * remotes that turn out to be one site the second must not greet it: it would end the first for good.
 */
import type { RemoteLedger } from '../../store/model/object-store.ts'
import { RemoteTwiceError } from '../wire/errors.ts'

export class MetSites {
  /** Volume ids, by the name of the link. */
  readonly #met = new Map<string, string>()
  readonly #ledgers: () => readonly RemoteLedger[]

  /** @param ledgers of all links of this site, those that are paused included */
  constructor(ledgers: () => readonly RemoteLedger[]) {
    this.#ledgers = ledgers
  }

  /** Whether the remote may be greeted without asking first who it is. */
  isSure(name: string): boolean {
    return this.#met.has(name) || this.#ledgers().every(({ remote }) => remote === name)
  }

  /** The remote is this site, and of no other link. @throws RemoteTwiceError */
  meet(name: string, volumeId: string): void {
    this.refuseTwice(name, volumeId)
    this.#met.set(name, volumeId)
  }

  /** @throws RemoteTwiceError */
  refuseTwice(name: string, volumeId: string): void {
    const other = this.#otherOf(name, volumeId)
    if (other === undefined) return
    throw new RemoteTwiceError(
      `this is the site that remote ${other} leads to: one site has one name`,
      {
        facts: { remote: other, volumeId },
        hint: 'Remove one of the two, or correct the address: comio repl remote.',
      },
    )
  }

  forget(name: string): void {
    this.#met.delete(name)
  }

  #otherOf(name: string, volumeId: string): string | undefined {
    for (const [other, met] of this.#met) if (other !== name && met === volumeId) return other
    const ledgers = this.#ledgers()
    const isOf = (ledger: RemoteLedger): boolean => ledger.confirmedPeer()?.volumeId === volumeId
    // It was this link's before: who has the later link is the remote's to say.
    if (ledgers.some((ledger) => ledger.remote === name && isOf(ledger))) return undefined
    // Who has met another site since does not lead to this one any more.
    return ledgers.find(
      (ledger) => ledger.remote !== name && !this.#met.has(ledger.remote) && isOf(ledger),
    )?.remote
  }
}
