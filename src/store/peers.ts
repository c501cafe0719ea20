/** What this site has stored of each sender's low-water mark. */
import type { OrderedIndex } from '../index/ordered-index.ts'
import type { IndexBatch } from './index-batch.ts'
import type { PeerMark } from './object-store.ts'
import { readAll } from './read-all.ts'
import { nameOf, peerKey, peersRange } from './tables/keys.ts'
import { decodePeerMark, encodePeerMark } from './tables/small-entries.ts'

export class Peers {
  readonly #marks = new Map<string, PeerMark>()

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

  /** Marks of batches that overlap may come in either order: within one link and life the higher is right. */
  isNews(mark: PeerMark): boolean {
    const known = this.#marks.get(mark.volumeId)
    if (known === undefined || known.epoch !== mark.epoch) return mark.epoch > (known?.epoch ?? -1)
    if (known.ended !== mark.ended) return mark.ended
    return known.incarnation !== mark.incarnation || known.through < mark.through
  }

  write(batch: IndexBatch, mark: PeerMark): void {
    batch.put(peerKey(mark.volumeId), encodePeerMark(mark))
  }

  /** Once it is durable: what is told of a mark must not be ahead of the disk. */
  written(mark: PeerMark): void {
    if (this.isNews(mark)) this.#marks.set(mark.volumeId, mark)
  }
}
