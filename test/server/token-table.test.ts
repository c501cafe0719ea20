import { hash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import type { AcceptedToken, AuthToken } from '../../src/config/tokens.ts'
import { FolderFiles } from '../../src/device/small-files.ts'
import { AccessControl } from '../../src/server/credentials/access.ts'
import { RevokedTokens } from '../../src/server/credentials/revoked-tokens.ts'
import { SiteTokens } from '../../src/server/credentials/token-control.ts'
import { ManualClock } from '../replication/manual-clock.ts'

const digestOf = (token: string): string => hash('sha256', token, 'hex')
const day = 86_400_000

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'comio-tokens-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function siteWith(tokens: readonly AuthToken[], acceptTokens: readonly AcceptedToken[] = []) {
  const clock = new ManualClock()
  const revoked = await RevokedTokens.open(new FolderFiles(folder))
  const warnings: string[] = []
  const logger = { ...silentLogger, warn: (_: object, text: string) => void warnings.push(text) }
  const access = new AccessControl({
    ...{ loopback: true, allowAnonymous: false, tokens, acceptTokens, clock },
    revocations: revoked,
  })
  const control = new SiteTokens({ table: access.tokens, revoked, clock, logger })
  const bearing = (token: string) =>
    ({ headers: { authorization: `Bearer ${token}` } }) as IncomingMessage
  return {
    ...{ clock, access, control, warnings },
    admin: (token: string) => access.control(bearing(token), 'admin')?.code ?? 'in',
    ship: (token: string) => access.replication(bearing(token))?.code ?? 'in',
  }
}

describe('a token that is configured by its hash', () => {
  test('opens what it opened as itself, and its hash opens nothing', async () => {
    const token = `sha256:${digestOf('the-token')}`
    const site = await siteWith([{ name: 'ops', role: 'admin', token }], [token])
    expect(site.admin('the-token')).toBe('in')
    expect(site.ship('the-token')).toBe('in')
    expect(site.admin(token)).toBe('UNAUTHENTICATED')
    expect(site.admin(digestOf('the-token'))).toBe('UNAUTHENTICATED')
  })
})

describe('a token with an end', () => {
  test('opens until then, beside its successor, and is named afterwards', async () => {
    const { clock } = await siteWith([])
    const end = clock.now() + 10 * day
    const site = await siteWith(
      [],
      [{ name: 'old', token: 'old-token', expires: end }, 'new-token'],
    )
    expect([site.ship('old-token'), site.ship('new-token')]).toEqual(['in', 'in'])
    site.clock.advance(10 * day)
    expect([site.ship('old-token'), site.ship('new-token')]).toEqual(['TOKEN_EXPIRED', 'in'])
    expect(site.control.list()).toMatchObject([
      { name: 'old', state: 'expired', source: 'replication.accept_tokens[0]' },
      { name: `accepted-${digestOf('new-token').slice(0, 8)}`, state: 'valid', expires: null },
    ])
  })

  test('shows in health and once in the log, a week before and when it is over', async () => {
    const { clock } = await siteWith([])
    const expires = clock.now() + 10 * day
    const site = await siteWith([{ name: 'ops', role: 'admin', token: 'a', expires }])
    site.control.watch()
    expect(site.control.reasons()).toEqual([])
    for (let hour = 0; hour < 24 * 4; hour++) site.clock.advance(3_600_000)
    expect(site.control.reasons()).toEqual([expect.stringContaining('expire within a week')])
    for (let hour = 0; hour < 24 * 7; hour++) site.clock.advance(3_600_000)
    expect(site.control.reasons()).toEqual([expect.stringContaining('have expired')])
    expect(site.warnings).toEqual(['A token will expire soon', 'A token has expired'])
    site.control.close()
  })
})

describe('a revoked token', () => {
  const tokens: readonly AuthToken[] = [
    { name: 'ops', role: 'admin', token: 'ops-token' },
    { name: 'boss', role: 'admin', token: 'boss-token' },
  ]

  test('is refused at once, after a restart, and under another name', async () => {
    const site = await siteWith(tokens)
    expect(await site.control.revoke('ops')).toMatchObject({ name: 'ops', admin_tokens_left: 1 })
    expect([site.admin('ops-token'), site.admin('boss-token')]).toEqual(['TOKEN_REVOKED', 'in'])
    const renamed = [{ name: 'renamed', role: 'admin', token: 'ops-token' }] as const
    const again = await siteWith([...renamed, ...tokens.slice(1)])
    expect(again.admin('ops-token')).toBe('TOKEN_REVOKED')
    expect(again.control.list()[0]).toMatchObject({ name: 'renamed', state: 'revoked' })
  })

  test('leaves its name to a successor, and nothing of itself on the disk', async () => {
    const site = await siteWith(tokens)
    await site.control.revoke('ops')
    site.access.replaceTokens({
      tokens: [{ name: 'ops', role: 'admin', token: 'next-token' }],
      acceptTokens: [],
    })
    expect([site.admin('ops-token'), site.admin('next-token')]).toEqual(['UNAUTHENTICATED', 'in'])
    const text = await readFile(join(folder, 'revoked-tokens.json'), 'utf8')
    expect(text).toContain(digestOf('ops-token'))
    expect(text).not.toContain('ops-token"')
  })

  test('that does not exist is named as such', async () => {
    const site = await siteWith(tokens)
    await expect(site.control.revoke('nobody')).rejects.toMatchObject({ code: 'NO_SUCH_TOKEN' })
  })

  test('is refused until the next start where that cannot be kept, and says so', async () => {
    const site = await siteWith(tokens)
    await rm(folder, { recursive: true })
    await expect(site.control.revoke('ops')).rejects.toMatchObject({ code: 'REVOCATION_NOT_KEPT' })
    expect(site.admin('ops-token')).toBe('TOKEN_REVOKED')
  })

  test('does not come back because the file is damaged: such a site does not start', async () => {
    for (const text of ['', '{"format":2}', '{"format":1,"revoked":[{"sha256":"x"}]}']) {
      await writeFile(join(folder, 'revoked-tokens.json'), text)
      await expect(RevokedTokens.open(new FolderFiles(folder))).rejects.toMatchObject({
        code: 'REVOKED_TOKENS_UNREADABLE',
      })
    }
  })
})

describe('a list of tokens', () => {
  test('says when each was last used, across an exchange, and never the token', async () => {
    const tokens: AuthToken[] = [{ name: 'ops', role: 'admin', token: 'ops-token' }]
    const site = await siteWith(tokens)
    expect(site.control.list()).toMatchObject([{ last_used: null }])
    site.clock.advance(5000)
    site.admin('ops-token')
    const used = new Date(site.clock.now()).toISOString()
    site.access.replaceTokens({ tokens, acceptTokens: ['another'] })
    expect(site.control.list()[0]?.last_used).toBe(used)
    expect(JSON.stringify(site.control.list())).not.toContain('ops-token')
  })
})
