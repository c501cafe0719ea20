import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RemoteStatus } from '../../src/admin/protocol.ts'
import { formatStatus } from '../../src/cli/format-status.ts'
import { exampleRemote, exampleStatus } from '../admin/example-status.ts'

const now = Date.parse('2025-12-03T21:00:00Z')

/** The text of the row `label`, its lines joined. */
function row(text: string, label: string): string {
  const lines = text.split('\n').map((line) => line.split('│').map((cell) => cell.trim()))
  const start = lines.findIndex((cells) => cells[1] === label)
  const found = [lines[start]?.[2]]
  for (let next = start + 1; lines[next]?.[1] === ''; next++) found.push(lines[next]?.[2])
  return found.join(' ')
}

test('the totals come first, then a block for each remote', () => {
  const text = formatStatus({ ...exampleStatus, remotes: [exampleRemote, exampleRemote] }, now)
  expect(text.split('\n')[0]).toBe('site site-a, 12 changes on the way')
  expect(row(text, 'changes')).toBe('1,535 since this volume was made')
  expect(row(text, 'failed')).toBe('23: sent again, discarded or overtaken since')
  expect(row(text, 'lag')).toBe('1.2 s')
  expect(row(text, 'last success')).toBe('1.0 s ago')
  expect(text.match(/^remote default, https:\/\/site-b\.example\.com$/gm)).toHaveLength(2)
})

test('a remote is told in words and units', () => {
  const text = formatStatus(exampleStatus, now)
  const block = text.slice(text.indexOf('remote default'))
  expect(row(block, 'state')).toBe('streaming for 5 min')
  expect(row(block, 'position')).toBe('1,500 of 1,535')
  expect(row(block, 'pending')).toBe('12 changes, 3.4 MiB, the oldest from 1.2 s ago')
  expect(row(block, 'in flight')).toBe('5 changes, 1 large object on the way')
  expect(row(block, 'rate')).toBe('480 changes/s')
  expect(row(block, 'lag')).toBe('12 ms typical (p50), 48 ms slow (p99), last minute')
  expect(row(block, 'was newer')).toBe('2 objects at the other side')
  expect(row(block, 'conflicts')).toBe('1, the highest version won')
  expect(row(block, 'last error')).toBe('10 min ago: connect ECONNREFUSED 10.0.0.2:8080')
})

test('nothing to do, replication off and a site that never sent are said plainly', () => {
  const idle = { ...exampleStatus, pending: 0, lag_seconds: 0, last_replication: null }
  const quiet: RemoteStatus = {
    ...exampleRemote,
    pending_events: 0,
    oldest_pending: null,
    lag_p50_ms: null,
    lag_p99_ms: null,
    last_error: null,
    rate: 0.25,
  }
  const text = formatStatus({ ...idle, remotes: [quiet] }, now)
  expect(text).toContain('site site-a, everything has arrived')
  expect(row(text, 'last success')).toBe('none yet')
  const block = text.slice(text.indexOf('remote default'))
  expect(row(block, 'pending')).toBe('nothing')
  expect(row(block, 'lag')).toBe('nothing was sent in the last minute')
  expect(row(block, 'rate')).toBe('0.3 changes/s')
  expect(block).not.toContain('last error')
  const off = formatStatus({ ...idle, enabled: false, remotes: [] }, now)
  expect(off).toContain('replication is off')
})

test('what was refused is no more said to have arrived, until somebody has seen to it', () => {
  const refused = { ...exampleRemote, pending_events: 0, dead_letters: 2 }
  const none = { ...exampleStatus, pending: 0, lag_seconds: 0 }
  const text = formatStatus({ ...none, remotes: [refused] }, now)
  expect(text.split('\n')[0]).toBe('site site-a, everything has arrived but 2 refused changes')
  expect(row(text, 'failed')).toBe('23, 2 of them open: comio repl failed list shows why')
  const first = formatStatus({ ...none, events_failed: 2, remotes: [refused] }, now)
  expect(row(first, 'failed')).toBe('2: comio repl failed list shows why')
})

test('whatever the other side says, 80 columns hold and nothing is lost or moves the cursor', () => {
  const words = fc.string({ unit: 'binary-ascii', maxLength: 200 })
  fc.assert(
    fc.property(words, fc.nat(), fc.nat(), (error, count, bytes) => {
      const remote = {
        ...exampleRemote,
        last_error: error,
        cursor: count,
        head: count,
        pending_bytes: bytes,
      }
      const text = formatStatus({ ...exampleStatus, remotes: [remote] }, now)
      for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
      expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
      expect(text).not.toContain('…')
    }),
  )
})

test('a replica names its primary, and sync mode has a row of its own', () => {
  const role = { role: 'replica', term: 1, since: null, primary: 'http://site-a:8080' } as const
  const sync = {
    waiting: 3,
    confirmed: 1200,
    timed_out: 2,
    fallbacks: 0,
    degraded_since: '2025-12-03T20:59:00Z',
  }
  const text = formatStatus({ ...exampleStatus, role, sync }, now)
  expect(text.split('\n')[0]).toContain('replica of http://site-a:8080, 12 changes on the way')
  expect(row(text, 'sync')).toBe(
    '1,200 writes confirmed, 3 waiting, 2 not in time, unconfirmed writes, the first 1 min ago',
  )
})
