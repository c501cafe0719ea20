import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { DemoFolder } from '../../src/demo/demo-folder.ts'
import { Reaper } from '../../src/demo/reaper.ts'
import { SiteProcess } from '../../src/demo/site-process.ts'

const fakeComio = fileURLToPath(new URL('./fake-comio.js', import.meta.url))
const doomedDemo = fileURLToPath(new URL('./doomed-demo.ts', import.meta.url))

let folder: DemoFolder
let reaper: Reaper
let site: SiteProcess

beforeEach(async () => {
  folder = await DemoFolder.make()
  reaper = Reaper.start(folder.path)
  site = new SiteProcess({ site: 'B', binPath: fakeComio, folder, reaper })
  await folder.writeConfigB(0)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await site.kill()
  await folder.remove()
  await reaper.dismiss()
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('SiteProcess', () => {
  test('is started when the site says that it listens, and answers at its address', async () => {
    await site.start()
    const answer = await fetch(site.url)
    expect(Number(await answer.text())).toBe(site.pid)
    expect(site.port).toBe(Number(new URL(site.url).port))
  })

  test('after a kill it can be started again, with the address of the second start', async () => {
    await site.start()
    const { pid } = site
    await site.kill()
    expect(isAlive(pid)).toBe(false)
    await site.start()
    expect(site.pid).not.toBe(pid)
    expect(Number(await (await fetch(site.url)).text())).toBe(site.pid)
  })

  test('stops when asked to', async () => {
    await site.start()
    const { pid } = site
    await site.stop()
    expect(isAlive(pid)).toBe(false)
  })

  test('a site that does not start is an error with its last words', async () => {
    vi.spyOn(folder, 'configFile').mockReturnValue('/broken.yaml')
    await expect(site.start()).rejects.toMatchObject({
      code: 'DEMO_FAILED',
      message: expect.stringContaining('the volume is locked'),
    })
  })

  test('settings from the surroundings do not reach the site', async () => {
    vi.stubEnv('COMIO_SERVER_PORT', '1')
    await site.start()
    expect(await readFile(folder.logFile('B'), 'utf8')).toContain('"leaked":[]')
  })
})

describe('DemoFolder', () => {
  test('nobody else may enter it, and its files are for their owner alone', async () => {
    expect((await stat(folder.path)).mode & 0o777).toBe(0o700)
    for (const file of [folder.adminTokenFile, folder.curlHeaderFile, folder.configFile('B')]) {
      expect((await stat(file)).mode & 0o777).toBe(0o600)
    }
  })

  test('A ships to B with a token that B accepts', async () => {
    await folder.writeConfigA(0, 'http://127.0.0.1:1')
    const a = parse(await readFile(folder.configFile('A'), 'utf8'))
    const b = parse(await readFile(folder.configFile('B'), 'utf8'))
    expect(a.replication.remote_url).toBe('http://127.0.0.1:1')
    expect(b.replication.accept_tokens).toEqual([a.replication.remote_token])
    expect(a.replication.remote_token).toMatch(/^[0-9a-f]{64}$/)
    expect(a.server.storage_path).not.toBe(b.server.storage_path)
  })
})

describe('Reaper', () => {
  test('ends the site and removes the folder when the demo is killed', async () => {
    const demo = spawn(process.execPath, [doomedDemo, fakeComio], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = await once(createInterface({ input: demo.stdout }), 'line')
    const left: { folder: string; pid: number } = JSON.parse(String(line))
    expect(isAlive(left.pid)).toBe(true)
    demo.kill('SIGKILL')
    await vi.waitUntil(() => !isAlive(left.pid) && !existsSync(left.folder), { timeout: 60_000 })
  })

  test('touches nothing once it is dismissed', async () => {
    await site.start()
    await reaper.dismiss()
    expect(isAlive(site.pid)).toBe(true)
    expect(existsSync(folder.path)).toBe(true)
  })
})
