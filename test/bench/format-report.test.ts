import { expect, test } from 'vitest'
import { formatProgress } from '../../src/base/progress-bar.ts'
import { barOf } from '../../src/bench/bench-bar.ts'
import type {
  BenchPhase,
  BenchProgress,
  BenchReport,
  PhaseReport,
} from '../../src/bench/bench-report.ts'
import { formatBenchReport } from '../../src/bench/format-report.ts'

function phase(name: BenchPhase, more: Partial<PhaseReport> = {}): PhaseReport {
  return {
    ...{ phase: name, ops: 1000, errors: 0, seconds: 4.2, ops_per_second: 238.1 },
    ...{ bytes: 1_048_576_000, mib_per_second: 238.1 },
    ...{ p50_ms: 3.21456, p90_ms: 12.34, p99_ms: 103.6, max_ms: 250 },
    ...more,
  }
}

const report: BenchReport = {
  ok: true,
  url: 'http://127.0.0.1:8080',
  bucket: 'comio-bench-1',
  files: 1000,
  size_bytes: 2 ** 20,
  concurrency: 16,
  phases: [phase('put'), phase('get'), phase('delete', { bytes: 0, mib_per_second: 0 })],
  mismatches: 0,
  interrupted: false,
  failures: [],
}

test('a good report is a table and one sentence', () => {
  expect(formatBenchReport(report)).toBe(
    `1000 objects of 1.0 MiB, 16 at a time, at http://127.0.0.1:8080

phase    ops  errors     s  ops/s  MiB/s  p50 ms  p90 ms  p99 ms  max ms
put     1000       0  4.20    238    238    3.21    12.3     104     250
get     1000       0  4.20    238    238    3.21    12.3     104     250
delete  1000       0  4.20    238      -    3.21    12.3     104     250

every object came back as it was stored`,
  )
})

test('the widest report fits into 80 columns', () => {
  const wide = phase('delete', {
    ...{ ops: 9_999_999, errors: 9_999_999, seconds: 86_400, ops_per_second: 123_456 },
    ...{
      mib_per_second: 12_345,
      p50_ms: 12_345,
      p90_ms: 123_456,
      p99_ms: 123_456,
      max_ms: 999_999,
    },
  })
  const text = formatBenchReport({ ...report, phases: [wide] })
  expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
})

test('a bad report says what is bad', () => {
  const bad = { ...report, ok: false, interrupted: true, mismatches: 2, failures: ['get: x'] }
  const text = formatBenchReport({ ...bad, phases: [phase('put'), phase('get', { errors: 3 })] })
  expect(text).toContain('interrupted')
  expect(text).toContain('2 objects came back with OTHER BYTES')
  expect(text).toContain('3 requests failed\n  get: x')
  expect(text).not.toContain('every object came back')
})

const progress: BenchProgress = {
  phase: 'put',
  done: 500,
  total: 1000,
  bytes: 500 * 2 ** 20,
  errors: 0,
  elapsedMs: 2000,
}

test('a progress line shows how far and how fast, in any width', () => {
  expect(formatProgress(barOf(progress), 80)).toMatch(
    /^put {4}\[(#+)\.+\] {2} 500\/1000 {2}250 ops\/s {2}250\.0 MiB\/s$/,
  )
  for (const columns of [10, 20, 40, 80, 200]) {
    expect(formatProgress(barOf(progress), columns).length).toBeLessThan(Math.max(columns, 2))
  }
})
