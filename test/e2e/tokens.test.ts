import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runComio } from './run-program.ts'
import { TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

const rightToken = 'right-token-c0ffee00c0ffee00c0ffee00c0ffee00'
const otherToken = 'other-token-deadbeefdeadbeefdeadbeefdeadbeef'
const adminToken = 'admin-token-00112233445566778899aabbccddeeff'
const secrets = [rightToken, otherToken, adminToken]

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

function shippingTo(url: string): readonly string[] {
  return ['--replication-enabled', '--replication-remote', url, '--replication-token', rightToken]
}

const accepting = (token: string) => ({ args: ['--replication-accept-token', token] })

describe('a wrong token', () => {
  test('is refused in words, loses nothing, and all arrives once it is accepted', async () => {
    const b = await bed.site('b', accepting(otherToken)).start()
    const a = await bed.site('a', { args: shippingTo(b.url) }).start()
    for (let i = 0; i < 50; i++) await a.put(`/docs/${i}`, `object ${i}`)
    const refused = await a.statusWhen('B refuses', ({ remotes }) =>
      remotes.some(({ state }) => state === 'refused'),
    )
    expect(refused).toMatchObject({ pending: 51, events_failed: 0, events_replicated: 0 })
    expect(refused.remotes[0]?.last_error).toMatch(/401.*none that this site knows/)
    const health = await a.json('GET', '/admin/health')
    expect(health).toMatchObject({
      status: 'degraded',
      reasons: [expect.stringMatching(/^remote default refuses replication since /)],
    })
    expect((await b.send('GET', '/docs/1')).status).toBe(404)

    const table = await runComio(['repl', 'status', '--url', a.url])
    expect(table.stdout).toContain('refused')
    await b.stop()
    await b.start(accepting(rightToken))
    const done = await a.shipped()
    expect(done).toMatchObject({ events_replicated: 51, events_failed: 0 })
    expect((await b.send('GET', '/docs/49')).body.toString()).toBe('object 49')

    const said = [await a.log(), await b.log(), JSON.stringify([refused, done, health])].join('')
    for (const secret of secrets) expect(said + table.stdout).not.toContain(secret)
  })

  test('is answered with 401 before the body is read, and so is none', async () => {
    const b = await bed.site('b', accepting(rightToken)).start()
    for (const endpoint of ['batch', 'handshake', 'completions']) {
      // Were the body read, this would wait for bytes that never come.
      const body = new ReadableStream({
        start: (controller) => controller.enqueue(Buffer.alloc(9)),
      })
      const headers = { authorization: `Bearer ${otherToken}`, 'content-length': '4096' }
      const path = `/admin/replication/${endpoint}`
      const answer = await fetch(b.url + path, { method: 'POST', headers, body, duplex: 'half' })
      expect(answer.status).toBe(401)
      expect(await answer.json()).toMatchObject({ error: { code: 'UNAUTHENTICATED' } })
      expect((await b.send('POST', path)).status).toBe(401)
    }
  })

  test('without any configured is 403, and the answer names the flag', async () => {
    const b = await bed.site('b').start()
    const a = await bed.site('a', { args: shippingTo(b.url) }).start()
    await a.put('/docs/one', 'one')
    const answer = await b.send('POST', '/admin/replication/handshake', {
      headers: { authorization: `Bearer ${rightToken}` },
    })
    expect(answer.status).toBe(403)
    expect(answer.body.toString()).toContain('--replication-accept-token')
    const status = await a.statusWhen('B refuses', ({ remotes }) =>
      remotes.some(({ state }) => state === 'refused'),
    )
    expect(status.remotes[0]?.last_error).toMatch(/403.*accepts no replication/)
    expect(status.pending).toBe(2)
  })
})

describe('a rotation in the middle of writing', () => {
  test('needs a SIGHUP and a file, no restart, and loses nothing', async () => {
    const settings = (token: string) => ({ replication: { accept_tokens: [token] } })
    const b = await bed.site('b', { config: settings(otherToken) }).start()
    const file = bed.path('remote.token')
    await writeFile(file, otherToken)
    const remote = {
      enabled: true,
      remote_url: b.url,
      remote_token_file: file,
      retry_delay: '300ms',
    }
    const a = await bed.site('a', { config: { replication: remote } }).start()
    const { pid } = b
    for (let i = 0; i < 40; i++) {
      await a.put(`/docs/${i}`, `object ${i}`)
      if (i !== 20) continue
      await writeFile(b.configFile, JSON.stringify(settings(rightToken)))
      process.kill(pid, 'SIGHUP')
      await writeFile(file, rightToken)
    }
    const done = await a.shipped()
    expect(done).toMatchObject({ events_replicated: 41, events_failed: 0 })
    expect(b.pid).toBe(pid)
    await until('B has reloaded', async () =>
      (await b.log()).includes('were reloaded') ? true : new NotYet('no word of it'),
    )
    const old = await b.send('POST', '/admin/replication/handshake', {
      headers: { authorization: `Bearer ${otherToken}` },
    })
    expect(old.status).toBe(401)
    expect((await b.send('GET', '/docs/39')).body.toString()).toBe('object 39')
  })
})

describe('secrets', () => {
  test('do not show in config show, nor in the log at its most talkative, nor in any answer', async () => {
    const config = {
      server: { site_id: 'site-b' },
      logging: { level: 'debug' },
      auth: { tokens: [{ name: 'root', role: 'admin', token: adminToken }] },
      replication: { accept_tokens: [rightToken], remote_token: otherToken },
    }
    const b = await bed.site('b', { config }).start()
    const headers = { authorization: `Bearer ${adminToken}` }
    const answers = [
      await b.send('PUT', '/docs/one', { headers, body: 'one' }),
      await b.send('PUT', `/docs/two?token=${rightToken}`, { headers, body: 'two' }),
      await b.send('GET', '/admin/replication/status', { headers }),
      await b.send('GET', '/admin/metrics', { headers }),
      await b.send('GET', '/docs/one', { headers: { authorization: `Bearer ${otherToken}` } }),
      await b.send('POST', '/admin/replication/batch', { headers }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 401, 403])
    const shown = await runComio(['config', 'show', '--config', b.configFile])
    expect(shown.code).toBe(0)
    const json = await runComio(['config', 'show', '--json', '--config', b.configFile])
    const said = [
      ...answers.map(({ body }) => body.toString()),
      await b.log(),
      shown.stdout + shown.stderr,
      json.stdout + json.stderr,
    ]
    for (const secret of secrets) expect(said.join('')).not.toContain(secret)
  })
})
