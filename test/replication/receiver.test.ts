import { describe, expect, test } from 'vitest'
import { MalformedBytesError } from '../../src/base/byte-reader.ts'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom, systemRandom } from '../../src/base/random.ts'
import { defaultReplicationOptions } from '../../src/replication/options.ts'
import { Receiver } from '../../src/replication/receive/receiver.ts'
import { decodeAnswer } from '../../src/replication/wire/answer-codec.ts'
import {
  type ChangeFrame,
  encodeBatch,
  type FrameBody,
} from '../../src/replication/wire/batch-codec.ts'
import {
  BadRemoteUrlError,
  HandshakeRequiredError,
  LinkEndedError,
} from '../../src/replication/wire/errors.ts'
import type { ChangeOutcome, Hello, HelloAnswer } from '../../src/replication/wire/protocol.ts'
import { encodeMutation, type Mutation } from '../../src/store/model/mutation.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { emptyResponder } from './empty-site.ts'
import { ManualClock, settleTasks } from './manual-clock.ts'
import { MemoryBlobTransport } from './memory-network.ts'
import { MemorySink } from './memory-sink.ts'
import { identityOf, putOf } from './memory-site.ts'

const sender = identityOf('site-a')
const hello: Hello = {
  protocol: 1,
  ...sender,
  advertiseUrl: 'http://127.0.0.1:1',
  wallTime: 1,
  filterHash: 'all',
  head: 1000,
  epoch: 1,
}
const version = makeVersion(1_700_000_000_000, 1, 'site-a')

function setUp(random = seededRandom(1)) {
  const clock = new ManualClock()
  const sink = new MemorySink()
  const blobTransport = new MemoryBlobTransport()
  const receiver = new Receiver({
    sink,
    identity: identityOf('site-b'),
    responder: emptyResponder(),
    head: () => 0,
    blobTransport,
    rangeBytes: 2 ** 20,
    abandonedAfterMs: defaultReplicationOptions.abandonedAfterMs,
    takesCompressed: false,
    clock,
    random,
    logger: silentLogger,
  })
  const send = async (
    answer: HelloAnswer,
    frames: readonly ChangeFrame[],
    through = 0,
  ): Promise<readonly ChangeOutcome[]> => {
    const { session } = answer
    const { volumeId, incarnation } = sender
    const bytes = Buffer.concat(encodeBatch({ session, volumeId, incarnation, through }, frames))
    return decodeAnswer(await receiver.batch(bytes)).outcomes
  }
  /** Whether bytes of a large object are asked for in a minute. */
  const isFetching = async (): Promise<boolean> => {
    const before = blobTransport.ranges.length
    clock.advance(60_000)
    await settleTasks()
    return blobTransport.ranges.length > before
  }
  return { clock, sink, receiver, send, isFetching }
}

function frameOf(mutation: Mutation, body: FrameBody, seq = 1): ChangeFrame {
  return { seq, encoded: encodeMutation(mutation), body }
}

function inlineOf(text: string): FrameBody {
  return { kind: 'inline', pieces: [Buffer.from(text)], length: text.length }
}

describe('a receiver', () => {
  test('applies a batch and stores the low-water mark with it', async () => {
    const { receiver, sink, send } = setUp()
    const answer = receiver.handshake(hello)
    expect(answer).toMatchObject({ siteId: 'site-b', applied: null })
    const put = putOf('key', Buffer.from('body'), version)
    expect(await send(answer, [frameOf(put, inlineOf('body'))], 17)).toEqual([
      { result: 'applied' },
    ])
    expect(sink.slots.get('o/box/key')?.body?.toString()).toBe('body')
    expect(receiver.handshake(hello).applied).toEqual({
      incarnation: sender.incarnation,
      through: 17,
    })
  })

  test('takes no batch before a handshake, from another life of the sender, or for an earlier run', async () => {
    const { receiver, send } = setUp()
    const before = setUp(systemRandom).receiver.handshake(hello)
    await expect(send(before, [])).rejects.toThrow(HandshakeRequiredError)
    const answer = receiver.handshake(hello)
    await expect(send(before, [])).rejects.toThrow(HandshakeRequiredError)
    receiver.handshake({ ...hello, incarnation: 'bbbbbbbbbbbbbbbb' })
    await expect(send(answer, [])).rejects.toThrow(HandshakeRequiredError)
    receiver.handshake(hello)
    await expect(send(answer, [])).resolves.toEqual([])
  })

  test('refuses a malformed batch as a whole and changes nothing', async () => {
    const { receiver, sink } = setUp()
    receiver.handshake(hello)
    await expect(receiver.batch(Buffer.from('not a batch at all'))).rejects.toThrow(
      MalformedBytesError,
    )
    expect(sink.slots.size).toBe(0)
  })

  const put = putOf('key', Buffer.from('body'), version)
  const objectOf = (key: string) => objectSlot('box', key) as (typeof put)['slot']
  const bad: [string, ChangeFrame][] = [
    [
      'a label that does not decode',
      {
        ...frameOf(put, inlineOf('body')),
        encoded: { ...encodeMutation(put), label: Buffer.from([9]) },
      },
    ],
    ['another length than announced', frameOf(put, inlineOf('bod'))],
    ['a put without a body', frameOf(put, { kind: 'none' })],
    [
      'a delete with a body',
      frameOf({ kind: 'delete', slot: put.slot, version, context: [] }, inlineOf('x')),
    ],
    ['an empty key', frameOf({ ...put, slot: objectOf('') }, inlineOf('body'))],
    ['an endless key', frameOf({ ...put, slot: objectOf('k'.repeat(1025)) }, inlineOf('body'))],
  ]

  test.each(bad)('refuses a change with %s alone', async (_what, frame) => {
    const { receiver, sink, send } = setUp()
    const other = frameOf(putOf('other', Buffer.from('fine'), version), inlineOf('fine'), 2)
    const outcomes = await send(receiver.handshake(hello), [frame, other])
    expect(outcomes).toEqual([
      { result: 'refused', code: 'MALFORMED_BYTES', message: expect.any(String) },
      { result: 'applied' },
    ])
    expect([...sink.slots.keys()]).toEqual(['o/box/other'])
  })

  test('asks for withheld bytes that it needs', async () => {
    const { receiver, send } = setUp()
    const answer = receiver.handshake(hello)
    expect(await send(answer, [frameOf(put, { kind: 'withheld', length: 4 })])).toEqual([
      { result: 'need' },
    ])
    await send(answer, [frameOf(put, inlineOf('body'))])
    expect(await send(answer, [frameOf(put, { kind: 'withheld', length: 4 })])).toEqual([
      { result: 'duplicate' },
    ])
  })

  test.each(['ftp://x', 'http://u:p@x', 'file:///etc/passwd', 'nowhere'])(
    'does not fetch from %s',
    (advertiseUrl) => {
      const { receiver } = setUp()
      expect(() => receiver.handshake({ ...hello, advertiseUrl })).toThrow(BadRemoteUrlError)
    },
  )

  test('never lets a low-water mark fall within one life of a sender, set back or not', async () => {
    const { receiver, sink, send, clock } = setUp()
    await send(receiver.handshake(hello), [], 500)
    clock.advance(2000)
    await send(receiver.handshake(hello), [], 400)
    expect(sink.marks.get(sender.volumeId)?.through).toBe(500)
    await send(receiver.handshake({ ...hello, head: 30 }), [], 20)
    expect(sink.marks.get(sender.volumeId)?.through).toBe(500)
  })
})

describe('a completions query', () => {
  const query = (answer: HelloAnswer, seqs: readonly number[], waitMs = 5000) => ({
    session: answer.session,
    volumeId: sender.volumeId,
    incarnation: sender.incarnation,
    waitMs,
    seqs,
    forget: [],
  })

  test('about a pull that this run does not know asks for a new offer at once', async () => {
    const { receiver } = setUp()
    const answer = receiver.handshake(hello)
    const { completions } = await receiver.completions(
      query(answer, [5]),
      new AbortController().signal,
    )
    expect(completions).toMatchObject([{ seq: 5, outcome: { result: 'again' } }])
  })

  test('waits no longer than it may, and not when the asker has left', async () => {
    const { receiver, clock } = setUp()
    const answer = receiver.handshake(hello)
    let ended = 0
    const ask = (signal: AbortSignal, waitMs: number) =>
      receiver.completions(query(answer, [], waitMs), signal).then(() => ended++)
    const left = new AbortController()
    const asked = [ask(new AbortController().signal, 3_600_000), ask(left.signal, 3_600_000)]
    left.abort()
    await settleTasks()
    expect(ended).toBe(1)
    clock.advance(20_000)
    await Promise.all(asked)
    expect(ended).toBe(2)
  })

  test('refuses what comes under an earlier link, or one that was ended', async () => {
    const { receiver, send } = setUp()
    const old = receiver.handshake({ ...hello, epoch: 5 })
    // Whoever only asks takes nobody's place.
    const asked = receiver.handshake({ ...hello, epoch: 6, asksOnly: true })
    expect(asked).toMatchObject({ volumeId: old.volumeId })
    await expect(send(asked, [])).rejects.toThrow(HandshakeRequiredError)
    await send(old, [], 10)
    const answer = receiver.handshake({ ...hello, epoch: 6 })
    expect(answer.applied).toBeNull()
    await expect(send(old, [])).rejects.toThrow(HandshakeRequiredError)
    await send(answer, [], 3)
    expect(() => receiver.handshake({ ...hello, epoch: 5 })).toThrow(LinkEndedError)
    expect(receiver.handshake({ ...hello, epoch: 6 }).applied).toMatchObject({ through: 3 })
    const { volumeId, incarnation } = sender
    await receiver.farewell({ volumeId, incarnation, epoch: 6 })
    await expect(send(answer, [])).rejects.toThrow(HandshakeRequiredError)
    expect(() => receiver.handshake({ ...hello, epoch: 6 })).toThrow(LinkEndedError)
    expect(receiver.handshake({ ...hello, epoch: 7 }).applied).toBeNull()
  })

  test('of a link that has ended leaves nothing to be fetched, and a late farewell takes nothing back', async () => {
    const { receiver, send, isFetching } = setUp()
    const { volumeId, incarnation } = sender
    const large = putOf('large', Buffer.alloc(2 ** 21), version)
    const offer = frameOf(large, { kind: 'offer', ticket: Buffer.alloc(32, 7), length: 2 ** 21 })
    for (const epoch of [1, 2]) {
      const answer = receiver.handshake({ ...hello, epoch })
      expect(await send(answer, [offer])).toEqual([{ result: 'pulling' }])
      await receiver.farewell({ volumeId, incarnation, epoch: epoch - 1 })
      expect(await isFetching()).toBe(true)
      await receiver.farewell({ volumeId, incarnation, epoch })
      await settleTasks()
      expect(await isFetching()).toBe(false)
    }
  })
})
