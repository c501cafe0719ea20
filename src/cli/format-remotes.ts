/** The remotes of a site for a person with 80 columns. */
import Table from 'cli-table3'
import type { RemoteDocument } from '../admin/protocol.ts'
import { paint } from './output.ts'
import { printable } from './printable.ts'

export function formatRemotes(remotes: readonly RemoteDocument[]): string {
  if (remotes.length === 0) return 'this site ships to nobody: comio repl remote add'
  const table = new Table({
    head: ['remote', 'state', 'address and settings', 'gets'],
    colWidths: [16, 12, 30, 18],
    style: { head: [], border: [] },
    wordWrap: true,
    wrapOnWordBoundary: false,
  })
  for (const remote of remotes) {
    table.push([
      printable(remote.name),
      stateOf(remote),
      [...remote.urls, ...ownOf(remote)].map(printable).join('\n'),
      wantedBy(remote),
    ])
  }
  return table.toString()
}

function stateOf({ paused, source }: RemoteDocument): string {
  if (source === 'unused') return 'not used'
  return paused ? paint('yellow', 'paused') : 'linked'
}

/** A site of an older version does not say. */
function ownOf({ settings = {} }: RemoteDocument): readonly string[] {
  return Object.entries(settings).map(([field, value]) => `${field}: ${value}`)
}

/** The table takes a time that rises with the square of a cell, and nobody reads so many. */
const shownMax = 8
const shownLettersMax = 64

function wantedBy(remote: RemoteDocument): string {
  const parts = [
    ...remote.buckets.map((bucket) => `${bucket}/`),
    ...remote.prefixes.map((prefix) => `${prefix}*`),
    ...remote.exclude_buckets.map((bucket) => `not ${bucket}/`),
    ...remote.exclude_prefixes.map((prefix) => `not ${prefix}*`),
  ]
  if (parts.length === 0) return 'everything'
  const shown = parts.slice(0, shownMax).map((part) => shortened(printable(part)))
  const more = parts.length - shown.length
  return [...shown, ...(more === 0 ? [] : [`and ${more} more: see them with --json`])].join('\n')
}

function shortened(text: string): string {
  return text.length <= shownLettersMax ? text : `${text.slice(0, shownLettersMax)}...`
}
