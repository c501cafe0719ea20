/**
 * The bytes of one version of an object, put together from two sites: whichever has sound ones goes on
 * where the other met damage. Each piece was compared with its checksums where it lay; only the reader can
 * tell whether the whole has its hash.
 */
import { rethrowAssertion } from '../base/assert.ts'
import type { ByteRange } from '../store/model/object-store.ts'

/** A checksum covers this much: where nothing larger is sound, so much may be. */
const blockBytes = 64 * 1024

export interface SoundBytesOptions {
  /** This site's. */
  readonly own: (range: ByteRange) => AsyncIterable<Buffer>
  /** Another site's, from the first of them on; undefined when none has them. */
  readonly other: (range: ByteRange) => Promise<AsyncIterable<Buffer> | undefined>
  /** Whether this is damage, which the other site may not have; everything else is thrown. */
  readonly isDamage: (error: unknown) => boolean
  /** Before another site is asked. */
  readonly onDamage?: (damage: unknown) => void
}

/** @throws the damage of this site's bytes, where neither has sound ones */
export async function* soundBytes(
  range: ByteRange,
  { own, other, isDamage, onDamage }: SoundBytesOptions,
): AsyncGenerator<Buffer> {
  let { start } = range
  while (start < range.end) {
    const before = start
    let damage: unknown
    for (const end of [range.end, Math.min(range.end, blockEnd(start))]) {
      try {
        for await (const piece of own({ start, end })) {
          start += piece.length
          yield piece
        }
      } catch (error) {
        if (!isDamage(error)) throw error
        damage = error
        onDamage?.(error)
      }
      if (start > before) break
      const pieces = await other({ start, end })
      if (pieces === undefined) continue
      try {
        for await (const piece of pieces) {
          start += piece.length
          yield piece
        }
      } catch (error) {
        rethrowAssertion(error)
        // Away, or damaged there: what has come so far was sound.
        if (start === before) damage ??= error
      }
      if (start > before) break
    }
    if (start === before) throw damage
  }
}

function blockEnd(start: number): number {
  return (Math.floor(start / blockBytes) + 1) * blockBytes
}
