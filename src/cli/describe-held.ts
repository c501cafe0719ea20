/** What was decided about what was held back, in a line. */

import type { HeldDocument } from '../admin/protocol.ts'
import { countOf } from '../base/format-count.ts'

export function describeRelease({ deletes, objects, delayed }: HeldDocument): string {
  if (deletes === 0 && delayed === 0) return 'nothing was held back'
  const parts = [
    ...(deletes > 0 ? [`${countOf(deletes, 'delete')} of ${countOf(objects, 'object')}`] : []),
    ...(delayed > 0 ? [`${countOf(delayed, 'change')} that waited to be old enough`] : []),
  ]
  return `released: ${parts.join(', ')}`
}

export function describeDiscard({ deletes, objects }: HeldDocument): string {
  if (deletes === 0) return 'no delete was held back'
  const what = `${countOf(deletes, 'delete')} of ${countOf(objects, 'object')}`
  return `discarded: ${what}; the other side keeps them`
}
