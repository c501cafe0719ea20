/** The remotes of a site for a person with 80 columns. */
import Table from 'cli-table3'
import type { RemoteDocument } from '../admin/protocol.ts'
import { paint } from './output.ts'
import { printable } from './printable.ts'

export function formatRemotes(remotes: readonly RemoteDocument[]): string {
  if (remotes.length === 0) return 'this site ships to nobody: comio repl remote add'
  const table = new Table({
    head: ['remote', 'state', 'address', 'gets'],
    colWidths: [16, 12, 30, 18],
    style: { head: [], border: [] },
    wordWrap: true,
    wrapOnWordBoundary: false,
  })
  for (const remote of remotes) {
    table.push([
      printable(remote.name),
      stateOf(remote),
      remote.urls.map(printable).join('\n'),
      wantedBy(remote),
    ])
  }
  return table.toString()
}

function stateOf({ paused, source }: RemoteDocument): string {
  if (source === 'unused') return 'not used'
  return paused ? paint('yellow', 'paused') : 'linked'
}

function wantedBy(remote: RemoteDocument): string {
  const parts = [
    ...remote.buckets.map((bucket) => `${bucket}/`),
    ...remote.prefixes.map((prefix) => `${prefix}*`),
    ...remote.exclude_buckets.map((bucket) => `not ${bucket}/`),
    ...remote.exclude_prefixes.map((prefix) => `not ${prefix}*`),
  ]
  return parts.length === 0 ? 'everything' : parts.map(printable).join('\n')
}
