import { describe, expect, test } from 'vitest'
import type { LinkState } from '../../src/admin/protocol.ts'
import { describeLink, formatTime, labelOf } from '../../src/tui/describe-link.ts'
import { behind, remoteStatus } from './status-fixture.ts'

describe('a link in words', () => {
  test('says up to where the remote has everything', () => {
    expect(describeLink(remoteStatus())).toEqual({
      tone: 'good',
      headline: 'site-b has everything up to seq 1,284',
    })
  })

  test('does not claim everything when the remote refused something for good', () => {
    const refused = { events_failed: 1, dead_letters: 1 }
    expect(describeLink(remoteStatus(refused))).toEqual({
      tone: 'bad',
      headline: 'site-b has everything up to seq 1,284 except 1 change that it refused',
    })
    expect(describeLink(remoteStatus({ ...refused, dead_letters: 0 })).tone).toBe('good')
  })

  test.each([
    [{ inPerSecond: 10, outPerSecond: 140.75 }, 'about 4.0 s'],
    [{ inPerSecond: 200, outPerSecond: 100 }, 'growing'],
    [{ inPerSecond: 100, outPerSecond: 100 }, 'holding level'],
    [{ inPerSecond: 0, outPerSecond: 0 }, 'not moving'],
    [undefined, 'about 4.0 s at this rate'],
  ])('says how far it is behind and for how long (%o: %s)', (rates, trend) => {
    expect(describeLink(remoteStatus(behind), rates).headline).toBe(
      `site-b is 523 changes (12.0 MiB) behind, ${trend}`,
    )
  })

  test.each<[LinkState, string]>([
    ['unreachable', 'site-b does not answer since 14:02:11; nothing is lost, 523 changes wait'],
    ['refused', 'site-b says no since 14:02:11; nothing is lost, 523 changes wait'],
    ['failing', 'shipping to site-b fails here since 14:02:11; nothing is lost, 523 changes wait'],
    ['connecting', 'connecting to site-b; 523 changes wait'],
    ['disabled', 'replication to site-b is off; 523 changes wait'],
  ])('says what %s means', (state, headline) => {
    expect(describeLink(remoteStatus({ ...behind, state })).headline).toBe(headline)
  })

  test('takes a state that it does not know as the site names it', () => {
    const remote = remoteStatus({ state: 'dozing' as LinkState })
    expect(describeLink(remote)).toEqual({ tone: 'bad', headline: 'the link to site-b is dozing' })
  })

  test('counts one as one', () => {
    const remote = remoteStatus({ pending_events: 1, pending_bytes: 5, state: 'unreachable' })
    expect(describeLink(remote).headline).toContain('1 change waits')
    expect(describeLink({ ...remote, state: 'streaming' }).headline).toContain('is 1 change (5 B)')
  })

  test('calls the only remote by its address', () => {
    expect(labelOf(remoteStatus({ name: 'default' }))).toBe('127.0.0.1:8081')
    expect(labelOf(remoteStatus({ name: 'default', url: 'odd' }))).toBe('odd')
  })

  test('a time of another day has its date', () => {
    const now = new Date(2025, 11, 3, 12)
    expect(formatTime(new Date(2025, 11, 3, 4, 5, 6).toISOString(), now)).toBe('04:05:06')
    expect(formatTime(new Date(2025, 11, 2, 4, 5, 6).toISOString(), now)).toBe(
      '2025-12-02 04:05:06',
    )
    expect(formatTime('no time', now)).toBe('no time')
  })
})
