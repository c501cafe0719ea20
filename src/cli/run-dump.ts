/** Prints what stands in a volume, line by line, no faster than it is read. */

import { once } from 'node:events'
import { formatByteSize } from '../base/byte-size.ts'
import { countOf } from '../base/format-count.ts'
import type { ServerConfig } from '../config/server-config.ts'
import {
  type DumpDocument,
  type DumpedDamage,
  type DumpedRecord,
  type DumpSelection,
  dumpVolume,
} from '../server/offline/volume-dump.ts'
import { UsageError } from './errors.ts'
import { exitCodes } from './exit-codes.ts'
import { paint, writeNote, writeWarning } from './output.ts'
import { printable, printableJson } from './printable.ts'

const pieceBytes = 64 * 1024

/** @throws UsageError when there is no such segment */
export async function runDump(
  config: ServerConfig,
  selection: DumpSelection,
  { json }: { readonly json: boolean },
): Promise<number> {
  const lines = new LineWriter()
  const totals = await dumpVolume(config, selection, (document) => {
    if (document.type === 'volume') warn(document)
    return lines.write(json ? printableJson(document) : formatDumped(document))
  })
  await lines.end()
  const { segment } = selection
  if (segment !== undefined && totals.segments === 0) {
    const hint = 'The segments are the files SLOT.seg, with the number in hexadecimal.'
    throw new UsageError(`there is no readable segment ${segment}`, { hint })
  }
  if (totals.damage === 0) return exitCodes.done
  const count = countOf(totals.damage, 'damaged place')
  writeNote(`${count}; comio volume verify says which objects are hit`)
  return exitCodes.failed
}

function warn(volume: DumpDocument & { readonly type: 'volume' }): void {
  for (const problem of volume.problems) writeWarning(printable(problem))
  const { in_use_by: pid } = volume
  if (pid !== null) {
    writeWarning(`process ${pid} runs on this volume: what it is writing now may look damaged`)
  }
}

/** `--key` as it is given: a bucket, or a bucket and a key behind the first slash. */
export function parseObjectName(text: string): DumpSelection['of'] {
  const slash = text.indexOf('/')
  if (slash === -1) return { bucket: text }
  const key = text.slice(slash + 1)
  if (slash === 0 || key === '') {
    throw new UsageError('--key must be BUCKET or BUCKET/KEY')
  }
  return { bucket: text.slice(0, slash), key }
}

/** Gathers lines, and waits while nobody takes them. */
class LineWriter {
  #text = ''

  write(line: string): Promise<void> | undefined {
    this.#text += `${line}\n`
    return this.#text.length < pieceBytes ? undefined : this.end()
  }

  async end(): Promise<void> {
    const text = this.#text
    this.#text = ''
    if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain')
  }
}

function formatDumped(document: DumpDocument): string {
  switch (document.type) {
    case 'volume':
      return `${paint('bold', 'volume')} ${document.volume_id}`
    case 'segment': {
      const { segment, generation, stream, state, bytes } = document
      const name = `${segment.toString(16).padStart(8, '0')}.seg`
      const facts = `${stream}, generation ${generation}, ${state}, ${formatByteSize(bytes)}`
      return `${paint('bold', `segment ${segment}`)} (${name}), ${facts}`
    }
    case 'damage':
      return formatDamage(document)
    case 'record':
      return formatRecord(document)
  }
}

function formatDamage({ offset, mismatch, resumes_at }: DumpedDamage): string {
  const next = resumes_at === null ? 'nothing valid follows' : `goes on at ${resumes_at}`
  return `${column(offset)}  ${paint('red', 'DAMAGED')}  ${printable(mismatch)}; ${next}`
}

function formatRecord(record: DumpedRecord): string {
  const { offset, seq, kind, damage } = record
  const parts = [column(offset), `seq ${seq}`.padEnd(12), kind.padEnd(10), aboutText(record)]
  if (record.size !== undefined) parts.push(formatByteSize(record.size))
  if (record.version !== undefined) parts.push(record.version)
  if (typeof record.problem === 'string') parts.push(paint('red', printable(record.problem)))
  if (damage !== undefined) parts.push(paint('red', `DAMAGED: ${damage}`))
  return parts.filter((part) => part !== '').join('  ')
}

function aboutText(record: DumpedRecord): string {
  const { bucket, key, blob, index, remote } = record
  const name = bucket === undefined ? '' : key === undefined ? bucket : `${bucket}/${key}`
  const parts = [
    ...(name === '' ? [] : [name]),
    ...(typeof remote === 'string' ? [`remote ${remote}`] : []),
    ...(blob === undefined ? [] : [`blob ${blob}`]),
    ...(typeof index === 'number' ? [`chunk ${index}, ${formatByteSize(record.body_length)}`] : []),
  ]
  return printable(parts.join('  '))
}

function column(offset: number): string {
  return String(offset).padStart(10)
}
