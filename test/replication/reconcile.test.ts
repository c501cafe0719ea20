import { describe, expect, test } from 'vitest'
import {
  ProtocolMismatchError,
  SelfReplicationError,
  SiteIdTakenError,
} from '../../src/replication/errors.ts'
import type { HelloAnswer } from '../../src/replication/protocol.ts'
import { planStart } from '../../src/replication/reconcile.ts'
import type { ConfirmedPeer } from '../../src/store/object-store.ts'
import { identityOf } from './memory-site.ts'

const own = identityOf('site-a')
const peer = identityOf('site-b')

function plan(options: {
  readonly answer?: Partial<HelloAnswer>
  readonly confirmed?: Partial<ConfirmedPeer> | undefined
  readonly head?: number
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
          ...options.confirmed,
        }
  return planStart({ own, head: options.head ?? 100, answer, confirmed })
}

describe('after a handshake', () => {
  test('a remote that remembers what it confirmed goes on from our own position', () => {
    expect(plan({ confirmed: {} })).toEqual({ kind: 'continue' })
    expect(plan({ confirmed: { through: 20 } })).toEqual({ kind: 'continue' })
  })

  test('a remote never met before goes on from our own position, which is the start', () => {
    expect(plan({ answer: { applied: null } })).toEqual({ kind: 'continue' })
  })

  test('a remote that fell back is sent everything since', () => {
    const fallen = { incarnation: own.incarnation, through: 30 }
    expect(plan({ confirmed: {}, answer: { applied: fallen } })).toMatchObject({
      kind: 'replay',
      from: 30,
    })
  })

  test.each([
    ['forgot this site', { answer: { applied: null }, confirmed: {} }],
    [
      'knows another life of this site',
      { answer: { applied: { incarnation: 'other', through: 50 } }, confirmed: {} },
    ],
    ['is another volume', { confirmed: { volumeId: 'other' } }],
    ['was restored', { confirmed: { incarnation: 'other' } }],
  ])('a remote that %s is sent everything', (_what, options) => {
    expect(plan(options)).toMatchObject({ kind: 'replay', from: 0, rolledBack: false })
  })

  test('a site whose feed ends below what the remote confirmed knows that it was rolled back', () => {
    expect(plan({ confirmed: {}, head: 40 })).toMatchObject({
      kind: 'replay',
      from: 0,
      rolledBack: true,
    })
  })

  test('wrong peers are refused by name', () => {
    expect(() => plan({ answer: { protocol: 2 } })).toThrow(ProtocolMismatchError)
    expect(() => plan({ answer: { volumeId: own.volumeId } })).toThrow(SelfReplicationError)
    expect(() => plan({ answer: { siteId: own.siteId } })).toThrow(SiteIdTakenError)
  })
})
