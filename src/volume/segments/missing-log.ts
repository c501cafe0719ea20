/** The log segments that should be there and are not, for somebody who goes on with what is left. */
import type { SegmentUse } from '../format/record.ts'
import { isSameUse } from './segment-table.ts'

export class MissingLog {
  readonly #uses: SegmentUse[] = []
  /** How many are missing that nothing names. */
  unnamed = 0
  /** Slots with what a crash left behind. */
  unwanted: readonly number[] = []

  add(use: SegmentUse): void {
    if (!this.#uses.some((known) => isSameUse(known, use))) this.#uses.push(use)
  }

  get isAny(): boolean {
    return this.#uses.length > 0 || this.unnamed > 0
  }

  /** Those between two generations. */
  between(after: number, before: number): readonly SegmentUse[] {
    return this.#uses
      .filter(({ generation }) => generation > after && generation < before)
      .sort((a, b) => a.generation - b.generation)
  }
}
