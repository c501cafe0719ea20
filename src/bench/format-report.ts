import Table from 'cli-table3'
import { formatByteSize } from '../base/byte-size.ts'
import type { BenchReport, PhaseReport } from './bench-report.ts'

const heads = [
  'phase',
  'ops',
  'errors',
  's',
  'ops/s',
  'MiB/s',
  'p50 ms',
  'p90 ms',
  'p99 ms',
  'max ms',
]

const noBorders = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '' },
  ...{ right: '', 'right-mid': '', middle: '' },
}

const columnsMax = 80

/** The report as people read it, at most 80 columns wide, without a trailing line feed. */
export function formatBenchReport(report: BenchReport): string {
  const rows = report.phases.map(rowOf)
  const roomy = tableOf(rows, 2)
  const table = roomy.some((line) => line.length > columnsMax) ? tableOf(rows, 1) : roomy
  const what = `${report.files} objects of ${formatByteSize(report.size_bytes)}`
  const title = `${what}, ${report.concurrency} at a time, at ${report.url}`
  return [title, '', ...table, '', ...verdictOf(report)].join('\n')
}

function tableOf(rows: readonly string[][], gap: number): readonly string[] {
  const table = new Table({
    head: heads,
    chars: noBorders,
    colAligns: heads.map((_, column) => (column === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': gap },
  })
  table.push(...rows)
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
}

function rowOf(phase: PhaseReport): string[] {
  return [
    phase.phase,
    String(phase.ops),
    String(phase.errors),
    short(phase.seconds),
    short(phase.ops_per_second),
    phase.phase === 'delete' ? '-' : short(phase.mib_per_second),
    ...[phase.p50_ms, phase.p90_ms, phase.p99_ms, phase.max_ms].map(short),
  ]
}

/** Three significant digits, so that a column stays narrow. */
function short(value: number | null): string {
  if (value === null) return '-'
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function verdictOf(report: BenchReport): string[] {
  if (report.ok) return ['every object came back as it was stored']
  const errors = report.phases.reduce((sum, phase) => sum + phase.errors, 0)
  const verdict = [
    ...(report.interrupted ? ['interrupted: the figures are of what was done until then'] : []),
    ...(report.mismatches > 0 ? [`${report.mismatches} objects came back with OTHER BYTES`] : []),
    ...(errors > 0 ? [`${errors} requests failed`] : []),
  ]
  return [...verdict, ...report.failures.map((failure) => `  ${failure}`)]
}
