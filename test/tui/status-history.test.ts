import { describe, expect, test } from 'vitest'
import { sparkline } from '../../src/tui/sparkline.ts'
import { StatusHistory } from '../../src/tui/status-history.ts'
import { remoteStatus, statusDocument } from './status-fixture.ts'

function sample(queued: number, replicated: number) {
  return statusDocument(
    remoteStatus({
      events_queued: queued,
      events_replicated: replicated,
      pending_events: queued - replicated,
    }),
  )
}

describe('StatusHistory', () => {
  test('needs two samples for a rate', () => {
    const history = new StatusHistory()
    expect(history.rates('site-b')).toBeUndefined()
    history.add(sample(10, 0), 1000)
    expect(history.rates('site-b')).toBeUndefined()
    history.add(sample(30, 5), 3000)
    expect(history.rates('site-b')).toEqual({ inPerSecond: 10, outPerSecond: 2.5 })
    expect(history.rates('unknown')).toBeUndefined()
  })

  test('looks at the last ten seconds only', () => {
    const history = new StatusHistory()
    history.add(sample(1000, 1000), 0)
    for (let second = 1; second <= 20; second++) history.add(sample(2000, 1500), second * 1000)
    expect(history.rates('site-b')).toEqual({ inPerSecond: 0, outPerSecond: 0 })
  })

  test('a volume that counts from zero again is no negative rate', () => {
    const history = new StatusHistory()
    history.add(sample(1000, 1000), 0)
    history.add(sample(5, 1), 1000)
    expect(history.rates('site-b')).toEqual({ inPerSecond: 0, outPerSecond: 0 })
  })

  test('keeps the course of the last minute and nothing older', () => {
    const history = new StatusHistory()
    history.add(sample(999, 0), 0)
    for (let second = 60; second <= 120; second++) history.add(sample(second, 0), second * 1000)
    const course = history.backlog('site-b', 6)
    expect(course).toEqual([70, 80, 90, 100, 110, 120])
  })

  test('leaves gaps where it was not asked', () => {
    const history = new StatusHistory()
    history.add(sample(5, 0), 0)
    history.add(sample(7, 0), 59_000)
    expect(history.backlog('site-b', 4)).toEqual([5, undefined, undefined, 7])
  })
})

test('a sparkline goes from nothing to the largest', () => {
  expect(sparkline([undefined, 0, 1, 50, 100])).toBe(' ▁▂▅█')
  expect(sparkline([0, 0])).toBe('▁▁')
  expect(sparkline([])).toBe('')
})
