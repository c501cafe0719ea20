import { describe, expect, it } from 'vitest'
import { reportHealth } from '../../src/server/control/health.ts'
import { remoteStatus } from './remote-status.ts'

const well = {
  remotes: [remoteStatus({ state: 'idle' }), remoteStatus({ state: 'catching-up' })],
}

describe('health', () => {
  it('is ok when there is nothing to say', () => {
    expect(reportHealth(well)).toEqual({ serving: true, document: { status: 'ok', reasons: [] } })
  })

  it('is degraded, but serving, when only writes or replication suffer', () => {
    const report = reportHealth({
      ...well,
      storeReasons: ['the volume is full'],
      remotes: [
        remoteStatus({ state: 'unreachable', state_since: '2025-12-03T20:00:00.000Z' }),
        remoteStatus({
          name: 'c',
          state: 'refused',
          url: 'http://10.0.0.7',
          last_error: 'clock skew of 400 s at 10.0.0.7',
        }),
        remoteStatus({ name: 'd', dead_letters: 3 }),
      ],
    })
    expect(report.serving).toBe(true)
    expect(report.document.status).toBe('degraded')
    expect(report.document.reasons).toEqual([
      'the volume is full',
      'remote default is unreachable since 2025-12-03T20:00:00.000Z',
      'remote c refuses replication for the difference of clocks since 2025-12-03T20:00:00.000Z',
      'some changes could not be replicated to remote d: see comio repl failed list',
    ])
  })

  it('is degraded while replication fails at this end', () => {
    const remotes = [remoteStatus({ state: 'failing', state_since: '2025-12-03T20:00:00.000Z' })]
    expect(reportHealth({ remotes }).document).toEqual({
      status: 'degraded',
      reasons: ['replication to remote default fails at this site since 2025-12-03T20:00:00.000Z'],
    })
  })

  it('is degraded while a backlog is stalled, or a remote has no room', () => {
    const at = '2025-12-03T20:00:00.000Z'
    const remotes = [
      remoteStatus({ state: 'streaming', stalled_since: at }),
      remoteStatus({ name: 'c', state: 'full', state_since: at }),
    ]
    expect(reportHealth({ remotes }).document).toEqual({
      status: 'degraded',
      reasons: [
        `remote c has no room since ${at}: changes wait`,
        `replication to remote default is stalled: nothing was acknowledged since ${at}`,
      ],
    })
  })

  it('repeats nothing that a remote said, since anybody may ask', () => {
    const remotes = [remoteStatus({ state: 'refused', last_error: 'no such token: abc' })]
    expect(JSON.stringify(reportHealth({ ...well, remotes }))).not.toContain('abc')
  })

  it('is not serving when the store fails, or on its way down', () => {
    const failed = reportHealth({ ...well, storeFailure: 'the index failed' })
    expect(failed).toEqual({
      serving: false,
      document: { status: 'degraded', reasons: ['the index failed'] },
    })
    expect(reportHealth({ ...well, closing: true }).serving).toBe(false)
  })
})
