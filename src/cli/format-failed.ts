/** The dead letters for a person with 80 columns. */

import Table from 'cli-table3'
import type { FailedChange } from '../admin/protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { countOf } from '../base/format-count.ts'
import { printable } from './printable.ts'

export function formatFailed(failed: readonly FailedChange[]): string {
  if (failed.length === 0) return 'no change has failed'
  const table = new Table({
    head: ['seq', 'time', 'object', 'reason'],
    colWidths: [10, 12, 26, 27],
    style: { head: [], border: [] },
    wordWrap: true,
    wrapOnWordBoundary: false,
  })
  for (const change of failed) {
    table.push([
      String(change.seq),
      change.time.replace('T', ' ').replace(/\.\d+Z$/, 'Z'),
      `${printable(objectOf(change))} (${formatByteSize(change.bytes)})`,
      `${printable(change.remote)}: ${printable(change.reason)}, ${countOf(change.attempts, 'attempt')}`,
    ])
  }
  const count = countOf(failed.length, 'failed change')
  return `${table.toString()}\n${count}; comio repl replay --failed sends them again,\ncomio repl failed show SEQ tells all about one`
}

function objectOf(change: FailedChange): string {
  return change.key === null ? change.bucket : `${change.bucket}/${change.key}`
}
