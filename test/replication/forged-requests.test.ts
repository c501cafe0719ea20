/** Replayed and forged requests change nothing. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MalformedBytesError } from '../../src/base/byte-reader.ts'
import { ComioError } from '../../src/base/errors.ts'
import { decodeAnswer } from '../../src/replication/wire/answer-codec.ts'
import { decodeBatch, encodeBatch } from '../../src/replication/wire/batch-codec.ts'
import {
  type Hello,
  parseCompletionsQuery,
  parseHello,
} from '../../src/replication/wire/protocol.ts'
import { encodeMutation } from '../../src/store/model/mutation.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { goodToken, HttpSite } from './http-site.ts'
import { identityOf, putOf } from './memory-site.ts'

let site: HttpSite
beforeEach(async () => {
  site = await HttpSite.open({ siteId: 'site-b' })
})
afterEach(() => site.close())

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

function post(path: string, body: Uint8Array | string, token: string | undefined) {
  return fetch(`${site.url}/admin/replication/${path}`, {
    method: 'POST',
    body,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  })
}

async function greet(): Promise<string> {
  const answer = await post('handshake', JSON.stringify(hello), goodToken)
  return ((await answer.json()) as { readonly session: string }).session
}

function batchOf(session: string, key = 'key', seq = 1): Buffer {
  const put = putOf(key, Buffer.from('body'), makeVersion(1_700_000_000_000, 1, 'site-a'))
  const body = { kind: 'inline', pieces: [Buffer.from('body')], length: 4 } as const
  const { volumeId, incarnation } = sender
  const header = { session, volumeId, incarnation, through: 0 }
  return Buffer.concat(encodeBatch(header, [{ seq, encoded: encodeMutation(put), body }]))
}

const outcomesOf = async (answer: Response) =>
  decodeAnswer(Buffer.from(await answer.arrayBuffer())).outcomes

describe('a request', () => {
  test('that is replayed, a batch, is duplicate and changes nothing', async () => {
    const batch = batchOf(await greet())
    expect(await outcomesOf(await post('batch', batch, goodToken))).toEqual([{ result: 'applied' }])
    const head = site.store.engine.feed.head()
    for (let i = 0; i < 3; i++) {
      const outcomes = await outcomesOf(await post('batch', batch, goodToken))
      expect(outcomes).toEqual([{ result: 'duplicate' }])
    }
    expect(site.store.engine.feed.head()).toBe(head)
  })

  test('that is replayed after a restart of the receiver is asked to greet first', async () => {
    const batch = batchOf(await greet())
    await site.restart()
    expect((await post('batch', batch, goodToken)).status).toBe(409)
    expect(site.store.engine.feed.head()).toBe(0)
  })

  test('without the token never reaches the decoder, however well-formed or broken it is', async () => {
    const session = await greet()
    for (const token of [undefined, 'wrong', `${goodToken}x`, goodToken.slice(1)]) {
      for (const body of [batchOf(session), Buffer.from('broken')]) {
        // Had the decoder seen it, the broken one would be 400.
        expect((await post('batch', body, token)).status).toBe(401)
      }
      expect((await post('handshake', '{', token)).status).toBe(401)
      expect((await post('completions', '{', token)).status).toBe(401)
    }
    expect(site.store.engine.feed.head()).toBe(0)
  })

  test('with any byte of its batch changed changes nothing', async () => {
    const session = await greet()
    const batch = batchOf(session)
    await fc.assert(
      fc.asyncProperty(
        fc.nat(batch.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (i, by) => {
          const forged = Buffer.from(batch)
          forged[i] = (forged[i] as number) ^ by
          const answer = await post('batch', forged, goodToken)
          expect([400, 409]).toContain(answer.status)
          await answer.arrayBuffer()
        },
      ),
      { numRuns: 60 },
    )
    expect(site.store.engine.feed.head()).toBe(0)
  })
})

describe('a change of bytes from anywhere, in a batch that is sound', () => {
  test('is refused alone, and the change beside it is taken', async () => {
    const session = await greet()
    const { label, head } = encodeMutation(
      putOf('key', Buffer.from('body'), makeVersion(1_700_000_000_000, 1, 'site-a')),
    )
    const broken = (bytes: Buffer) =>
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, by]) => {
          const copy = Buffer.from(bytes)
          copy[at] = (copy[at] as number) ^ by
          return copy
        }),
        fc.nat(bytes.length - 1).map((length) => bytes.subarray(0, length)),
      )
    const body = { kind: 'inline', pieces: [Buffer.from('body')], length: 4 } as const
    const kind = fc.constantFrom('put' as const, 'delete' as const, 'purge' as const)
    let seq = 1
    await fc.assert(
      fc.asyncProperty(kind, broken(label), broken(head), async (what, forgedLabel, forgedHead) => {
        const encoded = {
          kind: what,
          label: Buffer.from(forgedLabel),
          head: Buffer.from(forgedHead),
        }
        const { volumeId, incarnation } = sender
        const header = { session, volumeId, incarnation, through: 0 }
        const good = putOf(`key-${seq}`, Buffer.from('body'), makeVersion(1, seq, 'site-a'))
        const frames = [
          { seq: seq++, encoded, body: what === 'put' ? body : ({ kind: 'none' } as const) },
          { seq: seq++, encoded: encodeMutation(good), body },
        ]
        const batch = Buffer.concat(encodeBatch(header, frames))
        const [forged, beside] = await outcomesOf(await post('batch', batch, goodToken))
        // Of a flipped bit in a key or a time nobody can tell that it is one.
        expect(['refused', 'applied', 'later', 'superseded', 'conflict', 'duplicate']).toContain(
          forged?.result,
        )
        expect(['applied', 'superseded']).toContain(beside?.result)
      }),
      { numRuns: 40 },
    )
    await site.restart()
    for (const { name } of await site.store.engine.listBuckets()) await site.store.keys(name)
  })
})

describe('bytes from anywhere', () => {
  const header = batchOf('session').subarray(0, 120)

  test('decode as a batch or are refused as malformed, and nothing else', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }).map((tail) => Buffer.concat([header, tail])),
    )
    fc.assert(
      fc.property(bytes, (input) => {
        try {
          decodeBatch(input)
        } catch (error) {
          if (!(error instanceof MalformedBytesError)) throw error
        }
      }),
    )
  })

  test('parse as a document or are refused as malformed, and nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        for (const parse of [parseHello, parseCompletionsQuery]) {
          try {
            parse(text)
          } catch (error) {
            if (!(error instanceof ComioError)) throw error
          }
        }
      }),
    )
  })
})
