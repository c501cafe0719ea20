import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { exampleStatus } from '../admin/example-status.ts'
import { withSite } from '../cli/fake-site.ts'
import { runComio, runHere, withFolder } from '../cli/run-comio.ts'

const statusPath = 'GET /admin/replication/status'
const replayPath = 'POST /admin/replication/replay'
const failedPath = 'GET /admin/replication/failed'
// Spaced and ordered as no serializer of ours would do it.
const statusText = `{ "site_id":"site-a",\n ${JSON.stringify(exampleStatus).slice(1)}`

describe('repl status', () => {
  test('prints a table of at most 80 columns with words and units', async () => {
    await withSite({ [statusPath]: { text: statusText } }, async (url) => {
      const { code, stdout, stderr } = await runHere(['repl', 'status', '--url', url])
      expect(code).toBe(0)
      expect(stderr).toBe('')
      expect(stdout).toContain('site site-a, 12 changes on the way')
      expect(stdout).toContain('12 changes, 3.4 MiB')
      for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
    })
  })

  test("--json prints the site's document as it came", async () => {
    await withSite({ [statusPath]: { text: statusText } }, async (url) => {
      const { stdout } = await runComio(['repl', 'status', '--json'], { env: { COMIO_URL: url } })
      expect(stdout).toBe(`${statusText}\n`)
    })
  })

  test('shows the token that a flag, a file or the environment names, in this order', async ({
    expect,
  }) => {
    await withFolder(async (cwd) => {
      await writeFile(join(cwd, 'token'), 'from-file\n')
      const env = { COMIO_TOKEN: 'from-env' }
      await withSite({ [statusPath]: { text: statusText } }, async (url, seen) => {
        const base = ['repl', 'status', '--url', url]
        for (const more of [['--token', 'from-flag'], ['--token-file', 'token'], []]) {
          await runComio([...base, ...more], { cwd, env })
        }
        expect(seen.map(({ authorization }) => authorization)).toEqual([
          'Bearer from-flag',
          'Bearer from-file',
          'Bearer from-env',
        ])
      })
    })
  })

  test('a refusal ends with 1 and says how to pass a token', async () => {
    const text = '{"error":{"code":"UNAUTHENTICATED","message":"a token is needed"}}'
    await withSite({ [statusPath]: { status: 401, text } }, async (url) => {
      const { code, stderr } = await runHere(['repl', 'status', '--url', url])
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /refuses: a token is needed\nhint: {2}.*COMIO_TOKEN.*\ncode: {2}UNAUTHENTICATED/,
      )
    })
  })

  test('nobody there ends with 3', async () => {
    const { code, stderr } = await runHere(['repl', 'status', '--url', 'http://127.0.0.1:1'])
    expect(code).toBe(3)
    expect(stderr).toContain('cannot reach a site at http://127.0.0.1:1')
  })
})

describe('repl replay', () => {
  const answer = { text: '{"count":3,"bytes":2048}' }

  test.each([
    [['--failed'], { failed: true, dry_run: false }],
    [['--from', '12'], { from: 12, dry_run: false }],
    [['--from', '0', '--remote', 'default'], { from: 0, remote: 'default', dry_run: false }],
    [['--all', '--dry-run'], { all: true, dry_run: true }],
  ])('%j asks for just that', async (args, body) => {
    await withSite({ [replayPath]: answer }, async (url, seen) => {
      const { code, stdout } = await runHere(['repl', 'replay', ...args, '--url', url])
      expect(code).toBe(0)
      expect(JSON.parse(seen[0]?.body ?? '')).toEqual(body)
      expect(stdout).toContain('3 changes, 2.0 KiB, ')
      expect(stdout.includes('nothing was done')).toBe(body.dry_run)
    })
  })

  test('--json prints the answer', async () => {
    await withSite({ [replayPath]: answer }, async (url) => {
      const { stdout } = await runHere(['repl', 'replay', '--all', '--json', '--url', url])
      expect(JSON.parse(stdout)).toEqual({ count: 3, bytes: 2048 })
    })
  })
})

describe('repl failed list', () => {
  const change = {
    remote: 'default',
    seq: 42,
    bucket: 'photos',
    key: 'a/\u001b[31mb.jpg',
    bytes: 5,
    reason: 'remote returned 400: no',
    attempts: 1,
    time: '2025-12-03T21:00:00.123Z',
  }

  test('shows each with its reason, and nothing that could move the cursor', async () => {
    const text = JSON.stringify({ failed: [change] })
    await withSite({ [failedPath]: { text } }, async (url) => {
      const { code, stdout } = await runHere(['repl', 'failed', 'list', '--url', url])
      expect(code).toBe(0)
      expect(stdout).toContain('42')
      expect(stdout).toContain('photos/a/')
      expect(stdout).toContain('comio repl replay --failed')
      expect(stdout).not.toContain('\u001b')
      for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
      const json = await runHere(['repl', 'failed', 'list', '--json', '--url', url])
      expect(JSON.parse(json.stdout)).toEqual({ failed: [change] })
    })
  })

  test('says so when there is none', async () => {
    await withSite({ [failedPath]: { text: '{"failed":[]}' } }, async (url) => {
      const { stdout } = await runHere(['repl', 'failed', 'list', '--url', url])
      expect(stdout).toBe('no change has failed\n')
    })
  })
})
