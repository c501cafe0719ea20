import { describe, expect, it } from 'vitest'
import { checkAmbient } from '../../scripts/tidy/ambient.ts'
import { found } from './planted-project.ts'

describe('ambient state', () => {
  const banned = [
    'const a = Date.now()',
    'const a = Date["now"]()',
    'const a = globalThis.Date.now()',
    'const now = Date.now',
    'const a = new Date()',
    'const a = Date()',
    'const a = performance.now()',
    'const a = Math.random()',
    'const a = process.env.HOME',
    'const { HOME } = process.env',
    'const a = process.hrtime.bigint()',
    'const a = crypto.randomUUID()',
    `import { randomBytes } from 'node:crypto'`,
    `import { randomUUID as id } from 'crypto'`,
    `import { setTimeout as sleep } from 'node:timers/promises'`,
    `import { performance } from 'node:perf_hooks'`,
    `import { env } from 'node:process'`,
    'setTimeout(() => undefined, 1)',
    'setInterval(() => undefined, 1)',
    'setImmediate(() => undefined)',
    'globalThis.setTimeout(() => undefined, 1)',
    'const later = setTimeout',
    'const a = fetch("http://x")',
  ]
  for (const text of banned) {
    it(`reports ${text}`, () => {
      expect(found(checkAmbient, { 'src/store/slot.ts': text })).toHaveLength(1)
    })
  }

  const harmless = [
    'const a = new Date(0)',
    'const a = (clock: { now(): number }) => clock.now()',
    'class A { fetch() { return this.fetch() } }',
    'const a = (fetch: () => void) => fetch()',
    'const options = { setTimeout: 1 }',
    'const s = "Date.now()" // Date.now()',
    `import { createHash } from 'node:crypto'`,
    'const a = Math.floor(1.5)',
  ]
  for (const text of harmless) {
    it(`lets pass ${text}`, () => {
      expect(found(checkAmbient, { 'src/store/slot.ts': text })).toEqual([])
    })
  }

  it('looks at ranks 0 to 4 and the simulation, but for the clock and the random source', () => {
    const text = 'export const now = Date.now()'
    const paths = [
      'src/base/queue.ts',
      'src/device/a.ts',
      'src/volume/a.ts',
      'src/index/a.ts',
      'src/s3/a.ts',
      'src/replication/a.ts',
      'src/sim/a.ts',
    ]
    const exempt = ['src/base/clock.ts', 'src/base/random.ts', 'src/server/a.ts', 'commands/a.ts']
    const files = Object.fromEntries([...paths, ...exempt].map((path) => [path, text]))
    expect(found(checkAmbient, files).map((line) => line.split(':')[0])).toEqual(paths.sort())
  })
})
