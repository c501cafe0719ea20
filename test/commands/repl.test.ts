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
  const answer = { text: '{"count":3,"bytes":2048,"through":1535}' }

  test.each([
    [['--failed'], { failed: true, dry_run: false }],
    [['--from', '12'], { from: 12, dry_run: false }],
    [['--from', '0', '--remote', 'default'], { from: 0, remote: 'default', dry_run: false }],
    [['--all', '--dry-run'], { all: true, dry_run: true }],
    [['--since', '2h'], { since: '2h', dry_run: false }],
    [['--bucket', 'photos', '--prefix', 'a/'], { bucket: 'photos', prefix: 'a/', dry_run: false }],
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
      expect(JSON.parse(stdout)).toEqual({ count: 3, bytes: 2048, through: 1535 })
    })
  })

  test('--wait follows the replay on stderr until it is acknowledged', async () => {
    const [remote] = exampleStatus.remotes
    const statuses = [1535, 900, 1200, 1535].map((cursor, look) => {
      const through = { cursor, events_failed: look === 3 ? 24 : 23 }
      return JSON.stringify({ ...exampleStatus, remotes: [{ ...remote, ...through }] })
    })
    let looks = 0
    const status = {
      get text() {
        return statuses[Math.min(looks++, 3)] ?? ''
      },
    }
    await withSite({ [replayPath]: answer, [statusPath]: status }, async (url) => {
      const { code, stdout, stderr } = await runHere([
        'repl',
        'replay',
        '--all',
        '--wait',
        '--url',
        url,
      ])
      expect(code).toBe(0)
      expect(stdout).toMatch(/^3 changes, 2.0 KiB, sent again; done; 1 change failed meanwhile/)
      expect(stderr).toMatch(/^sending again \[\.+\] {3}0% of the way to seq [\d,]+ {2}12 waiting/)
      expect(looks).toBe(4)
    })
  })

  test('--wait says that a change was refused again, however soon that was', async () => {
    const [remote] = exampleStatus.remotes
    let failed = 23
    const status = {
      get text() {
        const remotes = [{ ...remote, cursor: 1535, events_failed: failed++ }]
        return JSON.stringify({ ...exampleStatus, remotes })
      },
    }
    await withSite({ [replayPath]: answer, [statusPath]: status }, async (url) => {
      const { stdout } = await runHere(['repl', 'replay', '--failed', '--wait', '--url', url])
      expect(stdout).toContain('1 change failed meanwhile: comio repl failed list')
      expect(stdout).not.toContain('all of it is acknowledged')
    })
  })

  test('--wait does not wait for deletes that are held, and says that they are', async () => {
    const [remote] = exampleStatus.remotes
    const held = { cursor: 900, pending_events: 4, replaying: 0, held_deletes: 4 }
    const text = JSON.stringify({ ...exampleStatus, remotes: [{ ...remote, ...held }] })
    await withSite({ [replayPath]: answer, [statusPath]: { text } }, async (url) => {
      const { code, stdout } = await runHere(['repl', 'replay', '--all', '--wait', '--url', url])
      expect(code).toBe(0)
      expect(stdout).toMatch(/4 deletes held, since a limit was reached: comio repl release/)
    })
  })

  test.each([
    [['--prefix', 'a/', '--all']],
    [['--failed', '--all']],
    [['--all', '--dry-run', '--wait']],
    [[]],
  ])('%j ends with 2 and asks for nothing', async (args) => {
    await withSite({ [replayPath]: answer }, async (url, seen) => {
      expect((await runHere(['repl', 'replay', ...args, '--url', url])).code).toBe(2)
      expect(seen).toEqual([])
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

describe('repl verify', () => {
  const path = '/admin/replication/verify'
  const result = {
    remote: 'default',
    verdict: 'equal',
    reason: null,
    up_to: 1200,
    checked_at: '2025-12-03T21:00:02.000Z',
    differences: 0,
    waiting: 0,
    started_at: '2025-12-03T21:00:00.000Z',
    compared: 1_000_000,
    objects_read: 0,
    bytes_read: 0,
    bytes_exchanged: 55_000,
    repaired: 0,
    repair_problem: null,
    kinds: {},
    listed: [],
  }
  const documentOf = (...results: readonly object[]): { readonly text: string } => ({
    text: JSON.stringify({ id: 1, running: null, results }),
  })

  test('says up to where and when both are equal, and ends with 0', async () => {
    await withSite({ [`POST ${path}`]: documentOf(result) }, async (url, seen) => {
      const args = ['repl', 'verify', '--bucket', 'docs', '--deep', '--url', url]
      const { code, stdout, stderr } = await runHere(args)
      expect([code, stderr]).toEqual([0, ''])
      expect(JSON.parse(seen[0]?.body ?? '')).toEqual({ bucket: 'docs', deep: true, repair: false })
      expect(stdout).toContain(
        ', bucket docs: equal up to seq 1,200, checked at 2025-12-03T21:00:02.000Z',
      )
      expect(stdout).toContain('1,000,000, in 2.0 s')
    })
  })

  test('waits for the end, lists what differs by kind, and ends with 1', async () => {
    const progress = { remote: 'default', phase: 'comparing', compared: 5, objects_read: 0 }
    const running = { ...progress, bytes_read: 0, differences: 0 }
    const begun = { text: JSON.stringify({ id: 1, running, results: [] }) }
    const listed = [
      {
        kind: 'missing-there',
        what: 'object',
        bucket: 'b',
        key: 'a/\u001b',
        here: 'x',
        there: null,
      },
      { kind: 'newer-there', what: 'purge', bucket: 'b', key: null, here: 'x', there: 'y' },
    ]
    const different = { ...result, verdict: 'different', differences: 3, listed }
    const answers = { [`POST ${path}`]: begun, [`GET ${path}`]: documentOf(different) }
    await withSite(answers, async (url) => {
      const { code, stdout } = await runHere(['repl', 'verify', '--url', url])
      expect(code).toBe(1)
      expect(stdout).toContain('different, 3 differences')
      expect(stdout).toContain('missing there object    b/a/')
      expect(stdout).toContain('newer there   purge     b\n')
      expect(stdout).toContain('and 1 more')
      expect(stdout).not.toContain('\u001b')
    })
  })

  test('ends with 1 when it is not known, and says why', async () => {
    const unknown = { ...result, verdict: 'unknown', reason: 'cannot reach http://b' }
    await withSite({ [`POST ${path}`]: documentOf(unknown) }, async (url) => {
      const { code, stdout } = await runHere(['repl', 'verify', '--url', url])
      expect(code).toBe(1)
      expect(stdout).toContain('unknown')
      expect(stdout).toContain('cannot reach http://b')
    })
  })
})

describe('repl failed show', () => {
  const detail = {
    remote: 'default',
    seq: 42,
    bucket: 'photos',
    key: 'a.jpg',
    bytes: 5,
    reason:
      'remote returned 400: its bytes do not have the hash that it announced (CONTENT_MISMATCH)',
    attempts: 1,
    time: '2025-12-03T21:00:00.123Z',
    about: 'object',
    version: '0193-site-a',
    version_site: 'site-a',
    version_time: '2025-12-03T20:00:00.000Z',
    current: {
      version: '0193-site-a',
      bytes: 5,
      etag: 'abc',
      last_modified: '2025-12-03T20:00:00.000Z',
      content_type: 'image/jpeg',
    },
    there: {
      ...{ state: 'object', version: null, reason: null },
      object: {
        version: '0192-site-b',
        bytes: 7,
        etag: 'def',
        last_modified: '2025-12-02T20:00:00.000Z',
        content_type: null,
      },
    },
  }

  test('tells what was refused, what is here now, what the reason means and what helps', async () => {
    const answers = { [`${failedPath}/42`]: { text: JSON.stringify({ failed: [detail] }) } }
    await withSite(answers, async (url) => {
      const { code, stdout } = await runHere(['repl', 'failed', 'show', '42', '--url', url])
      expect(code).toBe(0)
      const text = stdout.replaceAll(/[│\s]+/g, ' ')
      expect(text).toContain('object photos/a.jpg')
      expect(text).toContain('made at site-a, 2025-12-03 20:00:00Z')
      expect(text).toContain('the same version, 5 B, etag abc')
      expect(text).toContain('version 0192-site-b, 7 B, etag def, written 2025-12-02 20:00:00Z')
      expect(text).toContain('they were changed on the way, or here')
      expect(text).toContain('comio repl failed retry 42')
      for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
    })
  })

  test('of a deleted object says so, and shows no remote another one was asked for', async () => {
    const there = { state: 'unknown', object: null, version: null, reason: 'cannot reach it' }
    const gone = { ...detail, current: null, there }
    const answers = { [`${failedPath}/42?remote=b`]: { text: JSON.stringify({ failed: [gone] }) } }
    await withSite(answers, async (url) => {
      const args = ['repl', 'failed', 'show', '42', '--remote', 'b', '--url', url]
      const { stdout } = await runHere(args)
      expect(stdout).toContain('that it was deleted')
      expect(stdout).toContain('not known: cannot reach it')
      expect(JSON.parse((await runHere([...args, '--json'])).stdout)).toEqual({ failed: [gone] })
    })
  })
})

describe.each([
  ['retry', 'queued again'],
  ['discard', 'discarded'],
])('repl failed %s', (what, done) => {
  const path = `POST /admin/replication/failed/${what}`
  const answers = { [path]: { text: '{"count":2,"bytes":2048}' } }

  test.each([
    [['7', '9'], { seqs: [7, 9] }],
    [['--all', '--remote', 'b'], { all: true, remote: 'b' }],
  ])('%j is about just that', async (args, body) => {
    await withSite(answers, async (url, seen) => {
      const { code, stdout } = await runHere(['repl', 'failed', what, ...args, '--url', url])
      expect(code).toBe(0)
      expect(JSON.parse(seen[0]?.body ?? '')).toEqual(body)
      expect(stdout).toContain(`2 changes, 2.0 KiB, ${done}`)
    })
  })

  test.each([[[]], [['7', '--all']], [['x']], [['0']], [['1.5']]])(
    '%j ends with 2 and does nothing',
    async (args) => {
      await withSite(answers, async (url, seen) => {
        expect((await runHere(['repl', 'failed', what, ...args, '--url', url])).code).toBe(2)
        expect(seen).toEqual([])
      })
    },
  )
})

describe('repl promote and repl demote', () => {
  const rolePath = 'POST /admin/replication/role'
  const answer = (changes: object): string =>
    JSON.stringify({ role: 'replica', term: 1, outcome: 'changed', checks: [], ...changes })

  test('print what was looked at and what became of it', async () => {
    const checks = [{ ok: true, text: 'site-b answers and has everything' }]
    await withSite({ [rolePath]: { text: answer({ checks }) } }, async (url, seen) => {
      const { code, stdout, stderr } = await runHere(['repl', 'demote', '--url', url])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toMatch(/^ok {2}site-b answers and has everything\nthis site is a replica now/)
      expect(JSON.parse(seen[0]?.body ?? '')).toEqual({
        role: 'replica',
        force: false,
        dry_run: false,
      })
    })
  })

  test('end with 1 when a check speaks against it, and say what goes on all the same', async () => {
    const checks = [{ ok: false, text: 'site-a answers and is the primary' }]
    const text = answer({ outcome: 'refused', checks })
    await withSite({ [rolePath]: { text } }, async (url) => {
      const { code, stdout } = await runHere(['repl', 'promote', '--url', url])
      expect(code).toBe(1)
      expect(stdout).toMatch(/^NO {2}site-a answers.*\nthis site stays a replica; --force/)
    })
  })

  test('pass --force and --dry-run on', async () => {
    const text = answer({ outcome: 'planned' })
    await withSite({ [rolePath]: { text } }, async (url, seen) => {
      const { code, stdout } = await runHere([
        ...['repl', 'promote', '--url', url, '--force', '--dry-run', '--json'],
      ])
      expect(code).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ outcome: 'planned' })
      expect(JSON.parse(seen[0]?.body ?? '')).toMatchObject({ force: true, dry_run: true })
    })
  })
})

describe('a number that cannot be one', () => {
  test.each([
    [['conflicts', 'show', '0']],
    [['conflicts', 'show', '9'.repeat(16)]],
    [['conflicts', 'resolve', 'x', '--keep', 'loser']],
    [['failed', 'show', '1e3']],
    [['failed', 'show', '-1']],
  ])('%j is a mistake of usage, and nobody is asked', async (args) => {
    await withSite({}, async (url, seen) => {
      const { code, stderr } = await runHere(['repl', ...args, '--url', url])
      expect(code).toBe(2)
      expect(stderr).toContain('code:  USAGE')
      expect(seen).toEqual([])
    })
  })
})

describe('repl remotes', () => {
  const remotesPath = '/admin/replication/remotes'
  // As a site answers that tells no settings yet.
  const remote = {
    name: 'site-b',
    urls: ['http://127.0.0.1:9'],
    source: 'added',
    paused: false,
    epoch: 1,
    buckets: [],
    exclude_buckets: [],
    prefixes: [],
    exclude_prefixes: [],
  }
  const listOf = (...names: readonly string[]): { readonly text: string } => ({
    text: JSON.stringify({ remotes: names.map((name) => ({ ...remote, name })) }),
  })

  test('are listed also by a site that tells no settings of their own', async () => {
    await withSite({ [`GET ${remotesPath}`]: listOf('site-b') }, async (url) => {
      const { code, stdout, stderr } = await runHere(['repl', 'remote', 'list', '--url', url])
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toContain('site-b')
    })
  })

  test.each([
    ['pause', ['site-b'], 'site-b'],
    ['resume', ['site-b'], 'site-b'],
    ['pause', ['default', 'site-b'], 'default'],
  ])('%s without a name, of %j, is about %s', async (verb, names, chosen) => {
    const answers = {
      [`GET ${remotesPath}`]: listOf(...names),
      [`POST ${remotesPath}/${chosen}/${verb}`]: { text: JSON.stringify(remote) },
    }
    await withSite(answers, async (url) => {
      expect((await runHere(['repl', verb, '--url', url])).code).toBe(0)
    })
  })

  test.each([[['site-b', 'site-c']], [[]]])(
    'pause without a name, of %j, is a mistake of usage and pauses nothing',
    async (names) => {
      await withSite({ [`GET ${remotesPath}`]: listOf(...names) }, async (url, seen) => {
        const { code, stderr } = await runHere(['repl', 'pause', '--url', url])
        expect(code).toBe(2)
        for (const name of names) expect(stderr).toContain(name)
        expect(seen.map(({ method }) => method)).toEqual(['GET'])
      })
    },
  )

  test('set with nothing to change is a mistake of usage, and nobody is asked', async () => {
    await withSite({}, async (url, seen) => {
      const { code, stderr } = await runHere(['repl', 'remote', 'set', 'site-b', '--url', url])
      expect(code).toBe(2)
      expect(stderr).toContain('nothing is said that should be changed')
      expect(seen).toEqual([])
    })
  })
})
