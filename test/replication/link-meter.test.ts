import { expect, test } from 'vitest'
import { LinkMeter } from '../../src/replication/send/link-meter.ts'
import { ManualClock } from './manual-clock.ts'

test('the rate is that of the last ten seconds', () => {
  const clock = new ManualClock()
  const meter = new LinkMeter(clock)
  clock.advance(60_000)
  for (let i = 0; i < 500; i++) meter.record(1)
  clock.advance(1000)
  for (let i = 0; i < 500; i++) meter.record(1)
  expect(meter.ratePerSecond()).toBe(100)
  clock.advance(11_000)
  expect(meter.ratePerSecond()).toBe(0)
})

test('a young meter does not divide by ten seconds that have not been', () => {
  const clock = new ManualClock()
  const meter = new LinkMeter(clock)
  clock.advance(2000)
  for (let i = 0; i < 100; i++) meter.record(1)
  expect(meter.ratePerSecond()).toBe(50)
})

test('percentiles lie within a tenth of the truth and are forgotten after a minute', () => {
  const clock = new ManualClock()
  const meter = new LinkMeter(clock)
  expect(meter.lagPercentiles([0.5])).toEqual([null])
  for (let lag = 1; lag <= 1000; lag++) meter.record(lag)
  const [p50, p99] = meter.lagPercentiles([0.5, 0.99])
  expect(p50).toBeGreaterThan(450)
  expect(p50).toBeLessThan(550)
  expect(p99).toBeGreaterThan(890)
  expect(p99).toBeLessThan(1090)
  clock.advance(70_000)
  expect(meter.lagPercentiles([0.5, 0.99])).toEqual([null, null])
})

test('a lag below zero, from a clock that was set back, counts as none', () => {
  const meter = new LinkMeter(new ManualClock())
  meter.record(-500)
  expect(meter.lagPercentiles([0.5])).toEqual([0])
})
