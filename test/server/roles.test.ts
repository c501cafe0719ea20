import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type {
  HealthDocument,
  ReplicationStatusDocument,
  RoleDocument,
  RoleRequestDocument,
} from '../../src/admin/protocol.ts'
import { FolderFiles } from '../../src/device/small-files.ts'

import {
  demotionChecks,
  nobodyToAsk,
  promotionChecks,
} from '../../src/server/roles/role-control.ts'
import { RoleKeeper } from '../../src/server/roles/role-keeper.ts'
import { NotYet, until } from '../e2e/until.ts'
import { ManualClock } from '../replication/manual-clock.ts'
import { collectingLogger, type LogLine } from '../replication/memory-pair.ts'
import { type ConfigChanges, remoteAt, TestSite } from './test-site.ts'

const token = 'a-token-for-both-sites-0123456789'

let a: TestSite
let b: TestSite

beforeEach(async () => {
  a = await TestSite.make()
  b = await TestSite.make()
})

afterEach(async () => {
  await a.remove()
  await b.remove()
})

interface Way {
  readonly siteId: string
  readonly to?: string
  readonly port?: number
  readonly role?: 'primary' | 'replica'
}

function site({ siteId, to, port = 0, role = 'primary' }: Way): ConfigChanges {
  const remotes = to === undefined ? [] : [remoteAt(to, token)]
  return {
    server: { siteId, port },
    replication: {
      role,
      acceptTokens: [token],
      enabled: to !== undefined,
      remotes,
      retryDelayMs: 100,
    },
  }
}

/** A is the primary, B its replica; each ships to the other. */
async function startPair(): Promise<void> {
  await b.start(site({ siteId: 'site-b' }))
  const bUrl = b.url
  await a.start(site({ siteId: 'site-a', to: bUrl }))
  await b.stop()
  const port = Number(new URL(bUrl).port)
  await b.start(site({ siteId: 'site-b', to: a.url, port, role: 'replica' }))
}

const change = (of: TestSite, order: RoleRequestDocument): Promise<RoleDocument> =>
  of.json('POST', '/admin/replication/role', {
    body: JSON.stringify(order),
    headers: { 'content-type': 'application/json' },
  })

const statusOf = (of: TestSite): Promise<ReplicationStatusDocument> =>
  of.json('GET', '/admin/replication/status')

const eventually = (what: string, holds: () => Promise<boolean>) =>
  until(what, async () => (await holds()) || new NotYet('not yet'))

describe('a replica', () => {
  it('refuses every write of clients with the address of the primary, and goes on receiving', async () => {
    await startPair()
    await a.send('PUT', '/docs/one', { body: 'one' })
    await eventually('it arrives', async () => (await b.send('GET', '/docs/one')).status === 200)
    await eventually('the primary is known', async () => (await statusOf(b)).role.primary === a.url)
    for (const [method, path] of [
      ['PUT', '/docs/two'],
      ['DELETE', '/docs/one'],
      ['PUT', '/fresh'],
      ['DELETE', '/docs'],
    ] as const) {
      const answer = await b.send(method, path)
      expect(answer.status).toBe(403)
      expect(answer.headers['x-comio-primary']).toBe(a.url)
      expect(answer.body.toString()).toContain('<Code>AccessDenied</Code>')
      expect(answer.body.toString()).toContain(`write to ${a.url}`)
    }
    const purge = await b.send('DELETE', '/admin/docs/objects?confirm=true')
    expect(purge.status).toBe(403)
    expect(JSON.parse(purge.body.toString())).toMatchObject({
      error: { code: 'REPLICA_READ_ONLY' },
    })
    expect((await b.send('DELETE', '/admin/docs/objects')).status).toBe(200)
    const policy = await b.json('POST', '/admin/docs/conflict-policy', {
      body: '{"policy":"keep-both"}',
      headers: { 'content-type': 'application/json' },
    })
    expect(policy.error).toMatchObject({ code: 'REPLICA_READ_ONLY' })
    expect(policy.error.message + policy.error.hint).toContain(a.url)
    expect((await b.send('GET', '/docs/one')).body.toString()).toBe('one')
    const health: HealthDocument = await b.json('GET', '/admin/health')
    expect(health.role).toBe('replica')
    const metrics = (await b.send('GET', '/admin/metrics')).body.toString()
    expect(metrics).toMatch(/^comio_site_primary 0$/m)
  })
})

describe('a planned change of roles', () => {
  it('hands everything over, and neither order nor restart brings two primaries', async () => {
    await startPair()
    await a.send('PUT', '/docs/one', { body: 'one' })
    const early = await change(b, { role: 'primary' })
    expect(early).toMatchObject({ role: 'replica', outcome: 'refused' })
    expect(early.checks[0]?.text).toContain('site-a answers and is the primary')

    expect(await change(a, { role: 'replica', dry_run: true })).toMatchObject({
      role: 'primary',
      outcome: 'planned',
    })
    expect(await change(a, { role: 'replica' })).toMatchObject({
      role: 'replica',
      outcome: 'changed',
    })
    expect((await b.send('GET', '/docs/one')).body.toString()).toBe('one')
    expect((await a.send('PUT', '/docs/two')).status).toBe(403)

    expect(await change(b, { role: 'primary' })).toMatchObject({
      role: 'primary',
      term: 1,
      outcome: 'changed',
      checks: [{ ok: true }],
    })
    expect((await b.send('PUT', '/docs/two', { body: 'two' })).status).toBe(200)
    expect(await change(b, { role: 'primary' })).toMatchObject({ outcome: 'unchanged' })

    const port = Number(new URL(b.url).port)
    await b.stop()
    // The configuration still says replica; the volume knows better.
    await b.start(site({ siteId: 'site-b', to: a.url, port, role: 'replica' }))
    expect((await statusOf(b)).role).toMatchObject({ role: 'primary', term: 1 })
    expect((await b.send('PUT', '/docs/three')).status).toBe(200)
  })

  it('is refused, and the site stays the primary, while the other one is away', async () => {
    await startPair()
    await b.stop()
    const answer = await change(a, { role: 'replica' })
    expect(answer).toMatchObject({ role: 'primary', outcome: 'refused' })
    expect(answer.checks[0]?.text).toMatch(/remote default does not answer/)
    expect((await a.send('PUT', '/docs/one')).status).toBe(200)
    expect(await change(a, { role: 'replica', force: true })).toMatchObject({ outcome: 'changed' })
  })
})

describe('the loss of a primary', () => {
  it('is answered by a forced promotion, and the old one comes back as a replica by itself', async () => {
    await startPair()
    const aUrl = a.url
    await a.send('PUT', '/docs/one', { body: 'one' })
    await eventually('it arrives', async () => (await b.send('GET', '/docs/one')).status === 200)
    await a.stop()
    const careful = await change(b, { role: 'primary' })
    expect(careful.outcome).toBe('refused')
    expect(careful.checks[0]?.text).toContain('what it has not shipped is unknown')
    expect(await change(b, { role: 'primary', force: true })).toMatchObject({
      role: 'primary',
      term: 1,
    })
    await b.send('PUT', '/docs/two', { body: 'two' })

    const port = Number(new URL(aUrl).port)
    await a.start(site({ siteId: 'site-a', to: b.url, port }))
    // The very first write waits until A has heard.
    const first = await a.send('PUT', '/docs/three', { body: 'three' })
    expect([first.status, first.headers['x-comio-primary']]).toEqual([403, b.url])
    expect((await statusOf(a)).role).toMatchObject({ role: 'replica', term: 1 })
    await eventually('A has it', async () => (await a.send('GET', '/docs/two')).status === 200)
    expect(a.records().map(({ msg }) => msg)).toContain(
      'Another site was promoted: this site is a replica from now on',
    )
    await eventually('it is on disk', async () => {
      const text = await readFile(join(a.storage, 'role'), 'utf8').catch(() => '{}')
      return JSON.parse(text).term === 1
    })
  })
})

describe('a primary that was started again', () => {
  const clock = new ManualClock()
  const lines: LogLine[] = []
  const open = (configured?: 'primary'): Promise<RoleKeeper> => {
    const logger = collectingLogger(lines)
    const files = new FolderFiles(a.folder)
    return RoleKeeper.open({ siteId: 'site-b', files, configured, clock, logger })
  }
  const urls = ['http://b', 'http://c']
  const wordOf = (url: string, role: 'primary' | 'replica', term: number) => {
    return { siteId: url, url, standing: { role, term } }
  }

  it('takes writes once every site that it had met has said that it was not promoted', async () => {
    const keeper = await open('primary')
    keeper.awaitWord(urls, 5000)
    const begun = keeper.beginWrite()
    keeper.heard(wordOf('http://b', 'replica', 0))
    expect(await Promise.race([begun, 'waiting'])).toBe('waiting')
    keeper.heard(wordOf('http://c', 'replica', 0))
    ;(await begun)()
    expect(keeper.beginWrite()).toBeTypeOf('function')
  })

  it('refuses those that waited once it hears of its successor, whatever the others say', async () => {
    const keeper = await open('primary')
    keeper.awaitWord(urls, 5000)
    const begun = keeper.beginWrite()
    keeper.heard(wordOf('http://b', 'primary', 1))
    await expect(begun).rejects.toMatchObject({ code: 'REPLICA_READ_ONLY' })
    await keeper.close()
  })

  it('is of use after five seconds all the same when nobody answers, and says what that means', async () => {
    const keeper = await open('primary')
    keeper.awaitWord(urls, 5000)
    const begun = keeper.beginWrite()
    clock.advance(4999)
    expect(await Promise.race([begun, 'waiting'])).toBe('waiting')
    clock.advance(1)
    ;(await begun)()
    expect(lines.at(-1)).toMatchObject({ level: 'warn', fields: { silent: urls } })
  })

  it('waits for nobody where it has met nobody, or where nobody has spoken of roles', async () => {
    const alone = await open('primary')
    alone.awaitWord([], 5000)
    expect(alone.beginWrite()).toBeTypeOf('function')
    const equal = await open()
    equal.awaitWord(urls, 5000)
    expect(equal.beginWrite()).toBeTypeOf('function')
  })
})

describe('two sites that were promoted out of sight of each other', () => {
  const promoted = async (siteId: string, folder: string): Promise<RoleKeeper> => {
    const [clock, logger] = [new ManualClock(), collectingLogger([])]
    const files = new FolderFiles(folder)
    const keeper = await RoleKeeper.open({ siteId, files, configured: 'replica', clock, logger })
    await keeper.become('primary', keeper.nextTerm())
    return keeper
  }
  const wordOf = (siteId: string, keeper: RoleKeeper) => {
    return { siteId, url: `http://${siteId}`, standing: keeper.standing() }
  }

  it('leave one primary when they meet, though both have the same term', async () => {
    const first = await promoted('site-a', a.folder)
    const second = await promoted('site-b', b.folder)
    const [ofFirst, ofSecond] = [wordOf('site-a', first), wordOf('site-b', second)]
    expect(ofFirst.standing).toEqual(ofSecond.standing)
    first.heard(ofSecond)
    second.heard(ofFirst)
    expect(first.standing()).toEqual({ role: 'primary', term: 1 })
    expect(second.standing()).toEqual({ role: 'replica', term: 1 })
    expect(second.primaryUrl).toBe('http://site-a')
    await second.close()
  })
})

describe('one of three sites without roles that is demoted', () => {
  it('names the same one of the two that take writes whoever speaks last, and the one promoted in the end', async () => {
    const [clock, logger] = [new ManualClock(), collectingLogger([])]
    const files = new FolderFiles(a.folder)
    const configured = undefined
    const keeper = await RoleKeeper.open({ siteId: 'site-a', files, configured, clock, logger })
    await keeper.become('replica', 0)
    const named = (...spoken: readonly [string, 'primary' | 'replica', number][]) => {
      return spoken.map(([siteId, role, term]) => {
        keeper.heard({ siteId, url: `http://${siteId}`, standing: { role, term } })
        return keeper.primaryUrl
      })
    }
    expect(named(['site-b', 'primary', 0], ['site-c', 'primary', 0])).toEqual([
      'http://site-b',
      'http://site-b',
    ])
    expect(named(['site-c', 'primary', 1], ['site-b', 'primary', 0])).toEqual([
      'http://site-c',
      'http://site-c',
    ])
    expect(named(['site-b', 'replica', 1], ['site-c', 'replica', 1])).toEqual([
      'http://site-c',
      undefined,
    ])
  })
})

describe('the role on disk', () => {
  it('keeps a site from starting when it cannot be understood', async () => {
    await a.start()
    await a.stop()
    await writeFile(join(a.storage, 'role'), '{"form":9}')
    await expect(a.start()).rejects.toMatchObject({ code: 'ROLE_FILE' })
  })
})

describe('the checks', () => {
  const answering = { remote: 'default', url: 'http://b', answers: true, siteId: 'site-b' } as const
  const ledger = (pending: number, held = 0) => ({
    remote: 'default',
    counters: () => ({
      ...{ queued: pending, replicated: 0, failed: 0, superseded: 0, pending, pendingBytes: 0 },
      ...{
        lastReplication: null,
        remoteSuperseded: 0,
        remoteConflicts: 0,
        openLetters: 0,
        replaying: 0,
        held,
        heldObjects: held,
        ahead: 0,
      },
    }),
  })

  it('let a replica be promoted only when the others are replicas that owe it nothing', () => {
    const standing = { role: 'replica', term: 1 } as const
    const check = (owes: number | undefined) =>
      promotionChecks([{ ...answering, standing, owes }])[0]
    expect(check(0)).toMatchObject({ ok: true })
    expect(check(3)).toEqual({ ok: false, text: 'site-b has still 3 changes to ship to this site' })
    expect(check(undefined)).toMatchObject({ ok: false })
  })

  it('let a primary be demoted only when somebody else answers', () => {
    const standing = { role: 'replica', term: 0 } as const
    const report = { ...answering, standing, owes: 0 }
    expect(demotionChecks([report], { ledgers: [ledger(0)], links: [] })).toMatchObject([
      { ok: true },
    ])
    expect(demotionChecks([report], { ledgers: [ledger(7)], links: [] })[0]?.text).toContain(
      'receive 7 more changes',
    )
    const [check] = demotionChecks([report], { ledgers: [ledger(7, 3)], links: [] })
    expect(check).toMatchObject({
      ok: false,
      text: expect.stringContaining('3 deletes for it are held'),
    })
  })

  it('tell what waits on purpose, and who is not asked since it is paused', () => {
    const report = { ...answering, standing: { role: 'replica', term: 0 }, owes: 0 } as const
    const links = [{ name: 'default', delayed: { count: 2, until: 0 } }]
    expect(demotionChecks([report], { ledgers: [ledger(2)], links })).toEqual([
      {
        ok: false,
        text: 'site-b answers, and lacks 2 changes for its apply_delay: comio repl release default sends them first',
      },
    ])
    for (const role of ['primary', 'replica'] as const) {
      expect(nobodyToAsk(role, [])).toMatchObject({ ok: false })
      expect(nobodyToAsk(role, ['site-b', 'site-c'])).toMatchObject({
        ok: false,
        text: expect.stringContaining('is paused (comio repl resume site-b)'),
      })
    }
  })
})
