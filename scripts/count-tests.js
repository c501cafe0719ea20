// Prints "passed failed skipped" from a JSON report of vitest and its exit status. A file that does
// not load has no tests to count, and a run that breaks off has no report: each counts as failed.
import { existsSync, readFileSync } from 'node:fs'

const [reportFile, status] = process.argv.slice(2)

process.stdout.write(`${count().join(' ')}\n`)

function count() {
  if (!existsSync(reportFile)) return [0, 1, 0]
  const report = JSON.parse(readFileSync(reportFile, 'utf8'))
  const broken = report.testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  )
  const failed = report.numFailedTests + broken.length
  const skipped = report.numPendingTests + report.numTodoTests
  // An error outside of any test fails the run too.
  return [report.numPassedTests, failed === 0 && status !== '0' ? 1 : failed, skipped]
}
