/** What was done with a remote, in a line or two. */
import type { RemoteDocument, RemovedDocument } from '../admin/protocol.ts'
import { printable } from './printable.ts'

export function describeRemote(remote: RemoteDocument, done: string): string {
  const name = printable(remote.name)
  const paused = remote.paused ? `; nothing is sent until comio repl resume ${name}` : ''
  return `remote ${name} ${done}: ${remote.urls.map(printable).join(', ')}${paused}`
}

export function describeRemoval({ name, told, reason }: RemovedDocument): string {
  const removed = `remote ${printable(name)} is removed: its position and its dead letters are gone`
  if (told) return `${removed}.\nIt knows, and refuses whatever comes under the old link.`
  return (
    `${removed}.\nIt could not be told (${printable(reason ?? 'for no reason given')}). Nothing is sent ` +
    'to it any more; should this site be set back to an old copy of itself, remove it again.'
  )
}
