/** Everything about one dead letter, for a person with 80 columns. */

import Table from 'cli-table3'
import type { CurrentObject, FailedDetail, ObjectThere } from '../admin/protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { countOf } from '../base/format-count.ts'
import { explainReason } from './explain-reason.ts'
import { formatInstant } from './format-instant.ts'
import { paint } from './output.ts'
import { printable } from './printable.ts'

export function formatFailedDetails(failed: readonly FailedDetail[]): string {
  return failed.map(formatDetail).join('\n\n')
}

function formatDetail(detail: FailedDetail): string {
  const { meaning, help } = explainReason(detail.reason)
  const rows: readonly (readonly [string, string])[] = [
    ['what', whatOf(detail)],
    ['refused', `${formatInstant(detail.time)}, after ${countOf(detail.attempts, 'attempt')}`],
    ['reason', printable(detail.reason)],
    ['meaning', meaning],
    ['size', formatByteSize(detail.bytes)],
    ['its version', versionOf(detail.version, detail.version_site, detail.version_time)],
    ['here now', currentOf(detail)],
    ...(detail.there === null || detail.there === undefined
      ? []
      : [['there now', thereOf(detail.version, detail.there)] as const]),
    ['what helps', help.replace('SEQ', String(detail.seq))],
  ]
  const table = new Table({
    colWidths: [14, 63],
    style: { head: [], border: [], compact: true },
    wordWrap: true,
    wrapOnWordBoundary: rows.every(([, text]) => text.split(' ').every((word) => word.length < 60)),
  })
  table.push(...rows.map(([label, text]) => [label, text]))
  const title = paint('bold', `dead letter ${detail.seq}`)
  return `${title}, remote ${printable(detail.remote)}\n${table.toString()}`
}

function whatOf({ about, bucket, key }: FailedDetail): string {
  switch (about) {
    case 'object':
      return `object ${printable(`${bucket}/${key ?? ''}`)}`
    case 'bucket':
      return `bucket ${printable(bucket)}: that it was made or deleted`
    case 'purge':
      return `bucket ${printable(bucket)}: that it was purged`
  }
}

function versionOf(version: string, site: string, time: string): string {
  return `${printable(version)}, made at ${printable(site)}, ${formatInstant(time)}`
}

function currentOf({ about, version, current }: FailedDetail): string {
  if (about !== 'object') return 'nothing to compare: it is about the bucket itself'
  if (current === null) return 'no object: what was refused is that it was deleted'
  return factsOf(version, current)
}

function thereOf(version: string, { state, object, ...said }: ObjectThere): string {
  switch (state) {
    case 'object':
      return object === null ? 'an object' : factsOf(version, object)
    case 'deleted':
      return `no object: it was deleted, by ${sameOr(version, said.version ?? '')}`
    case 'purged':
      return 'no object: its bucket was purged there'
    case 'absent':
      return 'no object: the remote has never heard of it'
    case 'unknown':
      return `not known: ${printable(said.reason ?? 'the remote does not say')}`
  }
}

function factsOf(version: string, object: CurrentObject): string {
  const facts = `${formatByteSize(object.bytes)}, etag ${printable(object.etag)}`
  return `${sameOr(version, object.version)}, ${facts}, written ${formatInstant(object.last_modified)}`
}

function sameOr(version: string, other: string): string {
  return other === version ? 'the same version' : `version ${printable(other)}`
}
