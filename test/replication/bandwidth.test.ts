import { expect, test } from 'vitest'
import { Bandwidth } from '../../src/replication/wire/bandwidth.ts'
import { ManualClock, runUntil, settleTasks } from './manual-clock.ts'

const kib = 1024

/** Spends `pieces` one after the other; tells when each of them went, ms after the start. */
function spendAll(
  clock: ManualClock,
  bandwidth: Bandwidth,
  options: { readonly pieces: number; readonly bytes: number; readonly urgent?: boolean },
): { readonly went: number[]; readonly done: Promise<void> } {
  const start = clock.now()
  const went: number[] = []
  const run = async (): Promise<void> => {
    for (let i = 0; i < options.pieces; i++) {
      await bandwidth.spend(options.bytes, { urgent: options.urgent ?? false })
      went.push(clock.now() - start)
    }
  }
  return { went, done: run() }
}

test('what is sent keeps to the limit, evenly, and without a burst after a pause', async () => {
  const clock = new ManualClock()
  const bandwidth = new Bandwidth(clock, 100 * kib)
  clock.advance(60_000)
  const { went } = spendAll(clock, bandwidth, { pieces: 40, bytes: 5 * kib })
  await runUntil(clock, () => went.length === 40)
  for (const [i, at] of went.entries()) {
    const bytes = (i + 1) * 5 * kib
    expect(bytes).toBeLessThanOrEqual(100 * kib * (at / 1000 + 0.1) + 5 * kib)
  }
  expect(went.at(-1)).toBeGreaterThan(1800)
  expect(went.at(-1)).toBeLessThan(2000)
})

test('what is urgent goes before what is not, within the same limit', async () => {
  const clock = new ManualClock()
  const bandwidth = new Bandwidth(clock, 10 * kib)
  const bodies = Array.from({ length: 8 }, () =>
    spendAll(clock, bandwidth, { pieces: 10, bytes: kib }),
  )
  await settleTasks()
  const batch = spendAll(clock, bandwidth, { pieces: 1, bytes: 100, urgent: true })
  await runUntil(clock, () => batch.went.length === 1)
  expect(batch.went[0]).toBeLessThanOrEqual(110)
  await runUntil(clock, () => bodies.every(({ went }) => went.length === 10))
})

test('a change of the limit holds at once, for those who wait as well', async () => {
  const clock = new ManualClock()
  const bandwidth = new Bandwidth(clock, kib)
  const slow = spendAll(clock, bandwidth, { pieces: 100, bytes: kib })
  await runUntil(clock, () => slow.went.length === 3)
  const changedAt = slow.went.at(-1) ?? 0
  bandwidth.change(100 * kib)
  await runUntil(clock, () => slow.went.length === 53)
  expect((slow.went.at(-1) ?? 0) - changedAt).toBeLessThan(1600)
  bandwidth.change(0)
  await settleTasks(100)
  expect(slow.went).toHaveLength(100)
})

test('whoever gives up waits no longer, and leaves its place to others', async () => {
  const clock = new ManualClock()
  const bandwidth = new Bandwidth(clock, kib)
  await bandwidth.spend(4 * kib, { urgent: false })
  const giveUp = new AbortController()
  const first = bandwidth.spend(kib, { urgent: false, signal: giveUp.signal })
  giveUp.abort()
  await first
  const rest = spendAll(clock, bandwidth, { pieces: 1, bytes: 1 })
  await runUntil(clock, () => rest.went.length === 1)
})

test('pieces are small enough to go evenly, and no limit takes none of anybody’s time', async () => {
  const clock = new ManualClock()
  expect(new Bandwidth(clock, 100 * kib).pieceBytes).toBe(5 * kib)
  expect(new Bandwidth(clock, kib).pieceBytes).toBe(kib)
  expect(new Bandwidth(clock, 1024 ** 3).pieceBytes).toBe(64 * kib)
  const free = new Bandwidth(clock, 0)
  await free.spend(1024 ** 3, { urgent: false })
  expect(clock.step(60_000)).toBe(false)
})
