/** How a site starts, how it refuses to, and how it ends. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bytesOf } from './content.ts'
import { binPath, type Ended, runComio, runProgram } from './run-program.ts'
import { TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

function serve(...args: readonly string[]): Promise<Ended> {
  return runComio(['server', ...args], { cwd: bed.folder })
}

/** Exit code 2, one clear line, and no stack trace. */
function expectRefusal(ended: Ended, message: RegExp): void {
  expect(ended.code, ended.stderr).toBe(2)
  expect(ended.stderr).toMatch(message)
  expect(ended.stderr).not.toMatch(/^ +at /m)
  expect(ended.stdout).not.toContain('"listening"')
}

describe('a site that cannot start says why, with exit code 2', () => {
  test('a port in use', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    try {
      const { port } = other.address() as AddressInfo
      const ended = await serve('--port', String(port))
      expectRefusal(ended, new RegExp(`^error: port ${port} on 127.0.0.1 is in use`))
      expect(await readdir(bed.folder)).toEqual([])
    } finally {
      other.close()
    }
  })

  test('a storage path with something else in it, which stays as it was', async () => {
    await mkdir(bed.path('pictures'))
    await writeFile(bed.path('pictures/holiday.jpg'), 'x')
    const ended = await serve('--port', '0', '--storage', 'pictures')
    expectRefusal(ended, /^error: .*pictures is no ComIO volume, and it is not empty\n/)
    expect(await readdir(bed.path('pictures'))).toEqual(['holiday.jpg'])
  })

  test('a file with something else in it, which stays as it was', async () => {
    await writeFile(bed.path('image'), 'x')
    const ended = await serve('--port', '0', '--storage', 'image')
    expectRefusal(ended, /^error: .*image is no ComIO volume: it has data .*--force-format/s)
    expect(await readFile(bed.path('image'), 'utf8')).toBe('x')
  })

  test.skipIf(process.getuid?.() === 0)('a storage path without permission', async () => {
    await mkdir(bed.path('closed'))
    await chmod(bed.path('closed'), 0)
    const ended = await serve('--port', '0', '--storage', 'closed')
    expectRefusal(ended, /^error: no permission to use /)
  })

  test('a volume that another process has, which it names', async () => {
    const site = await bed.site('a').start()
    const ended = await serve('--port', '0', '--storage', site.storage)
    expectRefusal(ended, new RegExp(`^error: volume \\w+ is in use by process ${site.pid}\n`))
    expect((await site.send('GET', '/admin/health')).status).toBe(200)
  })

  test('an address for everybody without tokens', async () => {
    const ended = await serve('--port', '0', '--host', '0.0.0.0')
    expectRefusal(ended, /auth\.tokens is empty.*--allow-anonymous/)
  })

  test('replication from an address that nobody can call back', async () => {
    const remote = ['--replication-enabled', '--replication-remote', 'https://b.example.com']
    const ended = await serve('--port', '0', '--host', '0.0.0.0', '--allow-anonymous', ...remote)
    expectRefusal(ended, /set --advertise-url URL/)
  })

  test('a wrong file, with the line', async () => {
    await writeFile(bed.path('config.yaml'), 'server:\n  port: 8080\n  storage_pth: x\n')
    const ended = await serve()
    expectRefusal(ended, /config\.yaml:3.*storage_pth.*storage_path/)
  })

  test('a mode that there is not', async () => {
    await writeFile(bed.path('config.yaml'), 'replication:\n  mode: quick\n')
    expectRefusal(await serve(), /config\.yaml:2.*mode.*async.*sync/)
  })

  const oldNode = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
    const { status, stdout } = spawnSync(path, ['-p', 'process.versions.node'])
    return status === 0 && Number(stdout.toString().split('.')[0]) < 24
  })

  test.skipIf(oldNode === undefined)('an old Node', async () => {
    const ended = await runProgram(oldNode ?? '', [binPath, 'server'], { cwd: bed.folder })
    expectRefusal(ended, /^comio needs Node\.js 24 or newer, and this is [^\n]*\n$/)
  })
})

const fullFile = '/dev/full'

test.skipIf(!existsSync(fullFile))('a site whose log has no room goes on serving', async () => {
  const before = await bed.site('a').start()
  const { url, storage } = before
  await before.stop()
  const log = await open(fullFile, 'a')
  const args = [binPath, 'server', '--storage', storage, '--port', new URL(url).port]
  const site = spawn(process.execPath, args, { stdio: ['ignore', log.fd, 'ignore'] })
  bed.watch(site)
  const ended = once(site, 'exit')
  try {
    await until('it serves', async () => {
      const health = await fetch(`${url}/admin/health`).catch((error: unknown) => String(error))
      return typeof health !== 'string' && health.ok ? true : new NotYet(site.exitCode ?? health)
    })
    const put = await fetch(`${url}/docs/one`, { method: 'PUT', body: 'one' })
    expect(put.status).toBe(200)
    site.kill()
    expect(await ended).toEqual([0, null])
  } finally {
    site.kill('SIGKILL')
    await log.close()
  }
})

describe('a site that is asked to stop', () => {
  test('lets an upload under way finish, answers it, and ends with 0', async () => {
    const site = await bed.site('a').start()
    const bytes = bytesOf(1, 3 * 2 ** 20)
    const half = bytes.length / 2
    const upload = request(`${site.url}/docs/upload`, {
      method: 'PUT',
      headers: { 'content-length': bytes.length, expect: '100-continue' },
    })
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      upload.on('response', resolve).on('error', reject)
    })
    answered.catch(() => undefined) // it is awaited below, and may fail before
    // Whoever is told to go on is being served: a connection that nobody has taken yet is not waited for.
    await Promise.race([once(upload, 'continue'), answered])
    await new Promise((resolve) => upload.write(bytes.subarray(0, half), resolve))
    const stopped = site.stop()
    await until('the site shuts down', async () =>
      (await site.log()).includes('"Shutting down"') ? true : new NotYet('not yet'),
    )
    // Each of its threads ends its own listening: the last may still take a connection, to answer 503.
    await until('nobody can connect any more', async () => {
      const answer = await fetch(`${site.url}/admin/health`).catch((error: unknown) =>
        String(error),
      )
      return typeof answer === 'string' ? true : new NotYet(answer.status)
    })
    upload.end(bytes.subarray(half))
    const response = await answered
    expect(response.statusCode).toBe(200)
    await buffer(response)
    expect(await stopped).toBe(0)
    await site.start()
    expect((await site.send('GET', '/docs/upload')).body.equals(bytes)).toBe(true)
  })

  test('by Ctrl-C ends with 0, too', async () => {
    const site = await bed.site('a').start()
    await site.put('/docs/one', 'one')
    expect(await site.signal('SIGINT')).toBe(0)
  })
})
