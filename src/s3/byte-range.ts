import type { ByteRange } from '../store/model/object-store.ts'

/** `undefined` stands for the whole object: no range, one that is not understood, or several. */
export type RangeChoice = ByteRange | 'unsatisfiable' | undefined

const singleRange = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i

/**
 * What a Range header means for `size` bytes (RFC 9110, 14.1.2). A malformed header is ignored, as
 * the RFC demands; a well-formed one without a single byte in the object is unsatisfiable.
 */
export function chooseRange(header: string | undefined, size: number): RangeChoice {
  const match = header === undefined ? null : singleRange.exec(header)
  if (match === null) return undefined
  const [, first = '', last = ''] = match
  if (first === '') {
    if (last === '') return undefined
    const suffix = Math.min(Number(last), size)
    return suffix === 0 ? 'unsatisfiable' : { start: size - suffix, end: size }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return undefined
  if (start >= size) return 'unsatisfiable'
  return { start, end: last === '' ? size : Math.min(Number(last) + 1, size) }
}

/** `bytes 0-9/100` */
export function formatContentRange(range: ByteRange, size: number): string {
  return `bytes ${range.start}-${range.end - 1}/${size}`
}
