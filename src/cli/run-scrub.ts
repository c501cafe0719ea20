/** Has a site read everything it stores, shows how far it is, and tells what was found. */
import { setTimeout as pause } from 'node:timers/promises'
import type { AdminClient } from '../admin/client.ts'
import type {
  ScrubDocument,
  ScrubFindingDocument,
  ScrubProgressDocument,
  ScrubResultDocument,
} from '../admin/scrub-protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { formatDuration } from '../base/duration.ts'
import { countOf, formatCount } from '../base/format-count.ts'
import { exitCodes } from './exit-codes.ts'
import { paint, writeJson, writeNote, writeResult } from './output.ts'
import { printable } from './printable.ts'

export interface ScrubCall {
  readonly signal: AbortSignal
  readonly stream: { readonly isTTY?: boolean; write(text: string): unknown }
}

const lookMs = 250
const barWidth = 24
/** Findings that are printed; the rest is counted, and in the JSON. */
const shownMax = 50
const eraseLine = '\r\u001b[K'

export async function runScrub(
  client: Pick<AdminClient, 'scrub' | 'scrubStatus'>,
  { signal, stream }: ScrubCall,
): Promise<ScrubDocument> {
  let document = await client.scrub()
  try {
    while (document.running !== null && !signal.aborted) {
      if (stream.isTTY === true) stream.write(`${eraseLine}${progressText(document.running)}`)
      await pause(lookMs, undefined, { signal }).catch(() => undefined) // the signal is looked at
      document = await client.scrubStatus()
    }
  } finally {
    if (stream.isTTY === true) stream.write(eraseLine)
  }
  return document
}

/** Prints how it stands, and returns the exit code that says so. */
export function reportScrub(
  document: ScrubDocument,
  { json }: { readonly json: boolean | undefined },
): number {
  if (json === true) writeJson(document)
  else writeResult(describeScrub(document))
  const { running, last } = document
  if (running !== null && json !== true) {
    writeNote('It goes on at the site: comio volume scrub --status tells how far it is.')
  }
  if (last === null) return exitCodes.done
  return leftOf(last) === 0 && (running !== null || last.reason === null)
    ? exitCodes.done
    : exitCodes.failed
}

function describeScrub({ running, last, next_at, rate }: ScrubDocument): string {
  const lines: string[] = []
  if (running !== null) lines.push(progressText(running))
  if (last !== null) lines.push(...describeResult(last))
  else if (running === null) lines.push('Nothing was scrubbed yet.')
  const pace = rate === 0 ? 'without a limit' : `at ${formatByteSize(rate)}/s at most`
  lines.push(next_at === null ? `None is planned (${pace}).` : `The next one: ${next_at}, ${pace}.`)
  return lines.join('\n')
}

function progressText(running: ScrubProgressDocument): string {
  const { objects, objects_total, bytes, bytes_total, damaged, healed } = running
  const share = bytes_total === 0 ? 0 : Math.min(1, bytes / bytes_total)
  const filled = Math.floor(share * barWidth)
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}]`
  const read = `${formatCount(objects)} of ${countOf(objects_total, 'object')}, ${formatByteSize(bytes)}`
  const found =
    damaged === 0 ? '' : `, ${formatCount(damaged)} damaged, ${formatCount(healed)} healed`
  return `scrubbing ${bar} ${Math.floor(share * 100)}%  ${read}${found}`
}

function leftOf({ damaged, healed, gone }: ScrubResultDocument): number {
  return damaged - healed - gone
}

function describeResult(last: ScrubResultDocument): readonly string[] {
  const { started_at, finished_at, objects, bytes, records, damaged, healed, gone } = last
  const lasted = formatDuration(Date.parse(finished_at) - Date.parse(started_at))
  const read = `${countOf(objects, 'object')} (${formatByteSize(bytes)}) and ${countOf(records, 'other record')}`
  const lines = [`${headline(last)}, ended at ${finished_at}`, `  ${read} read in ${lasted}`]
  if (last.reason !== null) lines.push(`  not everything: ${printable(last.reason)}`)
  if (damaged > 0) {
    const replaced = gone === 0 ? '' : `, ${formatCount(gone)} replaced by something newer`
    lines.push(`  ${formatCount(damaged)} found damaged, ${formatCount(healed)} healed${replaced}`)
  }
  for (const finding of last.listed.slice(0, shownMax)) lines.push(describe(finding))
  const more = damaged - Math.min(last.listed.length, shownMax)
  if (more > 0) lines.push(`  and ${formatCount(more)} more`)
  return lines
}

function headline(last: ScrubResultDocument): string {
  const left = leftOf(last)
  if (left > 0) return paint('red', `${formatCount(left)} damaged`)
  return last.reason === null ? paint('green', 'all sound') : paint('yellow', 'broken off')
}

function describe({ what, bucket, key, result, problem }: ScrubFindingDocument): string {
  const name = [bucket, key].filter((part) => part !== null).join('/')
  const why = problem === null ? '' : `: ${printable(problem)}`
  return `  ${result.padEnd(8)}${what.padEnd(9)} ${printable(name)}${why}`
}
