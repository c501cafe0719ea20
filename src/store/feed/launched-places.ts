/** Seqs that are on the wire, to any remote. */
export class LaunchedPlaces {
  readonly #counts = new Map<number, number>()

  has(seq: number): boolean {
    return this.#counts.has(seq)
  }

  add(seq: number): void {
    this.#counts.set(seq, (this.#counts.get(seq) ?? 0) + 1)
  }

  remove(seq: number): void {
    const count = this.#counts.get(seq) ?? 0
    if (count <= 1) this.#counts.delete(seq)
    else this.#counts.set(seq, count - 1)
  }
}
