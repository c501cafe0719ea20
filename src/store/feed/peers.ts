/** What this site has stored of each sender: its low-water mark, and what it says is all here. */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { joinHoldings, saysMore } from '../model/holdings.ts'
import type { PeerMark } from '../model/object-store.ts'
import type { IndexBatch } from '../tables/index-batch.ts'
import { nameOf, peerKey, peersRange } from '../tables/keys.ts'
import { readAll } from '../tables/read-all.ts'
import { decodePeerMark, encodePeerMark } from '../tables/small-entries.ts'

export class Peers {
  readonly #marks = new Map<string, PeerMark>()
  readonly #listeners = new Set<() => void>()

  static async load(index: OrderedIndex): Promise<Peers> {
    const peers = new Peers()
    for (const [key, value] of await readAll(index, peersRange)) {
      const volumeId = nameOf(key)
      peers.#marks.set(volumeId, decodePeerMark(volumeId, value))
    }
    return peers
  }

  get(volumeId: string): PeerMark | undefined {
    return this.#marks.get(volumeId)
  }

  linked(): readonly string[] {
    return [...this.#marks.values()].flatMap(({ volumeId, ended }) => (ended ? [] : volumeId))
  }

  all(): Iterable<PeerMark> {
    return this.#marks.values()
  }

  isNews(mark: PeerMark): boolean {
    return this.#isLater(mark) || saysMore(this.#marks.get(mark.volumeId)?.holdings, mark.holdings)
  }

  write(batch: IndexBatch, mark: PeerMark): void {
    batch.put(peerKey(mark.volumeId), encodePeerMark(this.#merged(mark)))
  }

  /** Once it is durable: what is told of a mark must not be ahead of the disk. */
  written(mark: PeerMark): void {
    const { holdings } = this.#marks.get(mark.volumeId) ?? {}
    const merged = this.#merged(mark)
    this.#marks.set(mark.volumeId, merged)
    if (saysMore(holdings, merged.holdings)) for (const listener of this.#listeners) listener()
  }

  /** Called when more is known to be all here. Returns the unsubscriber. */
  onHoldings(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Marks of batches that overlap may come in either order: within one link and life the higher is right. */
  #isLater(mark: PeerMark): boolean {
    const known = this.#marks.get(mark.volumeId)
    if (known === undefined || known.epoch !== mark.epoch) return mark.epoch > (known?.epoch ?? -1)
    if (known.ended !== mark.ended) return mark.ended
    return known.incarnation !== mark.incarnation || known.through < mark.through
  }

  #merged(mark: PeerMark): PeerMark {
    const known = this.#marks.get(mark.volumeId)
    const later = known === undefined || this.#isLater(mark) ? mark : known
    const holdings = joinHoldings(known?.holdings, mark.holdings)
    return holdings === undefined ? later : { ...later, holdings }
  }
}
