/**
 * What was taken back, of a site with two threads: whatever the other thread has heard of it, and whatever
 * is asked meanwhile, it holds once it is answered.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { NotYet, until } from '../e2e/until.ts'
import { type Connections, connectTo, type KeptConnection, whoAnswered } from './kept-connection.ts'
import { type Answer, type ConfigChanges, TestSite, testConfig } from './test-site.ts'
import { ThreadMessages } from './thread-messages.ts'

let site: TestSite
let messages: ThreadMessages
const open: Connections[] = []

beforeEach(async () => {
  site = await TestSite.make()
  messages = ThreadMessages.watch()
})
afterEach(async () => {
  messages.release()
  vi.restoreAllMocks()
  for (const connections of open.splice(0)) connections.close()
  await site.remove()
})

async function connect(headers: Readonly<Record<string, string>> = {}): Promise<Connections> {
  const connections = await connectTo(site, { bucket: 'first', key: 'k', headers })
  open.push(connections)
  return connections
}

/** Asks again and again until `over`; resolves when all has been answered. */
async function hammer(
  over: { readonly aborted: boolean },
  ask: (at: number) => Promise<void>,
): Promise<void> {
  for (let at = 0; !over.aborted; at++) await ask(at)
}

describe('before a thread has heard of it', () => {
  const jsonType = { 'content-type': 'application/json' }
  const writer = { name: 'writer', role: 'write', token: 'token-of-writer' } as const
  const keeper = { name: 'keeper', role: 'admin', token: 'token-of-keeper' } as const
  const as = ({ token }: { readonly token: string }) => ({ authorization: `Bearer ${token}` })
  const changes: ConfigChanges = { server: { threads: 2 }, auth: { tokens: [writer, keeper] } }

  /** What a thread answers itself, once the messages have come. */
  async function expectOwnAnswer(thread: KeptConnection, engineId: string): Promise<void> {
    const answer = await thread.send('GET', '/first/k', { headers: as(keeper) })
    expect(answer.status).toBe(200)
    expect(whoAnswered(answer)).not.toBe(engineId)
  }

  test('a token that was revoked is refused, while requests with it are under way', async () => {
    await site.start(changes)
    const { engine, thread } = await connect(as(keeper))
    const others = await connect(as(keeper))
    const engineId = whoAnswered(await engine.send('GET', '/first/k', { headers: as(keeper) }))
    messages.hold('credentials')
    const over = { aborted: false }
    let isRevoked = false
    const statuses = new Set<number>()
    const asking = [thread, others.thread].map((connection, which) =>
      hammer(over, async (at) => {
        const wasRevoked = isRevoked
        const method = (at + which) % 2 === 0 ? 'GET' : 'PUT'
        const body = method === 'PUT' ? 'x' : ''
        const { status } = await connection.send(method, '/first/k', { headers: as(writer), body })
        statuses.add(status)
        if (wasRevoked) expect(status).toBe(401)
      }),
    )
    try {
      await until('it is used', async () => statuses.has(200) || new NotYet(''))
      const order = { headers: { ...as(keeper), ...jsonType }, body: '{"name":"writer"}' }
      expect((await engine.send('POST', '/admin/tokens/revoke', order)).status).toBe(200)
      isRevoked = true
      await until('it is refused', async () => statuses.has(401) || new NotYet(''))
    } finally {
      over.aborted = true
      await Promise.all(asking)
    }
    expect([...statuses].sort()).toEqual([200, 401])
    expect(messages.held).toBe(1)
    const passedOn = await thread.send('GET', '/first/k', { headers: as(keeper) })
    expect([passedOn.status, whoAnswered(passedOn)]).toEqual([200, engineId])
    messages.release()
    await expectOwnAnswer(thread, engineId)
    expect((await thread.send('GET', '/first/k', { headers: as(writer) })).status).toBe(401)
  })

  test('a token has the role that it was given last', async () => {
    const load = async () =>
      testConfig(site.storage, {
        ...changes,
        auth: { tokens: [{ ...writer, role: 'read' }, keeper] },
      })
    await site.start(changes, { load })
    const { engine, thread } = await connect(as(keeper))
    const engineId = whoAnswered(await engine.send('GET', '/first/k', { headers: as(keeper) }))
    const put = { headers: as(writer), body: 'y' }
    expect((await thread.send('PUT', '/first/k', put)).status).toBe(200)
    messages.hold('credentials')
    await site.server.reload()
    expect(messages.held).toBe(1)
    expect((await thread.send('PUT', '/first/k', put)).status).toBe(403)
    messages.release()
    expect((await thread.send('PUT', '/first/k', put)).status).toBe(403)
    await expectOwnAnswer(thread, engineId)
  })
})

test('no write is taken once a site has become a replica, and none is lost that was', async () => {
  await site.start({ server: { threads: 2 } })
  const { engine, thread } = await connect()
  const more = await connect()
  const over = { aborted: false }
  let isReplica = false
  const statuses = new Map<string, number>()
  const putting = [thread, more.thread, more.engine].map((connection, which) =>
    hammer(over, async (at) => {
      const path = `/docs/${which}-${at}`
      const wasReplica = isReplica
      const { status } = await connection.send('PUT', path, { body: path })
      statuses.set(path, status)
      if (wasReplica) expect(status).toBe(403)
    }),
  )
  try {
    await until('writes are under way', async () => statuses.size > 50 || new NotYet(statuses.size))
    const order = { headers: { 'content-type': 'application/json' } }
    const body = '{"role":"replica","force":true}'
    const changed = await engine.send('POST', '/admin/replication/role', { ...order, body })
    expect(changed.status).toBe(200)
    isReplica = true
    const size = statuses.size
    await until(
      'more have come',
      async () => statuses.size > size + 20 || new NotYet(statuses.size),
    )
  } finally {
    over.aborted = true
    await Promise.all(putting)
  }
  for (const [path, status] of statuses) {
    const got = await thread.send('GET', path)
    // 503 is said while the role changes.
    expect([got.status, status], path).toEqual(status === 200 ? [200, 200] : [404, status])
  }
})

/** What a bucket holds after each of the steps that somebody has taken in it: the step that wrote a key last. */
class History {
  readonly #states: ReadonlyMap<string, number>[] = [new Map()]
  /** The last step that was answered. */
  answered = 0

  get last(): number {
    return this.#states.length - 1
  }

  begin(change: (state: Map<string, number>, step: number) => void): number {
    const state = new Map(this.#states[this.last])
    this.#states.push(state)
    change(state, this.last)
    return this.last
  }

  /** Whether somebody who asked when `from` was answered, and was answered before `to` ended, may be told this. */
  allows(key: string, found: number | undefined, [from, to]: readonly [number, number]): boolean {
    return this.#states.slice(from, to + 1).some((state) => state.get(key) === found)
  }
}

const keys = ['a', 'b', 'c']

/** Writes, overwrites, deletes, purges and deletes the bucket, one step behind the other. */
async function live(bucket: string, history: History, next: () => KeptConnection): Promise<void> {
  const step = async (
    ask: (at: number) => Promise<Answer>,
    change: (state: Map<string, number>, at: number) => void,
  ): Promise<void> => {
    const at = history.begin(change)
    const { status, body } = await ask(at)
    expect([200, 204], `${bucket} ${body}`).toContain(status)
    history.answered = at
  }
  const purge = `/admin/${bucket}/objects?confirm=true`
  for (let round = 0; round < 45; round++) {
    const key = keys[round % keys.length] ?? ''
    const path = `/${bucket}/${key}`
    // One in three is too large for a record, and lies in chunks of its own.
    const length = round % 3 === 1 ? 40_000 : 8000
    const put = (at: number) => next().send('PUT', path, { body: `${at} ${'x'.repeat(length)}` })
    await step(put, (state, at) => state.set(key, at))
    if (round % 2 === 0) await step(put, (state, at) => state.set(key, at))
    if (round % 5 === 0) {
      await step(
        () => next().send('DELETE', path),
        (state) => state.delete(key),
      )
    }
    if (round % 7 === 0) {
      await step(
        () => next().send('DELETE', purge),
        (state) => state.clear(),
      )
    }
    if (round % 14 === 0) {
      await step(
        () => next().send('DELETE', `/${bucket}`),
        () => undefined,
      )
    }
  }
}

test('a thread shows nothing that was replaced or removed, also before it hears of freed segments', async () => {
  await site.start({ server: { threads: 2, storageSize: 16 * 2 ** 20 } })
  messages.hold('freed')
  const buckets = ['docs', 'maps', 'logs', 'pics']
  const histories = new Map(buckets.map((bucket) => [bucket, new History()]))
  const readers = [await connect(), await connect()]
  const { engine, thread } = await connect()
  const over = { aborted: false }
  const seen = new Map<string, number>()
  const own = new Set<string>()
  const reading = readers
    .flatMap(({ engine: other, thread: one }) => [one, other])
    .map((connection, which) =>
      hammer(over, async (at) => {
        const bucket = buckets[(at + which) % buckets.length] ?? ''
        const key = keys[at % keys.length] ?? ''
        const history = histories.get(bucket) ?? new History()
        const from = history.answered
        const got = await connection.send('GET', `/${bucket}/${key}`)
        const found = got.status === 200 ? Number.parseInt(got.body.toString(), 10) : undefined
        const span = [from, history.last] as const
        expect(history.allows(key, found, span), `${bucket}/${key}: ${found} in ${span}`).toBe(true)
        seen.set(`${got.status}`, (seen.get(`${got.status}`) ?? 0) + 1)
        own.add(whoAnswered(got))
      }),
    )
  try {
    let turn = 0
    const next = (): KeptConnection => (turn++ % 2 === 0 ? engine : thread)
    await Promise.all([...histories].map(([bucket, history]) => live(bucket, history, next)))
  } finally {
    over.aborted = true
    await Promise.all(reading)
  }
  // Both threads have answered, with objects and without, and segments were freed meanwhile.
  expect([...seen.keys()].sort()).toEqual(['200', '404'])
  expect(own.size).toBe(2)
  expect(messages.held).toBeGreaterThan(0)
}, 120_000)
