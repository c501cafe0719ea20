/**
 * A site on a real file system that becomes full: because of the site itself, and because of somebody
 * else. Mounting needs root; where that is refused the reason is printed, and what remains is the
 * simulated disk (`test/crash/crash-seeds.test.ts`), whose every call may find no space.
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bytesOf } from '../e2e/content.ts'
import { type SiteProcess, TestBed } from '../e2e/site-process.ts'
import { NotYet, until } from '../e2e/until.ts'
import { takeTheRest } from '../small-disk.ts'

const mib = 2 ** 20
const diskBytes = 96 * mib
const objectBytes = 300_000

let bed: TestBed
let mounted: string | undefined

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(async () => {
  if (mounted !== undefined) spawnSync('umount', ['-l', mounted])
  mounted = undefined
  await bed.remove()
})

/** Mounts a small file system where site `a` has its storage; a reason when this machine does not. */
async function mount(kind: 'tmpfs' | 'ext4'): Promise<string | undefined> {
  const path = bed.path('data-a')
  await fs.mkdir(path)
  const run = (command: string, ...args: readonly string[]): string | undefined => {
    const { status, stderr, error } = spawnSync(command, args)
    return status === 0 ? undefined : `${command}: ${error?.message ?? stderr.toString().trim()}`
  }
  if (kind === 'tmpfs') {
    const reason = run('mount', '-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', path)
    if (reason === undefined) mounted = path
    return reason
  }
  const image = bed.path('disk.img')
  await fs.writeFile(image, '')
  await fs.truncate(image, diskBytes)
  const reason = run('mkfs.ext4', '-q', image) ?? run('mount', '-o', 'loop', image, path)
  if (reason !== undefined) return reason
  mounted = path
  await fs.rmdir(join(path, 'lost+found'))
  return undefined
}

/** Writes until the site says that it is full; returns how many objects it has taken. */
async function fill(site: SiteProcess): Promise<number> {
  for (let i = 0; i < 2000; i++) {
    const { status } = await site.send('PUT', `/full/${i}`, { body: bytesOf(i, objectBytes) })
    if (status === 507) return i
    expect(status).toBe(200)
  }
  throw new Error('the site takes more than there is room for')
}

async function expectThere(site: SiteProcess, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    const { status, body } = await site.send('GET', `/full/${i}`)
    expect(status, `object ${i}`).toBe(200)
    expect(body.equals(bytesOf(i, objectBytes)), `object ${i}`).toBe(true)
  }
}

/** Deletes some of what is there; the statuses that were answered, each once. */
async function deleteEach(site: SiteProcess, from: number, to: number): Promise<readonly number[]> {
  const statuses = new Set<number>()
  for (let i = from; i < to; i++) {
    statuses.add((await site.send('DELETE', `/full/${i}`)).status)
  }
  return [...statuses]
}

async function writesAgain(site: SiteProcess): Promise<void> {
  await until('there is room', async () => {
    const { status } = await site.send('PUT', '/full/0', { body: bytesOf(0, objectBytes) })
    return status === 200 ? true : new NotYet(status)
  })
}

test.each(['tmpfs', 'ext4'] as const)(
  'on %s, a site that fills its disk answers 507, loses nothing and goes on when there is room',
  async (kind) => {
    const reason = await mount(kind)
    if (reason !== undefined) {
      process.stderr.write(`a full ${kind} is skipped: ${reason}\n`)
      return
    }
    const site = await bed.site('a').start()
    const taken = await fill(site)
    expect(taken).toBeGreaterThan(80)
    await expectThere(site, 0, taken)
    await site.kill()
    await site.start()
    await expectThere(site, 0, taken)
    for (let i = 0; i < taken / 2; i++) {
      expect((await site.send('DELETE', `/full/${i}`)).status).toBe(204)
    }
    await writesAgain(site)
    await expectThere(site, Math.ceil(taken / 2), taken)
    expect(await site.stop()).toBe(0)
  },
)

test.each(['tmpfs', 'ext4'] as const)(
  'on %s, a site whose disk somebody else fills takes deletes and purges, and writes without a restart when there is room',
  async (kind) => {
    const reason = await mount(kind)
    if (reason !== undefined) {
      process.stderr.write(`a ${kind} that somebody else fills is skipped: ${reason}\n`)
      return
    }
    const site = await bed.site('a').start()
    for (let i = 0; i < 20; i++) await site.put(`/full/${i}`, bytesOf(i, objectBytes))
    for (let i = 0; i < 20; i++) await site.put(`/purged/${i}`, bytesOf(i, objectBytes))
    const giveBack = await takeTheRest(site.storage)
    // What is taken now fits into what the site has made ahead; the rest is refused.
    let taken = 20
    for (; taken < 400; taken++) {
      const body = bytesOf(taken, objectBytes)
      const { status } = await site.send('PUT', `/full/${taken}`, { body })
      expect([200, 507]).toContain(status)
      if (status === 507) break
    }
    expect(taken).toBeLessThan(400)
    await expectThere(site, 0, taken)
    // Out of the reserve of the index.
    expect(await deleteEach(site, 0, 10)).toEqual([204])
    await site.json('DELETE', '/admin/purged/objects?confirm=true')
    expect((await site.send('GET', '/purged/0')).status).toBe(404)
    // What the site gives back, and what is left of that reserve, somebody else takes as well.
    await takeTheRest(site.storage)
    expect((await site.send('PUT', '/full/0', { body: Buffer.alloc(9) })).status).toBe(507)
    for (const status of await deleteEach(site, 10, 15)) expect([204, 507]).toContain(status)
    await expectThere(site, 15, taken)
    await giveBack()
    await writesAgain(site)
    expect(await deleteEach(site, 10, 15)).toEqual([204])
    await expectThere(site, 15, taken)
    await site.kill()
    await site.start()
    await expectThere(site, 15, taken)
    expect((await site.send('GET', '/full/14')).status).toBe(404)
    expect(await site.stop()).toBe(0)
  },
)
