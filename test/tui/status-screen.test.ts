import { describe, expect, test } from 'vitest'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { StatusPoller } from '../../src/tui/status-poller.ts'
import { formatPlain } from '../../src/tui/watch-status.ts'
import { behind, remoteStatus, statusDocument, todayAt } from './status-fixture.ts'

async function plain(...answers: (ReplicationStatusDocument | Error)[]): Promise<string> {
  let next = 0
  const source = {
    status: async () => {
      const answer = answers[next++]
      if (answer === undefined || answer instanceof Error) throw answer
      return answer
    },
  }
  const poller = new StatusPoller({
    ...{ source, url: 'http://127.0.0.1:8080', intervalMs: 1000 },
    onView: () => undefined,
    onError: () => undefined,
  })
  for (const answer of answers) {
    await poller.ask().catch((error: unknown) => expect(error).toBe(answer))
  }
  return formatPlain(poller.view)
}

describe('the status screen', () => {
  test('begins with the state in words and has every figure', async () => {
    const text = await plain(statusDocument(remoteStatus(behind)))
    const lines = text.split('\n')
    expect(lines[0]).toMatch(/^http:\/\/127\.0\.0\.1:8080 · site site-a · primary +\d\d:\d\d:\d\d$/)
    expect(lines[2]).toBe('… site-b is 523 changes (12.0 MiB) behind, about 4.0 s at this rate')
    expect(text).toContain('site-b → http://127.0.0.1:8081')
    expect(text).toContain('link        streaming since 14:02:11')
    expect(text).toContain('backlog     523 behind · 12.0 MiB')
    expect(text).toContain('lag         p50 12 ms · p99 81 ms')
    expect(text).toContain('in flight   100 sent · 2 large ones on the way')
    expect(text).toContain('failed      none')
    expect(text).toContain('last at 14:02:09')
    expect(text).not.toContain('last minute')
  })

  test('points to the failed changes and shows the last error', async () => {
    const text = await plain(
      statusDocument(
        remoteStatus({
          ...{
            events_failed: 23,
            dead_letters: 2,
            state: 'unreachable',
            last_error: 'ECONNREFUSED',
          },
          last_error_at: todayAt(14, 2, 12),
        }),
      ),
    )
    expect(text).toContain('! site-b does not answer since 14:02:11')
    expect(text).toContain('failed      23 · 2 waiting · see: comio repl failed list')
    expect(text).toContain('last error  14:02:12 ECONNREFUSED')
  })

  test('points nowhere once somebody has seen to all that failed', async () => {
    const text = await plain(statusDocument(remoteStatus({ events_failed: 23 })))
    expect(text).toContain('failed      23 · sent again, discarded or overtaken since')
  })

  test('says so when the site itself cannot be asked, and keeps what it knew', async () => {
    const text = await plain(statusDocument(remoteStatus()), new Error('connection refused'))
    expect(text).toMatch(/! http:\/\/127\.0\.0\.1:8080 cannot be asked since \d\d:\d\d:\d\d/)
    expect(text).toContain('connection refused')
    expect(text).toContain('as of')
    expect(text).toContain('site-b has everything up to seq 1,284')
  })

  test('tells whose replica the site is, and how its answers wait in sync mode', async () => {
    const document = statusDocument(remoteStatus())
    const primary = 'http://127.0.0.1:8081'
    const replica = { role: 'replica', term: 1, since: null, primary } as const
    const calm = { waiting: 3, confirmed: 1200, timed_out: 2, fallbacks: 0, degraded_since: null }
    const text = await plain({ ...document, role: replica, sync: calm })
    expect(text).toContain(`role        replica of ${primary}`)
    expect(text).toContain('sync        1,200 confirmed · 3 waiting · 2 not in time · 0 answered')
    const sync = { ...calm, fallbacks: 1, degraded_since: todayAt(14, 2, 11) }
    const later = await plain({ ...document, role: { ...replica, primary: null }, sync })
    expect(later).toContain('role        replica has not heard of a primary yet')
    expect(later).toContain('unconfirmed no remote has all writes since 14:02:11')
    expect(await plain(document)).not.toContain('sync ')
  })

  test('says so when there is no remote', async () => {
    expect(await plain(statusDocument())).toContain('replication is off at this site')
  })

  test('shows every remote', async () => {
    const text = await plain(
      statusDocument(remoteStatus(), remoteStatus({ name: 'site-c', ...behind })),
    )
    expect(text).toContain('✓ site-b has everything')
    expect(text).toContain('… site-c is 523 changes')
  })

  test('stays within 80 columns and has no control characters, whatever the site says', async () => {
    const long = 'x'.repeat(300)
    const text = await plain(
      statusDocument(
        remoteStatus({
          ...{ name: `name-${long}`, url: `http://${long}`, last_error: `error ${long}` },
          ...behind,
        }),
      ),
      new Error(long),
    )
    for (const line of text.split('\n')) expect([...line].length).toBeLessThanOrEqual(80)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
  })
})
