import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { RemoteStatus } from '../../src/admin/protocol.ts'
import { untilCaughtUp } from '../../src/demo/catch-up.ts'
import { quote } from '../../src/demo/kept-sites.ts'
import { type LagSamples, lagClasses, quantileOf } from '../../src/demo/lag-probe.ts'
import { describeLag, lagTable, Story, verdictLine } from '../../src/demo/story.ts'
import { remoteStatus } from '../tui/status-fixture.ts'

const lags: readonly LagSamples[] = lagClasses.map((lagClass, i) => ({
  ...lagClass,
  samples: [1, 2, 3, 4].map((n) => n * 10 ** i),
}))
const comparison = { objects: 2841, bytes: 312_345_678, differences: 0, examples: [] }

describe('the last line', () => {
  test('of equal sites says so in the agreed form', () => {
    expect(verdictLine(comparison, { seconds: 24.4, lags })).toBe(
      'equal: 2841 objects, 312345678 bytes, 24 s, lag p50 20 ms p99 400 ms, 0 differences',
    )
  })

  test('of different sites begins with different', () => {
    const line = verdictLine({ ...comparison, differences: 3 }, { seconds: 24, lags })
    expect(line).toMatch(/^different: .* 3 differences$/)
  })
})

test('the table has the measured latencies beside the estimated ones', () => {
  expect(lagTable(lags)).toEqual([
    '  size             objects         p50         p99   estimated',
    '  below 1 MB             4        2 ms        4 ms    10-50 ms',
    '  1-10 MB                4       20 ms       40 ms  100-500 ms',
    '  10-100 MB              4      200 ms      400 ms       1-5 s',
  ])
  const slow = { ...lagClasses[0], samples: [80] } as LagSamples
  expect(lagTable([slow])[1]).toMatch(/slower$/)
})

test('a quantile is one of the samples', () => {
  expect([0, 0.5, 0.99, 1].map((fraction) => quantileOf([1, 2, 3, 4], fraction))).toEqual([
    1, 2, 4, 4,
  ])
})

describe('Story', () => {
  // No time passes, however long the machine takes.
  beforeEach(() => void vi.spyOn(performance, 'now').mockReturnValue(0))
  afterEach(() => vi.restoreAllMocks())

  test('keeps one live line on a terminal and removes it before it tells something', () => {
    const out: string[] = []
    const err: string[] = []
    const story = new Story(
      { write: (text) => out.push(text) },
      { isTTY: true, columns: 20, write: (text) => err.push(text) },
    )
    story.live('x'.repeat(100))
    story.live('too soon')
    story.tell('told')
    story.endLive()
    expect(out).toEqual(['told\n'])
    expect(err).toEqual([`\r\u001b[2K${'x'.repeat(19)}`, '\r\u001b[2K'])
  })

  test('writes plain lines now and then where there is no terminal', () => {
    const err: string[] = []
    const story = new Story({ write: () => true }, { write: (text) => err.push(text) })
    for (let i = 0; i < 100; i++) story.live(`line ${i}`)
    story.endLive()
    expect(err).toEqual(['line 0\n'])
  })
})

test('the live line says how far B is', () => {
  expect(describeLag(undefined)).toBe('asking A about B')
  expect(describeLag(remoteStatus())).toBe('B has everything · lag p50 12 ms, p99 81 ms')
  const away = { pending_events: 1, pending_bytes: 2048, state: 'unreachable', lag_p50_ms: null }
  expect(describeLag(remoteStatus(away as Partial<RemoteStatus>))).toBe(
    'B is 1 change (2.0 KiB) behind, not answering',
  )
})

describe('untilCaughtUp', () => {
  function waiting(...statuses: readonly Partial<RemoteStatus>[]) {
    let next = 0
    const source = {
      link: async () => remoteStatus(statuses[Math.min(next++, statuses.length - 1)] ?? {}),
    }
    return untilCaughtUp({ source, onStatus: () => undefined, signal: undefined, stuckMs: 150 })
  }

  test('waits until nothing is pending', async () => {
    const caughtUp = await waiting({ pending_events: 9 }, { pending_events: 4 }, { head: 77 })
    expect(caughtUp.head).toBe(77)
  })

  test('fails when nothing moves, with the reason that the site gives', async () => {
    const stuck = waiting({ pending_events: 9, last_error: 'remote returned 401' })
    await expect(stuck).rejects.toThrow('9 changes do not get to B for 0.15 s: remote returned 401')
  })

  test('fails when B refused something for good', async () => {
    const refused = waiting({ pending_events: 9, events_failed: 2, last_error: 'too long' })
    await expect(refused).rejects.toThrow('B refused 2 changes: too long')
  })
})

test('words are quoted for the shell where they must be', () => {
  expect(quote('/tmp/comio-demo-x/a.yaml')).toBe('/tmp/comio-demo-x/a.yaml')
  expect(quote("it's $HOME")).toBe("'it'\\''s $HOME'")
})
