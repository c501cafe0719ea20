/** The walk-through of the original's documentation, line by line, but for paths, hosts and tokens. */
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { bytesOf } from './content.ts'
import { type Ended, runComio, runProgram } from './run-program.ts'
import { type SiteProcess, TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

const hasCurl = spawnSync('curl', ['--version']).status === 0
if (!hasCurl) process.stderr.write('the walk-through is skipped: curl is not on this machine\n')

const tokenOfB = '6f1c0e5a94f0426a8f1b1c9ad7c3e2b5d80f9b3e7a6c5d4e3f2a1b0c9d8e7f60'

function configOfA(remoteUrl: string): string {
  return `
server:
  site_id: site-a
replication:
  enabled: true
  mode: async
  remote_url: ${remoteUrl}
  remote_token: "${tokenOfB}"
  batch_size: 100
  batch_interval: 1s
  retry_attempts: 3
  retry_delay: 5s
`
}

const configOfB = `
replication:
  enabled: false
  accept_tokens: ["${tokenOfB}"]
`

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

async function curl(...args: readonly string[]): Promise<Ended> {
  const ended = await runProgram('curl', ['-sS', ...args], { cwd: bed.folder })
  expect(ended.stderr).toBe('')
  expect(ended.code).toBe(0)
  return ended
}

async function shell(script: string): Promise<Ended> {
  const ended = await runProgram('bash', ['-euc', script], { cwd: bed.folder })
  expect(ended.code, ended.stderr).toBe(0)
  return ended
}

async function expectArrival(url: string, bytes: Buffer): Promise<void> {
  await until(`${url} has the bytes`, async () => {
    const answer = await runProgram('curl', ['-sS', url])
    return answer.bytes.equals(bytes) ? true : new NotYet('other bytes')
  })
}

describe.skipIf(!hasCurl)('the walk-through', () => {
  test('two sites by config.yaml, files by curl, status, health and log', async () => {
    const b = await bed.site('b', { config: configOfB }).start()
    const a = await bed.site('a', { config: configOfA(b.url) }).start()
    const file = bytesOf(1, 100_000)
    await writeFile(bed.path('file.dat'), file)

    const header = 'Content-Type: application/octet-stream'
    const put = ['-X', 'PUT', `${a.url}/mybucket/myfile`, '-H', header]
    await curl('-f', ...put, '--data-binary', '@file.dat')
    await expectArrival(`${b.url}/mybucket/myfile`, file)
    const head = await curl('-I', `${b.url}/mybucket/myfile`)
    expect(head.stdout).toMatch(/^content-type: application\/octet-stream\r$/im)

    await shell(`for i in {1..25}; do
      dd if=/dev/urandom bs=1M count=1 2>/dev/null | tee file$i |
        curl -sS -f -X PUT ${a.url}/test/file$i --data-binary @-
    done`)
    await until('all are at B', async () => {
      const status = await statusByCurl(a)
      return status.pending === 0 ? status : new NotYet(status.pending)
    })
    for (const name of ['file1', 'file13', 'file25']) {
      await expectArrival(`${b.url}/test/${name}`, await readFile(bed.path(name)))
    }
    await expectUsualStatus(a)

    const health = await curl('-I', `${b.url}/admin/health`)
    expect(health.stdout).toMatch(/^HTTP\/1.1 200 OK\r$/m)
    await b.kill()
    await curl('-f', ...put, '--data-binary', '@file.dat')
    await a.statusWhen('A has noticed', ({ remotes }) => remotes[0]?.state === 'unreachable')
    const log = await shell(`grep -i replication ${a.logFile}`)
    expect(log.stdout).toContain('"component":"replication"')
    expect(log.stdout).toMatch(/"level":"warn".*unreachable/)
  })

  test('a site by flags starts at once, whatever the disk has and while the remote is away', async () => {
    const remote = ['--replication-enabled', '--replication-remote', 'https://site-b.invalid']
    const args = ['--size', '1TB', ...remote, '--replication-token', 'abc123...']
    const a = await bed.site('a', { args }).start()
    await writeFile(bed.path('file.dat'), 'one')
    await curl('-f', '-X', 'PUT', `${a.url}/mybucket/myfile`, '--data-binary', '@file.dat')
    const status = await a.statusWhen(
      'A has tried to reach B',
      ({ remotes }) => remotes[0]?.state === 'unreachable',
    )
    expect(status).toMatchObject({ enabled: true, events_failed: 0, last_replication: null })
    expect(status.pending).toBeGreaterThan(0)
    expect(status.remotes[0]?.last_error).toContain('host name is not known')
    const log = await a.log()
    expect(log).toMatch(/warning: .*token has 9 characters: use 32 or more/)
    expect(log).not.toContain('abc123')
    expect(await a.stop()).toBe(0)
  })
})

async function statusByCurl(site: SiteProcess): Promise<ReplicationStatusDocument> {
  const { stdout } = await curl(`${site.url}/admin/replication/status`)
  return JSON.parse(stdout) as ReplicationStatusDocument
}

/** The endpoint, `comio repl status` and its table say the same. */
async function expectUsualStatus(site: SiteProcess): Promise<void> {
  const status = await statusByCurl(site)
  // The first write into each of two buckets is a change of its own.
  expect(status).toMatchObject({
    enabled: true,
    events_queued: 28,
    events_replicated: 28,
    events_failed: 0,
    events_superseded: 0,
    lag_seconds: 0,
    last_replication: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*Z$/),
  })
  const json = await runComio(['repl', 'status', '--url', site.url, '--json'])
  expect({ ...json, stdout: '', bytes: undefined }).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(JSON.parse(json.stdout)).toMatchObject({ events_queued: 28, remotes: [{ state: 'idle' }] })
  const table = await runComio(['repl', 'status', '--url', site.url], { env: { COLUMNS: '80' } })
  expect(table.stdout).toContain('28')
  expect(Math.max(...table.stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
}
