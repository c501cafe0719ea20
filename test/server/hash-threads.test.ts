import { createHash, randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { HashThreadError } from '../../src/server/errors.ts'
import { HashThreads } from '../../src/server/storage/hash-threads.ts'

let threads: HashThreads
afterEach(() => threads.close())

function openThreads(script?: string): HashThreads {
  const logger = silentLogger
  threads = new HashThreads({
    ...{ count: 2, logger },
    ...(script === undefined
      ? {}
      : { script: new URL(`data:text/javascript,${encodeURIComponent(script)}`) }),
  })
  return threads
}

/** Obeys nothing, and dies with the first bytes. */
const doomed = `
  import { parentPort } from 'node:worker_threads'
  parentPort.on('message', ({ kind }) => { if (kind === 'update') throw new Error('out of order') })`
/** Takes every order, and never answers. */
const mute = `
  import { parentPort } from 'node:worker_threads'
  parentPort.on('message', () => undefined)`

function inPieces(bytes: Buffer): readonly Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 40_000) pieces.push(bytes.subarray(at, at + 40_000))
  return pieces
}

/** Bytes as a blob writer has them: in memory that threads share. */
function sharedCopy(bytes: Buffer): Buffer {
  const shared = Buffer.from(new SharedArrayBuffer(bytes.length))
  shared.set(bytes)
  return shared
}

describe('hashing threads', () => {
  it('give each of many bodies its own digests, and are not more than they may be', async () => {
    openThreads()
    const bodies = [0, 1, 39_999, 200_001, 90_000].map((length) => randomBytes(length))
    const digests = await Promise.all(
      bodies.map(async (body) => {
        const hasher = threads.openBody()
        for (const piece of inPieces(sharedCopy(body))) await hasher.update(piece)
        const found = await hasher.digest()
        hasher.close()
        hasher.close()
        return found
      }),
    )
    for (const [index, { md5, sha256 }] of digests.entries()) {
      const body = bodies[index] as Buffer
      expect(md5).toEqual(createHash('md5').update(body).digest())
      expect(sha256).toEqual(createHash('sha256').update(body).digest())
    }
    expect(threads.running).toBe(2)
  })

  it('hash a body whose ETag is known by SHA-256 alone, all threads taking such bodies', async () => {
    openThreads()
    const body = randomBytes(200_001)
    const hashers = [threads.openContent(), threads.openContent()]
    for (const hasher of hashers) {
      for (const piece of inPieces(sharedCopy(body))) await hasher.update(piece)
      expect(await hasher.digest()).toEqual(createHash('sha256').update(body).digest())
    }
    expect(threads.running).toBe(2)
    for (const hasher of hashers) hasher.close()
  })

  it('that die fail the bodies they worked for, and the next body has others', async () => {
    openThreads(doomed)
    const hasher = threads.openBody()
    await expect(hasher.update(Buffer.from('bytes'))).rejects.toThrow(HashThreadError)
    await expect(hasher.update(Buffer.from('bytes'))).rejects.toThrow('out of order')
    await expect(hasher.digest()).rejects.toThrow(HashThreadError)
    hasher.close()
    expect(threads.running).toBe(0)
    const next = threads.openBody()
    expect(threads.running).toBe(2)
    await expect(next.update(Buffer.from('bytes'))).rejects.toThrow(HashThreadError)
  })

  it('fail what is under way when they are closed, and take nothing more', async () => {
    openThreads(mute)
    const hasher = threads.openBody()
    const waiting = expect(hasher.update(Buffer.from('bytes'))).rejects.toThrow(
      'the site is stopping',
    )
    await threads.close()
    await waiting
    expect(threads.running).toBe(0)
    expect(() => threads.openBody()).toThrow(HashThreadError)
    expect(() => threads.openContent()).toThrow(HashThreadError)
  })
})
