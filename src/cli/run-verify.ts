/** Runs a comparison at a site: begins it, shows how it goes, and tells what came of it. */
import { setTimeout as pause } from 'node:timers/promises'
import type { AdminClient } from '../admin/client.ts'
import type {
  VerifyDifference,
  VerifyDocument,
  VerifyProgressDocument,
  VerifyResultDocument,
} from '../admin/verify-protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { formatDuration } from '../base/duration.ts'
import { countOf, formatCount } from '../base/format-count.ts'
import { exitCodes } from './exit-codes.ts'
import { paint, writeJson, writeNote, writeResult } from './output.ts'
import { printable } from './printable.ts'

export interface VerifyCall {
  readonly order: {
    readonly remote: string | undefined
    readonly bucket: string | undefined
    readonly deep: boolean
    readonly repair: boolean
  }
  readonly signal: AbortSignal
}

const lookMs = 250
/** Differences that are printed; the rest is counted, and in the JSON. */
const shownMax = 50

export async function runVerify(
  client: Pick<AdminClient, 'verify' | 'verifyStatus' | 'stopVerify'>,
  { order, signal }: VerifyCall,
): Promise<VerifyDocument> {
  const { remote, bucket, deep, repair } = order
  let run = await client.verify({
    ...(remote === undefined ? {} : { remote }),
    ...(bucket === undefined ? {} : { bucket }),
    deep,
    repair,
  })
  const line = new ProgressLine()
  try {
    while (run.running !== null) {
      line.show(progressText(run.running))
      await pause(lookMs, undefined, { signal }).catch(() => undefined) // the signal is looked at
      run = signal.aborted ? await client.stopVerify() : await client.verifyStatus()
    }
  } finally {
    line.end()
  }
  return run
}

/** Prints what came of it, and returns the exit code that says so. */
export function reportVerify(
  run: VerifyDocument,
  { json, bucket }: { readonly json: boolean | undefined; readonly bucket?: string | undefined },
): number {
  if (json === true) writeJson(run)
  else if (run.results.length === 0) writeNote('nothing was compared')
  else writeResult(run.results.map((result) => describeResult(result, bucket)).join('\n'))
  const isEqual = run.results.length > 0 && run.results.every(({ verdict }) => verdict === 'equal')
  return isEqual ? exitCodes.done : exitCodes.failed
}

/** One line on a terminal, over and over; nothing where nobody looks. */
class ProgressLine {
  readonly #isShown = process.stderr.isTTY === true

  show(text: string): void {
    if (this.#isShown) process.stderr.write(`\r\u001b[K${text}`)
  }

  end(): void {
    if (this.#isShown) process.stderr.write('\r\u001b[K')
  }
}

const phases: Readonly<Record<VerifyProgressDocument['phase'], string>> = {
  comparing: 'comparing',
  settling: 'looking again at what seemed to differ',
  reading: 'reading bytes',
  repairing: 'repairing',
}

function progressText(running: VerifyProgressDocument): string {
  const read =
    running.objects_read === 0
      ? ''
      : `, ${countOf(running.objects_read, 'object')} read (${formatByteSize(running.bytes_read)})`
  const differences = `${countOf(running.differences, 'difference')} so far`
  return `${printable(running.remote)}: ${phases[running.phase] ?? running.phase}, ${countOf(
    running.compared,
    'object',
  )} compared${read}, ${differences}`
}

function describeResult(result: VerifyResultDocument, bucket: string | undefined): string {
  const lines = [headline(result, bucket), ...details(result)]
  for (const difference of result.listed.slice(0, shownMax)) lines.push(describe(difference))
  const more = result.differences - Math.min(result.listed.length, shownMax)
  if (more > 0) lines.push(`  and ${formatCount(more)} more`)
  return lines.join('\n')
}

function headline(result: VerifyResultDocument, bucket: string | undefined): string {
  const what = bucket === undefined ? '' : `, bucket ${printable(bucket)}`
  const remote = `${paint('bold', printable(result.remote))}${what}`
  switch (result.verdict) {
    case 'equal':
      return `${remote}: ${paint('green', 'equal')} up to seq ${formatCount(result.up_to)}, checked at ${result.checked_at}`
    case 'different':
      return `${remote}: ${paint('red', 'different')}, ${countOf(result.differences, 'difference')}, checked at ${result.checked_at}`
    case 'unknown':
      return `${remote}: ${paint('yellow', 'unknown')} whether it holds the same`
  }
}

function details(result: VerifyResultDocument): readonly string[] {
  const lasted = Date.parse(result.checked_at) - Date.parse(result.started_at)
  const exchanged = formatByteSize(result.bytes_exchanged)
  const lines = [
    `  objects compared: ${formatCount(result.compared)}, in ${formatDuration(lasted)}, ${exchanged} exchanged`,
  ]
  if (result.objects_read > 0) {
    lines.push(
      `  bytes of ${countOf(result.objects_read, 'object')} read, ${formatByteSize(result.bytes_read)}`,
    )
  }
  if (result.repaired > 0) lines.push(`  ${countOf(result.repaired, 'difference')} repaired`)
  if (result.reason !== null) lines.push(`  ${printable(result.reason)}`)
  if (result.repair_problem !== null) {
    lines.push(`  not repaired: ${printable(result.repair_problem)}`)
  }
  return lines
}

const kinds: Readonly<Record<VerifyDifference['kind'], string>> = {
  'missing-here': 'missing here',
  'missing-there': 'missing there',
  'newer-here': 'newer here',
  'newer-there': 'newer there',
  differs: 'differs',
  'corrupt-here': 'corrupt here',
  'corrupt-there': 'corrupt there',
}

function describe({ kind, what, bucket, key }: VerifyDifference): string {
  const name = key === null ? bucket : `${bucket}/${key}`
  return `  ${(kinds[kind] ?? kind).padEnd(14)}${what.padEnd(9)} ${printable(name)}`
}
