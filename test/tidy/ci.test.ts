import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { projectRoot, withFiles } from './planted-project.ts'

const real = (path: string) => readFileSync(join(projectRoot, path), 'utf8')

/** An npm that fails the check called $FAIL, and whose tests leave $REPORT and exit with $STATUS. */
const fakeNpm = `#!/bin/sh
case "$*" in
  *check*) for last; do :; done; [ "$last" != "$FAIL" ] ;;
  test*) for last; do :; done; [ -z "$REPORT" ] || printf %s "$REPORT" > "\${last#*=}"; exit "$STATUS" ;;
esac
`

interface Run {
  readonly fail?: string
  readonly report?: object
  readonly status?: number
}

function runCi({ fail = '', report, status = 0 }: Run) {
  const files = {
    '.ci/run': real('.ci/run'),
    'scripts/count-tests.js': real('scripts/count-tests.js'),
    'package.json': '{"type":"module"}',
    'node_modules/.keep': '',
    'fake/npm': fakeNpm,
  }
  return withFiles(files, (root) => {
    chmodSync(join(root, 'fake/npm'), 0o755)
    const paths = [join(root, 'fake'), dirname(process.execPath), process.env.PATH]
    const result = spawnSync('bash', [join(root, '.ci/run')], {
      encoding: 'utf8',
      env: {
        PATH: paths.join(delimiter),
        FAIL: fail,
        REPORT: report === undefined ? '' : JSON.stringify(report),
        STATUS: String(status),
      },
    })
    return { status: result.status, lastLine: result.stdout.trimEnd().split('\n').at(-1) }
  })
}

const testReport = (passed: number, failed: number, skipped = 0) => ({
  numPassedTests: passed,
  numFailedTests: failed,
  numPendingTests: skipped,
  numTodoTests: 0,
  testResults: [
    { status: failed > 0 ? 'failed' : 'passed', assertionResults: [{ status: 'failed' }] },
  ],
})

describe('.ci/run', () => {
  it('counts the checks and the tests alone on its last line', () => {
    const run = runCi({ report: testReport(10, 0) })
    expect(run).toEqual({ status: 0, lastLine: '14 passed, 0 failed' })
  })

  it('names skipped tests', () => {
    const run = runCi({ report: testReport(10, 0, 3) })
    expect(run).toEqual({ status: 0, lastLine: '14 passed, 0 failed, 3 skipped' })
  })

  for (const name of ['lint', 'types', 'tidy', 'unused']) {
    it(`fails when the check ${name} fails, and goes on`, () => {
      const run = runCi({ fail: name, report: testReport(10, 0) })
      expect(run).toEqual({ status: 1, lastLine: '13 passed, 1 failed' })
    })
  }

  it('fails when a test fails', () => {
    const run = runCi({ report: testReport(9, 2), status: 1 })
    expect(run).toEqual({ status: 1, lastLine: '13 passed, 2 failed' })
  })

  it('fails when a test file does not load', () => {
    const report = {
      ...testReport(10, 0),
      testResults: [{ status: 'failed', assertionResults: [] }],
    }
    const run = runCi({ report, status: 1 })
    expect(run).toEqual({ status: 1, lastLine: '14 passed, 1 failed' })
  })

  it('fails when an error outside of any test fails the run', () => {
    const run = runCi({ report: testReport(10, 0), status: 1 })
    expect(run).toEqual({ status: 1, lastLine: '14 passed, 1 failed' })
  })

  it('fails when the tests break off without a report', () => {
    expect(runCi({ status: 137 })).toEqual({ status: 1, lastLine: '4 passed, 1 failed' })
  })
})

interface Lock {
  readonly packages: Readonly<
    Record<
      string,
      {
        readonly resolved?: string
        readonly optionalDependencies?: Readonly<Record<string, string>>
      }
    >
  >
}

describe('package-lock.json', () => {
  const { packages } = JSON.parse(real('package-lock.json')) as Lock

  it('names no registry', () => {
    const resolved = Object.entries(packages).filter(([, entry]) => entry.resolved !== undefined)
    expect(resolved).toEqual([])
  })

  it('has an entry for every optional package, without which npm ci fails', () => {
    const wanted = Object.values(packages).flatMap((entry) =>
      Object.keys(entry.optionalDependencies ?? {}),
    )
    expect(wanted.length).toBeGreaterThan(20)
    expect(wanted.filter((name) => !(`node_modules/${name}` in packages))).toEqual([])
  })
})
