/**
 * Loaded into a site by `node --import`: its wall clock is off by what the file named by
 * `STEPPED_CLOCK` says, in milliseconds, and is set again whenever that changes. Steps are looked for
 * between two readings, so that one reading more than the last is at most so late.
 */
import { readFileSync } from 'node:fs'

const lookEveryMs = 10
const file = process.env.STEPPED_CLOCK ?? ''
const rightNow = Date.now
let aheadMs = 0
let lookedAt = Number.NEGATIVE_INFINITY

Date.now = (): number => {
  const at = performance.now()
  if (at - lookedAt >= lookEveryMs) {
    lookedAt = at
    aheadMs = Number(readFileSync(file, 'utf8'))
  }
  return rightNow() + aheadMs
}
