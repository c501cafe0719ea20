import { expect, test } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { Verifier } from '../../src/replication/verify/verifier.ts'
import { ManualClock } from './manual-clock.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('sites are compared unasked as often as was said, and no more after the end', async () => {
  const clock = new ManualClock()
  const options = { remotes: () => [], clock, logger: silentLogger, intervalMs: 60_000 }
  const verifier = new Verifier(options)
  verifier.start()
  for (const id of [1, 2]) {
    clock.advance(59_999)
    await turn()
    expect(verifier.run?.id ?? 0).toBe(id - 1)
    clock.advance(1)
    await turn()
    expect(verifier.run?.id).toBe(id)
  }
  await verifier.close()
  clock.advance(600_000)
  await turn()
  expect(verifier.run?.id).toBe(2)
})

test('sites are never compared unasked when no interval is set', async () => {
  const clock = new ManualClock()
  const options = { remotes: () => [], clock, logger: silentLogger, intervalMs: 0 }
  const verifier = new Verifier(options)
  verifier.start()
  clock.advance(86_400_000)
  await turn()
  expect(verifier.run).toBeUndefined()
  await verifier.close()
})
