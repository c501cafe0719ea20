import { describe, expect, test } from 'vitest'
import { planStart } from '../../src/replication/send/reconcile.ts'
import {
  ProtocolMismatchError,
  SelfReplicationError,
  SiteIdTakenError,
} from '../../src/replication/wire/errors.ts'
import type { HelloAnswer } from '../../src/replication/wire/protocol.ts'
import type { ConfirmedPeer } from '../../src/store/model/object-store.ts'
import { identityOf } from './memory-site.ts'

const own = identityOf('site-a')
const peer = identityOf('site-b')

function plan(options: {
  readonly answer?: Partial<HelloAnswer>
  readonly confirmed?: Partial<ConfirmedPeer> | undefined
  readonly low?: number
}): ReturnType<typeof planStart> {
  const answer: HelloAnswer = {
    protocol: 1,
    ...peer,
    wallTime: 1,
    head: 0,
    session: 's',
    applied: { incarnation: own.incarnation, through: 50 },
    ...options.answer,
  }
  const confirmed =
    options.confirmed === undefined
      ? undefined
      : {
          volumeId: peer.volumeId,
          incarnation: peer.incarnation,
          through: 50,
          head: 0,
          sendAllUpTo: 0,
          ...options.confirmed,
        }
  return planStart({ own, low: options.low ?? 100, answer, confirmed })
}

describe('after a handshake', () => {
  test('a remote that remembers what it confirmed goes on from our own position', () => {
    expect(plan({ confirmed: {} })).toEqual({ kind: 'continue' })
    expect(plan({ confirmed: { through: 20 } })).toEqual({ kind: 'continue' })
  })

  test('a remote never met before goes on from our own position, which is the start', () => {
    expect(plan({ answer: { applied: null } })).toEqual({ kind: 'continue' })
  })

  test('a remote whose feed has grown goes on from our own position', () => {
    expect(plan({ answer: { head: 9 }, confirmed: { head: 8 } })).toEqual({ kind: 'continue' })
    expect(plan({ answer: { head: 8 }, confirmed: { head: 8 } })).toEqual({ kind: 'continue' })
  })

  test.each([
    ['forgot this site', { answer: { applied: null }, confirmed: {} }],
    [
      'knows another life of this site',
      { answer: { applied: { incarnation: 'other', through: 50 } }, confirmed: {} },
    ],
    ['is another volume', { confirmed: { volumeId: 'other' } }],
    ['was restored', { confirmed: { incarnation: 'other' } }],
    [
      'remembers less than it did',
      { answer: { applied: { incarnation: own.incarnation, through: 49 } }, confirmed: {} },
    ],
    ['has a shorter feed than it had', { answer: { head: 7 }, confirmed: { head: 8 } }],
  ])('a remote that %s is sent everything', (_what, options) => {
    expect(plan(options)).toMatchObject({ kind: 'replay', rolledBack: false })
  })

  test.each([
    ['confirmed less', { confirmed: { through: 40 }, low: 45 }],
    ['never met the remote', { low: 0 }],
  ])('a site that remembers less than the remote, and %s, was set back', (_what, options) => {
    expect(plan(options)).toMatchObject({ kind: 'replay', rolledBack: true })
  })

  test('a site that sends again what the remote had confirmed was not set back', () => {
    expect(plan({ confirmed: { through: 50 }, low: 3 })).toEqual({ kind: 'continue' })
    expect(plan({ confirmed: { through: 20 }, low: 50 })).toEqual({ kind: 'continue' })
  })

  test('wrong peers are refused by name', () => {
    expect(() => plan({ answer: { protocol: 2 } })).toThrow(ProtocolMismatchError)
    expect(() => plan({ answer: { volumeId: own.volumeId } })).toThrow(SelfReplicationError)
    expect(() => plan({ answer: { siteId: own.siteId } })).toThrow(SiteIdTakenError)
  })
})
