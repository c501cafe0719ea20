import { hash } from 'node:crypto'
import { encodeFilter, isEverything, type PlaceFilter } from '../../store/model/place-filter.ts'
import { noFilterHash } from './protocol.ts'

/** Equal for filters that want the same; a cursor belongs to one. */
export function filterHashOf(filter: PlaceFilter): string {
  if (isEverything(filter)) return noFilterHash
  return hash('sha256', encodeFilter(filter)).slice(0, 32)
}
