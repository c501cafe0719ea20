/** What a part of the replication benchmark found, as rows of one table. */
import { cpus, totalmem } from 'node:os'
import Table from 'cli-table3'

export interface Finding {
  readonly what: string
  readonly figure: string
  /** What was promised; absent for what only explains. */
  readonly bar?: string
  readonly met?: boolean
}

export interface BenchInputs {
  /** Where volumes go; each part takes a folder of its own. */
  readonly folder: string
  readonly seconds: number
  readonly rounds: number
  /** Changes pending in the measurement of memory. */
  readonly pending: number
  readonly connections: number
}

export type BenchPart = (inputs: BenchInputs) => Promise<readonly Finding[]>

export function tableOf(part: string, findings: readonly Finding[]): string {
  const table = new Table({ head: [part, 'figure', 'bar', ''], style: { head: [], border: [] } })
  for (const { what, figure, bar = '', met } of findings) {
    table.push([what, figure, bar, met === undefined ? '' : met ? 'met' : 'NOT MET'])
  }
  return table.toString()
}

export function machineFacts(): string {
  const [first] = cpus()
  const gib = (totalmem() / 2 ** 30).toFixed(0)
  return `${cpus().length} cores (${first?.model.trim()}), ${gib} GiB, Node ${process.version}`
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** To stderr, so that the tables can be piped. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}
